"""LM Studio's own language: its lists, loads, downloads and native chat, its errors and quirks.

`models` reads lists of every generation of its API, `management` loads, unloads and downloads, `chat` is
`/api/v1/chat`, `requests` makes OpenAI bodies such as it does what they say, `errors` makes sense of what it
calls an error. No I/O.
"""
