"""Chat, generation and vectors in Ollama's words; and loading and unloading, which are the same without words."""

from __future__ import annotations

import logging
from time import perf_counter, time_ns
from typing import TypeAlias

from lmbridge.core.errors import BridgeError, InvalidRequest, ModelNotFound
from lmbridge.core.events import Embeddings
from lmbridge.core.models import LoadOptions, ModelInfo, ModelKind
from lmbridge.core.requests import ChatRequest, EmbedRequest
from lmbridge.doors.gateway.asgi import Request
from lmbridge.doors.gateway.ollama.naming import instances_of, meant
from lmbridge.doors.gateway.ollama.shortening import shortened
from lmbridge.doors.gateway.settings import GatewaySettings
from lmbridge.doors.gateway.translate import AnswerEncoder, Ask, Translator
from lmbridge.doors.gateway.using import Use
from lmbridge.hub.background import Background
from lmbridge.hub.hub import Hub
from lmbridge.wire.ollama.answers import ChatEncoder, GenerateEncoder, embedded
from lmbridge.wire.ollama.chat import chat_request, generate_request
from lmbridge.wire.ollama.continued import begun
from lmbridge.wire.ollama.options import load_options
from lmbridge.wire.ollama.requests import (
    ChatBody,
    EmbedBody,
    EmbeddingsBody,
    GenerateBody,
    decode_chat,
    decode_embed,
    decode_embeddings,
    decode_generate,
)
from lmbridge.wire.ollama.shapes import ChatLoaded, EmbeddedOne, GenerateLoaded, rfc3339

AnyBody: TypeAlias = ChatBody | GenerateBody | EmbedBody | EmbeddingsBody

log = logging.getLogger("lmbridge.gateway")


class Asking:
    """The routes that ask a model."""

    def __init__(self, hub: Hub, settings: GatewaySettings) -> None:
        self._hub, self._limit = hub, settings.max_body
        self._translator = Translator(hub, settings.heartbeat_s)
        self._unloading = Background()

    async def aclose(self) -> None:
        """Give up unloading what is to be unloaded: everything is, very soon."""
        await self._unloading.aclose()

    async def chat(self, request: Request) -> None:
        """`POST /api/chat`"""
        body = decode_chat(await request.body(self._limit))
        name, model = await meant(self._hub, body.model, "chat")
        told = body.model or model.id
        options = await self._options(body, model)
        if body.empty:
            reason = await self._only_load(name, model, "chat", body, options)
            await request.reply_json(ChatLoaded(model=told, created_at=rfc3339(time_ns()), done_reason=reason))
            return
        asked = chat_request(body, name, model)
        await self._answer(request, body, asked, options, "ollama-chat", ChatEncoder(told, begun(asked)))

    async def generate(self, request: Request) -> None:
        """`POST /api/generate`"""
        body = decode_generate(await request.body(self._limit))
        name, model = await meant(self._hub, body.model, "chat")
        told = body.model or model.id
        options = await self._options(body, model)
        if body.empty:
            reason = await self._only_load(name, model, "chat", body, options)
            await request.reply_json(GenerateLoaded(model=told, created_at=rfc3339(time_ns()), done_reason=reason))
            return
        asked = generate_request(body, name, model)
        await self._answer(request, body, asked, options, "ollama-generate", GenerateEncoder(told))

    async def embed(self, request: Request) -> None:
        """`POST /api/embed`"""
        began = perf_counter()
        body = decode_embed(await request.body(self._limit))
        told, vectors, load_s = await self._embed(
            request, body, body.texts, dimensions=body.dimensions, shorten=body.truncate is True
        )
        await request.reply_json(embedded(told, vectors, perf_counter() - began, load_s))

    async def embeddings(self, request: Request) -> None:
        """`POST /api/embeddings`, the form before `/api/embed`."""
        body = decode_embeddings(await request.body(self._limit))
        _, vectors, _ = await self._embed(request, body, body.texts)
        await request.reply_json(EmbeddedOne(vectors.vectors[0] if vectors is not None else ()))

    # -- loading ----------------------------------------------------------------------------------

    async def _options(self, body: AnyBody, model: ModelInfo) -> LoadOptions:
        """How the model is loaded if this request loads it.

        Raises:
            InvalidRequest: it is loaded, with a shorter context than is asked for.
        """
        options = load_options(body.options, body.keep_alive, model.context_length)
        if (wanted := options.context_length) is None:
            return options
        states = await instances_of(self._hub, model)
        lengths = [state.context_length for state in states if state.context_length is not None]
        if lengths and max(lengths) < wanted:
            raise InvalidRequest(
                f"`num_ctx` is {wanted:,}, and {model.id!r} is loaded with a context of {max(lengths):,}.",
                hint=f"Leave it out, or load it anew: `lmbridge load {model.id} --context-length {wanted}`.",
                param="options.num_ctx",
            )
        return options

    async def _only_load(
        self, name: str, model: ModelInfo, kind: ModelKind, body: AnyBody, options: LoadOptions
    ) -> str:
        """Load a model, or unload it, for a request without words; returns which of the two, in Ollama's words.

        Raises:
            InvalidRequest: no model is named. ModelNotFound, ModelBusy. And as `Hub.lease`.
        """
        if not body.model:  # an empty body is how some programs find out whether the route is there
            raise InvalidRequest("`model` is missing.", param="model", flaw="missing")
        if body.unloads:
            try:
                await self._hub.unload(name)
            except ModelNotFound:
                if not model.provider:  # there is no such model; one that merely is not loaded is as wanted
                    raise
            return "unload"
        async with self._hub.lease(name, kind=kind, options=options):
            return "load"

    def _unload_later(self, name: str) -> None:
        # A task of its own: callers close their connection once they have the answer, and that ends this one.
        self._unloading.start(self._unload(name))

    async def _unload(self, name: str) -> None:
        try:
            await self._hub.unload(name)
        except BridgeError as error:
            log.info("%s stays loaded: %s", name, error.message)

    # -- asking -----------------------------------------------------------------------------------

    async def _answer(
        self,
        request: Request,
        body: ChatBody | GenerateBody,
        asked: ChatRequest,
        options: LoadOptions,
        route: str,
        encoder: AnswerEncoder,
    ) -> None:
        try:
            ask = Ask(chat=asked, route=route, stream=body.streamed, options=options)
            await self._translator.answer(request, ask, encoder)
        finally:
            if body.unloads:
                self._unload_later(asked.model)

    async def _embed(
        self,
        request: Request,
        body: EmbedBody | EmbeddingsBody,
        texts: tuple[str, ...],
        *,
        dimensions: int | None = None,
        shorten: bool = False,
    ) -> tuple[str, Embeddings | None, float | None]:
        """The model's name for the caller, the vectors if there was anything to embed, and seconds of loading."""
        name, model = await meant(self._hub, body.model, "embedding")
        told = body.model or model.id
        options = await self._options(body, model)
        if not texts:
            await self._only_load(name, model, "embedding", body, options)
            return told, None, None
        ask = EmbedRequest(name, texts, dimensions)
        try:
            async with Use(self._hub, request, "ollama-embed", name, "embedding", options=options) as use:
                provider, instance = use.lease.provider, use.lease.instance
                embed = shortened(provider, instance, ask) if shorten else provider.embed(instance, ask)
                vectors = await embed
                use.count(vectors.usage)
                return told, vectors, use.lease.load_s
        finally:
            if body.unloads:
                self._unload_later(name)
