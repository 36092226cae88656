"""What can be asked of a model: chat, text, embeddings, responses, and LM Studio's own chat."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from lmbridge.clients.lmstudio.answering import AnswerStream, Asked
from lmbridge.clients.lmstudio.catalogue import Catalogue
from lmbridge.clients.lmstudio.link import Link
from lmbridge.clients.lmstudio.names import Found
from lmbridge.clients.openai import OpenAIClient
from lmbridge.core.errors import EngineCrashed, InvalidRequest, RouteNotFound, UnsupportedParameter
from lmbridge.core.events import Embeddings, Event
from lmbridge.core.messages import ImagePart, TextPart
from lmbridge.core.models import Endpoint
from lmbridge.core.requests import ChatRequest, EmbedRequest, Sampling
from lmbridge.wire.lmstudio import chat as native
from lmbridge.wire.lmstudio.chat import NativeChatDecoder, NativeEvent
from lmbridge.wire.lmstudio.requests import prepare_chat, prepare_completion, prepare_embed
from lmbridge.wire.openai import responses
from lmbridge.wire.openai.answers import ChatEventDecoder
from lmbridge.wire.openai.encode import add_sampling, encode_chat
from lmbridge.wire.openai.responses import ResponseDecoder

NATIVE_BASE = "/api/v1"


class Asking:
    """Asks the models of one LM Studio."""

    def __init__(self, link: Link, catalogue: Catalogue) -> None:
        self._link, self._catalogue = link, catalogue
        self._openai = OpenAIClient(link.http, link.provider)

    # -- streams ----------------------------------------------------------------------------------

    def chat(self, request: ChatRequest) -> AnswerStream[Event]:
        """See `LMStudioClient.chat`."""

        async def prepare() -> Asked[Event]:
            found = await self._catalogue.find_or_trust(request.model, "chat")
            return self._chat(self._link.endpoint(found.asked), request, found)

        return self._stream(prepare, request)

    def chat_at(self, endpoint: Endpoint, request: ChatRequest) -> AnswerStream[Event]:
        """See `LMStudioClient.chat_at`."""

        async def prepare() -> Asked[Event]:
            return self._chat(endpoint, request, None)

        return self._stream(prepare, request)

    def _chat(self, endpoint: Endpoint, request: ChatRequest, found: Found | None) -> Asked[Event]:
        body = dict(prepare_chat(encode_chat(request, endpoint.model)))
        decoder = self._chat_decoder
        return Asked(
            lambda: self._openai.stream(endpoint, "/chat/completions", body, decoder), endpoint.model, found
        )

    def complete(
        self, prompt: str, model: str, sampling: Sampling, extra: Mapping[str, object]
    ) -> AnswerStream[Event]:
        """See `LMStudioClient.complete`."""

        async def prepare() -> Asked[Event]:
            found = await self._catalogue.find_or_trust(model, "chat")
            body: dict[str, object] = {"model": found.asked, "prompt": prompt, "stream": True}
            body["stream_options"] = {"include_usage": True}
            add_sampling(body, sampling)
            body = dict(prepare_completion({**body, **extra}))
            endpoint, decoder = self._link.endpoint(found.asked), self._chat_decoder
            return Asked(lambda: self._openai.stream(endpoint, "/completions", body, decoder), found.asked, found)

        return AnswerStream(self._link, self._catalogue, prepare)

    def respond(self, request: ChatRequest, previous_response_id: str, store: bool | None) -> AnswerStream[Event]:
        """See `LMStudioClient.respond`."""
        if "ttl" in request.extra:
            raise UnsupportedParameter(
                "ttl", "This route of LM Studio ignores it without a word.", hint="Use chat."
            )

        async def prepare() -> Asked[Event]:
            found = await self._catalogue.find_or_trust(request.model, "chat")
            body = responses.encode_response(
                request, found.asked, previous_response_id=previous_response_id, store=store
            )
            endpoint, decoder = self._link.endpoint(found.asked), self._response_decoder
            return Asked(lambda: self._openai.stream(endpoint, responses.ROUTE, body, decoder), found.asked, found)

        return self._stream(prepare, request)

    def native_chat(
        self,
        prompt: str | Sequence[TextPart | ImagePart],
        model: str,
        system: str,
        sampling: Sampling,
        reasoning: str | None,
        context_length: int | None,
        integrations: Sequence[str | Mapping[str, object]],
        previous_response_id: str,
        store: bool | None,
    ) -> AnswerStream[NativeEvent]:
        """See `LMStudioClient.native_chat`."""

        async def prepare() -> Asked[NativeEvent]:
            if await self._catalogue.ready_generation() != "v1":
                raise RouteNotFound(
                    "This LM Studio has no chat of its own.", hint="Update LM Studio to 0.4.0 or newer."
                )
            found = await self._catalogue.find(model, "chat")
            body = native.encode_native_chat(
                found.asked,
                prompt,
                system=system,
                sampling=sampling,
                reasoning=reasoning,
                context_length=context_length,
                integrations=integrations,
                previous_response_id=previous_response_id,
                store=store,
            )
            endpoint = self._link.endpoint(found.asked, base=NATIVE_BASE)

            def decoder() -> NativeChatDecoder:
                return NativeChatDecoder(self._link.provider, found.asked)

            return Asked(lambda: self._openai.stream(endpoint, native.ROUTE, body, decoder), found.asked, found)

        return AnswerStream(self._link, self._catalogue, prepare)

    # -- vectors ----------------------------------------------------------------------------------

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """See `LMStudioClient.embed`."""
        await self._link.make_sure()
        found = await self._catalogue.find_or_trust(request.model, "embedding")
        also = tuple(sorted({found.model.key, *found.model.variants, *(i.id for i in found.model.loaded)}))
        return await self.embed_at(self._link.endpoint(found.asked, also), request)

    async def embed_at(self, endpoint: Endpoint, request: EmbedRequest) -> Embeddings:
        """See `LMStudioClient.embed_at`."""
        if not request.inputs:
            raise InvalidRequest("There is no text to embed.", param="input")
        await self._link.make_sure()

        async def ask() -> Embeddings:
            with self._link.explained(endpoint.model):
                return await self._openai.embed(endpoint, request, prepare_embed)

        try:
            return await self._link.repeated(ask)
        except EngineCrashed:
            # Nothing was said yet, so it can be asked once more if the model is there.
            models = await self._catalogue.fetch()
            names = {endpoint.model, *endpoint.also}
            if not any(instance.id in names for model in models for instance in model.loaded):
                raise
        return await ask()

    def _chat_decoder(self) -> ChatEventDecoder:
        return ChatEventDecoder(self._link.provider)

    def _response_decoder(self) -> ResponseDecoder:
        return ResponseDecoder(self._link.provider)

    def _stream(self, prepare: Callable[[], Awaitable[Asked[Event]]], request: ChatRequest) -> AnswerStream[Event]:
        shape = request.extra.get("response_format")
        structured = request.schema is not None or (
            isinstance(shape, dict) and shape.get("type") in ("json_schema", "json_object")
        )
        return AnswerStream(self._link, self._catalogue, prepare, structured=structured)
