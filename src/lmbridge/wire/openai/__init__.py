"""The OpenAI language, and what llama.cpp adds to it.

`requests` decodes and checks bodies, `fields` says which fields are ignored or refused, `encode` writes
bodies, `answers` reads answers, `errors` reads and writes errors, `relayed` reads along while bytes pass.
"""

from lmbridge.wire.openai.encode import encode_chat, encode_embed
from lmbridge.wire.openai.errors import decode_error, error_body, error_event
from lmbridge.wire.openai.requests import (
    ChatBody,
    CompletionBody,
    EmbeddingBody,
    decode_chat_body,
    decode_completion_body,
    decode_embedding_body,
)

__all__ = [
    "ChatBody",
    "CompletionBody",
    "EmbeddingBody",
    "decode_chat_body",
    "decode_completion_body",
    "decode_embedding_body",
    "decode_error",
    "encode_chat",
    "encode_embed",
    "error_body",
    "error_event",
]
