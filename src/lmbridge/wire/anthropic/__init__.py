"""Anthropic's language: the Messages API and its counting of tokens.

`requests` decodes and checks bodies whose messages are made of `blocks`, `fields` says which of their fields are
translated, ignored or refused, `chat` makes core's request of them with the help of `turns` and `parts`, `answers`
writes core's answer as the `events` of a stream or whole, `models` lists models, `errors` writes errors. No I/O.
"""
