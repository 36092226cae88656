"""The door in OpenAI's language: `/v1/…`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from secrets import token_hex
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from lmbridge.core.errors import BridgeError, Unauthorized
from lmbridge.core.models import InstanceState, ModelInfo, ModelKind
from lmbridge.doors.gateway.anthropic import asks_as_anthropic, reply_model, reply_models
from lmbridge.doors.gateway.asgi import Request
from lmbridge.doors.gateway.asks import ask_chat, ask_completion, ask_embedding
from lmbridge.doors.gateway.family import OPENAI, ErrorDetail, Family
from lmbridge.doors.gateway.lmstudio.families import FAITHFUL
from lmbridge.doors.gateway.older import OlderRoutes
from lmbridge.doors.gateway.relay import CHAT, COMPLETION, EMBEDDING, Ask, Relay
from lmbridge.doors.gateway.routes import Paths, Route
from lmbridge.doors.gateway.settings import GatewaySettings
from lmbridge.doors.gateway.status import status_of
from lmbridge.doors.gateway.using import Use
from lmbridge.hub import routing
from lmbridge.hub.hub import Hub
from lmbridge.wire.openai.chat_encoder import ChatEncoder
from lmbridge.wire.openai.quirks import QuirkyEncoder, as_lmstudio_reads, quirky_body, quirky_event, quirky_status
from lmbridge.wire.openai.requests import (
    ChatBody,
    CompletionBody,
    EmbeddingBody,
    decode_chat_body,
    decode_completion_body,
    decode_embedding_body,
)


def _quirky_body(error: BridgeError) -> bytes:
    return FAITHFUL.body(error) if isinstance(error, Unauthorized) else quirky_body(error)


class BareError(Struct, frozen=True):
    """The body of an error: most often a text, an object where it is about models or keys."""

    error: str | ErrorDetail


QUIRKY: Final = Family(
    "openai", _quirky_body, quirky_event, lambda error: quirky_status(status_of(error)), BareError
)
"""With the setting `lmstudio_quirks`."""


class ModelObject(Struct, frozen=True, kw_only=True):
    """A model as OpenAI's clients expect it, with what more is known of it.

    Attributes:
        id: the name to ask for. owned_by: its provider.
        created: start of this gateway, as OpenAI's clients insist on a time.
        context_length: of the loaded model, or the longest it was made for.
        problem: why it cannot be used.
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    kind: ModelKind
    loaded: bool
    context_length: int | None = None
    display_name: str = ""
    architecture: str = ""
    quantization: str = ""
    parameters: int | None = None
    size_bytes: int | None = None
    tools: bool | None = None
    vision: bool | None = None
    problem: str = ""


class ModelList(Struct, frozen=True, kw_only=True):
    """The models that can be used."""

    object: Literal["list"] = "list"
    data: Sequence[ModelObject]


class ChatCompletion(Struct, frozen=True):
    """An OpenAI chat completion, passed on as the provider wrote it."""


class TextCompletion(Struct, frozen=True):
    """An OpenAI text completion, passed on as the provider wrote it."""


class EmbeddingList(Struct, frozen=True):
    """OpenAI embeddings, passed on as the provider wrote them."""


class OpenAIRoutes:
    """The routes under `/v1`, and those of LM Studio's older API that ask in the same words."""

    def __init__(self, hub: Hub, settings: GatewaySettings) -> None:
        self._hub, self._limit, self._quirks = hub, settings.max_body, settings.lmstudio_quirks
        self._family = QUIRKY if self._quirks else OPENAI
        self._relay = Relay(hub, settings.heartbeat_s)
        self._older = OlderRoutes(hub, self._relay, settings)
        self._created = int(time.time())

    async def aclose(self) -> None:
        """Close every connection to a provider."""
        await self._relay.aclose()

    def routes(self) -> Paths:
        """What is served here."""
        return {
            "/v1/chat/completions": {
                "POST": Route(
                    self.chat,
                    "Answer a conversation, whole or streamed.",
                    family=self._family,
                    asks=ChatBody,
                    answers=ChatCompletion,
                    events=(ChatCompletion,),
                )
            },
            "/v1/completions": {
                "POST": Route(
                    self.completion,
                    "Continue a text, whole or streamed.",
                    family=self._family,
                    asks=CompletionBody,
                    answers=TextCompletion,
                    events=(TextCompletion,),
                )
            },
            "/v1/embeddings": {
                "POST": Route(
                    self.embeddings,
                    "Vectors for texts.",
                    family=self._family,
                    asks=EmbeddingBody,
                    answers=EmbeddingList,
                )
            },
            **self._older.routes(),
            "/v1/models": {"GET": Route(self.models, "The models that can be used.", answers=ModelList)},
            "/v1/models/{id}": {
                "GET": Route(self.model, "One model. Its id may contain slashes.", answers=ModelObject)
            },
        }

    async def _read(self, request: Request) -> bytes:
        raw = await request.body(self._limit)
        return as_lmstudio_reads(raw) if self._quirks else raw

    async def chat(self, request: Request) -> None:
        """`POST /v1/chat/completions`"""
        raw = await self._read(request)
        ask = ask_chat(raw, decode_chat_body(raw), truncates=self._hub.truncate)
        if self._quirks:
            ask = replace(ask, encoder=partial(_quirky_encoder, ask))
        await self._relay.answer(request, CHAT, ask)

    async def completion(self, request: Request) -> None:
        """`POST /v1/completions`"""
        raw = await self._read(request)
        await self._relay.answer(request, COMPLETION, ask_completion(raw, decode_completion_body(raw)))

    async def embeddings(self, request: Request) -> None:
        """`POST /v1/embeddings`"""
        raw = await self._read(request)
        await self._relay.answer(request, EMBEDDING, ask_embedding(raw, decode_embedding_body(raw)))

    async def models(self, request: Request) -> None:
        """`GET /v1/models`; Anthropic's clients get it in their form."""
        models = [(name, model) for name, model in named(await self._hub.models()) if _usable(model)]
        loaded = await self._loaded()
        if asks_as_anthropic(request):
            await reply_models(request, [(name, _as_loaded(model, loaded)) for name, model in models])
            return
        shown = [self._object(model, name, loaded) for name, model in models]
        await request.reply_json(ModelList(data=shown))

    async def model(self, request: Request) -> None:
        """`GET /v1/models/{id}`; ids may contain slashes."""
        as_anthropic = asks_as_anthropic(request)  # first, so that errors have their form too
        models = await self._hub.models()
        found = routing.find(request.params["id"], models)
        name = next(name for name, model in named(models) if model == found)
        loaded = await self._loaded()
        if as_anthropic:
            await reply_model(request, name, _as_loaded(found, loaded))
            return
        await request.reply_json(self._object(found, name, loaded))

    async def _loaded(self) -> dict[tuple[str, str], InstanceState]:
        return {(s.provider, s.model): s for s in await self._hub.instances() if s.state == "ready"}

    def _object(self, model: ModelInfo, name: str, loaded: dict[tuple[str, str], InstanceState]) -> ModelObject:
        state = loaded.get((model.provider, model.id))
        return ModelObject(
            id=name,
            created=self._created,
            owned_by=model.provider,
            kind=model.kind,
            loaded=state is not None,
            context_length=_as_loaded(model, loaded).context_length,
            display_name=model.display_name,
            architecture=model.architecture,
            quantization=model.quantization,
            parameters=model.parameters,
            size_bytes=model.size_bytes,
            tools=model.tools,
            vision=model.vision,
            problem=model.problem,
        )


def _as_loaded(model: ModelInfo, loaded: dict[tuple[str, str], InstanceState]) -> ModelInfo:
    """The model with the context that it has in memory, if it is there."""
    state = loaded.get((model.provider, model.id))
    context = state.context_length if state is not None else None
    return model if context is None else replace(model, context_length=context)


def _quirky_encoder(ask: Ask, use: Use) -> ChatEncoder:
    return QuirkyEncoder(
        f"chatcmpl-{token_hex(11)}", int(time.time()), use.lease.name, include_usage=ask.wants_usage
    )


def _usable(model: ModelInfo) -> bool:
    return not model.problem and not model.stale_s


def named(models: Sequence[ModelInfo]) -> list[tuple[str, ModelInfo]]:
    """Models with the shortest name that means them: their id, or `provider:id` where an earlier one has it."""
    seen: set[str] = set()
    result = []
    for model in models:
        result.append((model.qualified if model.id in seen else model.id, model))
        seen.add(model.id)
    return result
