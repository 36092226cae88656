"""WORDS: the vocabulary every room shares. Frozen structs and errors; no I/O, no asyncio."""
