"""The door in OpenAI's language: `/v1/…`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct

from lmbridge.core.models import InstanceState, LoadOptions, ModelInfo, ModelKind
from lmbridge.doors.gateway.anthropic import asks_as_anthropic, reply_model, reply_models
from lmbridge.doors.gateway.asgi import Request
from lmbridge.doors.gateway.relay import Ask, Language, Relay
from lmbridge.doors.gateway.routes import Paths, Route
from lmbridge.doors.gateway.settings import GatewaySettings
from lmbridge.hub import routing
from lmbridge.hub.hub import Hub
from lmbridge.wire.openai.asked import asked
from lmbridge.wire.openai.fields import OURS
from lmbridge.wire.openai.requests import (
    ChatBody,
    CompletionBody,
    EmbeddingBody,
    decode_chat_body,
    decode_completion_body,
    decode_embedding_body,
)

CHAT: Final = Language("chat", "/chat/completions", "chat", role=True)
COMPLETION: Final = Language("completion", "/completions", "chat")
EMBEDDING: Final = Language("embedding", "/embeddings", "embedding")

NO_OPTIONS: Final = LoadOptions()


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
    """The routes under `/v1`."""

    def __init__(self, hub: Hub, settings: GatewaySettings) -> None:
        self._hub, self._limit = hub, settings.max_body
        self._relay = Relay(hub, settings.heartbeat_s)
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
                    asks=ChatBody,
                    answers=ChatCompletion,
                    events=(ChatCompletion,),
                )
            },
            "/v1/completions": {
                "POST": Route(
                    self.completion,
                    "Continue a text, whole or streamed.",
                    asks=CompletionBody,
                    answers=TextCompletion,
                    events=(TextCompletion,),
                )
            },
            "/v1/embeddings": {
                "POST": Route(self.embeddings, "Vectors for texts.", asks=EmbeddingBody, answers=EmbeddingList)
            },
            "/v1/models": {"GET": Route(self.models, "The models that can be used.", answers=ModelList)},
            "/v1/models/{id}": {
                "GET": Route(self.model, "One model. Its id may contain slashes.", answers=ModelObject)
            },
        }

    async def chat(self, request: Request) -> None:
        """`POST /v1/chat/completions`"""
        raw = await request.body(self._limit)
        body = decode_chat_body(raw)
        each = body.n or 1
        calls = bool(body.tools) and body.tool_choice != "none"
        ask = Ask(
            raw,
            body.model,
            body.streamed,
            body.seeded,
            each,
            each,
            body.wants_usage,
            # In core's words only where something depends on it: most chats are none of our business.
            chat=asked(body) if calls or body.truncation == "auto" or self._hub.truncate else None,
            in_form=calls and each == 1 and not body.logprobs,
            ours=_ours(body),
            options=_options(body),
        )
        await self._relay.answer(request, CHAT, ask)

    async def completion(self, request: Request) -> None:
        """`POST /v1/completions`"""
        raw = await request.body(self._limit)
        body = decode_completion_body(raw)
        each, prompt = body.n or 1, body.prompt
        prompts = len(prompt) if isinstance(prompt, list) and not isinstance(prompt[0], int) else 1
        ask = Ask(
            raw,
            body.model,
            body.streamed,
            body.seeded,
            each,
            each * prompts,
            body.wants_usage,
            ours=_ours(body),
            options=_options(body),
        )
        await self._relay.answer(request, COMPLETION, ask)

    async def embeddings(self, request: Request) -> None:
        """`POST /v1/embeddings`"""
        raw = await request.body(self._limit)
        body = decode_embedding_body(raw)
        base64 = body.encoding_format == "base64"
        ask = Ask(raw, body.model, base64=base64, ours=_ours(body), options=_options(body))
        await self._relay.answer(request, EMBEDDING, ask)

    async def models(self, request: Request) -> None:
        """`GET /v1/models`; Anthropic's clients get it in their form."""
        models = [(name, model) for name, model in named(await self._hub.models()) if _usable(model)]
        if asks_as_anthropic(request):
            await reply_models(request, models)
            return
        loaded = await self._loaded()
        shown = [self._object(model, name, loaded) for name, model in models]
        await request.reply_json(ModelList(data=shown))

    async def model(self, request: Request) -> None:
        """`GET /v1/models/{id}`; ids may contain slashes."""
        as_anthropic = asks_as_anthropic(request)  # first, so that errors have their form too
        models = await self._hub.models()
        found = routing.find(request.params["id"], models)
        name = next(name for name, model in named(models) if model == found)
        if as_anthropic:
            await reply_model(request, name, found)
            return
        await request.reply_json(self._object(found, name, await self._loaded()))

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
            context_length=(state.context_length if state else None) or model.context_length,
            display_name=model.display_name,
            architecture=model.architecture,
            quantization=model.quantization,
            parameters=model.parameters,
            size_bytes=model.size_bytes,
            tools=model.tools,
            vision=model.vision,
            problem=model.problem,
        )


def _ours(body: ChatBody | CompletionBody | EmbeddingBody) -> tuple[str, ...]:
    """The fields of a body that are for the bridge alone."""
    if body.ttl is None and getattr(body, "truncation", None) is None:
        return ()
    return OURS


def _options(body: ChatBody | CompletionBody | EmbeddingBody) -> LoadOptions:
    """How the model is loaded, if this request does that."""
    return NO_OPTIONS if body.ttl is None else LoadOptions(ttl=body.ttl)


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
