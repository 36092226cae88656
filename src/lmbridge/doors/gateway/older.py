"""Asking by LM Studio's older API, `/api/v0/…`: OpenAI's requests, and answers that tell more.

What comes back is told anew rather than passed on, so that one answer at a time and no log probabilities can be
had here.
"""

from __future__ import annotations

from functools import partial
from secrets import token_hex
from time import time

from msgspec import Struct
from msgspec.structs import replace

from lmbridge.core.errors import UnsupportedParameter
from lmbridge.doors.gateway.asgi import Request
from lmbridge.doors.gateway.asks import ask_chat, ask_completion, ask_embedding
from lmbridge.doors.gateway.lmstudio.families import FAITHFUL, LMSTUDIO
from lmbridge.doors.gateway.relay import CHAT, COMPLETION, EMBEDDING, Ask, Relay
from lmbridge.doors.gateway.routes import Paths, Route
from lmbridge.doors.gateway.settings import GatewaySettings
from lmbridge.doors.gateway.using import Use
from lmbridge.hub.hub import Hub
from lmbridge.version import __version__
from lmbridge.wire.lmstudio.serving.older import ending
from lmbridge.wire.openai.chat_encoder import ChatEncoder, TextEncoder
from lmbridge.wire.openai.quirks import as_lmstudio_reads
from lmbridge.wire.openai.requests import (
    ChatBody,
    CompletionBody,
    EmbeddingBody,
    decode_chat_body,
    decode_completion_body,
    decode_embedding_body,
)


class OlderChat(Struct, frozen=True):
    """An OpenAI chat completion with `stats`, `model_info` and `runtime`."""


class OlderText(Struct, frozen=True):
    """An OpenAI text completion with `stats`, `model_info` and `runtime`."""


class OlderVectors(Struct, frozen=True):
    """OpenAI embeddings."""


class OlderRoutes:
    """The routes.

    Args:
        relay: stays the caller's.
    """

    def __init__(self, hub: Hub, relay: Relay, settings: GatewaySettings) -> None:
        self._hub, self._relay = hub, relay
        self._limit, self._quirks = settings.max_body, settings.lmstudio_quirks
        self._family = FAITHFUL if self._quirks else LMSTUDIO

    def routes(self) -> Paths:
        """What is served here."""
        answer = "Answer a conversation, and tell how fast."
        extend = "Continue a text, and tell how fast."
        chat = Route(self.chat, answer, "key", "infer", self._family, ChatBody, OlderChat, (OlderChat,))
        text = Route(
            self.completion, extend, "key", "infer", self._family, CompletionBody, OlderText, (OlderText,)
        )
        vectors = Route(
            self.embeddings, "Vectors for texts.", "key", "infer", self._family, EmbeddingBody, OlderVectors
        )
        return {
            "/api/v0/chat/completions": {"POST": chat},
            "/api/v0/completions": {"POST": text},
            "/api/v0/embeddings": {"POST": vectors},
        }

    async def _read(self, request: Request) -> bytes:
        raw = await request.body(self._limit)
        return as_lmstudio_reads(raw) if self._quirks else raw

    async def chat(self, request: Request) -> None:
        """`POST /api/v0/chat/completions`"""
        raw = await self._read(request)
        body = decode_chat_body(raw)
        _one_answer(body)
        ask = ask_chat(raw, body, truncates=self._hub.truncate)
        limit = body.max_completion_tokens if body.max_tokens is None else body.max_tokens
        encoder = partial(_encoder, ChatEncoder, "chatcmpl", ask, limit)
        await self._relay.answer(request, CHAT, replace(ask, encoder=encoder))

    async def completion(self, request: Request) -> None:
        """`POST /api/v0/completions`"""
        raw = await self._read(request)
        body = decode_completion_body(raw)
        _one_answer(body)
        ask = ask_completion(raw, body)
        if ask.choices > 1:
            raise UnsupportedParameter(
                "prompt", "Here one text is continued at a time.", hint="Ask /v1/completions."
            )
        encoder = partial(_encoder, TextEncoder, "cmpl", ask, body.max_tokens)
        await self._relay.answer(request, COMPLETION, replace(ask, encoder=encoder))

    async def embeddings(self, request: Request) -> None:
        """`POST /api/v0/embeddings`: as OpenAI's, to the letter."""
        raw = await self._read(request)
        await self._relay.answer(request, EMBEDDING, ask_embedding(raw, decode_embedding_body(raw)))


def _one_answer(body: ChatBody | CompletionBody) -> None:
    if (body.n or 1) > 1:
        raise UnsupportedParameter("n", "LM Studio's older API gives one answer.", hint="Ask below /v1.")
    if body.logprobs:
        raise UnsupportedParameter("logprobs", "LM Studio's older API tells none.", hint="Ask below /v1.")


def _encoder(kind: type[ChatEncoder], prefix: str, ask: Ask, limit: int | None, use: Use) -> ChatEncoder:
    """Writes an answer with what only this API tells of it."""
    lease = use.lease
    more = partial(
        ending,
        instance=lease.instance,
        limit=limit if limit is not None and limit > 0 else None,
        runtime=lease.provider.manifest.display_name,
        version=__version__,
    )
    id = f"{prefix}-{token_hex(12)}"
    return kind(id, int(time()), lease.name, include_usage=ask.wants_usage, more=more)
