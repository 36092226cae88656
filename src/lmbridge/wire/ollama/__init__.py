"""Ollama's language: its chat, generation, embeddings, lists and downloads, as its clients send and expect them.

`requests` decodes and checks bodies, `options`, `durations` and `pictures` make sense of what is in them, `chat`
turns them into core's words, `fields` says which fields are ignored, translated or refused. `answers` writes
answers in the forms of `shapes`, `continued` leaves out of them what was there before, `models` lists, `pulling`
downloads, `errors` errors; `names` reads names with tags. No I/O.
"""
