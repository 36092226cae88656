"""LANGUAGES: bytes to core and back, both directions, no I/O."""
