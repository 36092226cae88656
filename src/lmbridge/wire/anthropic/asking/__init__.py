"""Asking in Anthropic's language: core's requests as bodies of the Messages API, and its answers as core's events.

`turns` writes the conversation, `shapes` the form of an answer, `thinking` how hard to think, `requests` all of it
together; `fields` says which of core's wishes are translated, left out or refused. `answers` reads answers,
`models` the list of models and what each can do, `errors` errors. No I/O.
"""
