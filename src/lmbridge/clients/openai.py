"""Asking a server that speaks OpenAI's language: chat, embeddings, and which models it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import TypeAlias, TypeVar

from lmbridge.clients.asker import HTTPAsker, json_of
from lmbridge.clients.event_stream import EventDecoder, EventStream, whole
from lmbridge.core.errors import BridgeError
from lmbridge.core.events import Answer, AnswerBuilder, Embeddings, Event
from lmbridge.core.models import Endpoint
from lmbridge.core.requests import ChatRequest, EmbedRequest
from lmbridge.wire.openai.answers import (
    ChatEventDecoder,
    ListedModel,
    build_answer,
    decode_chat_answer,
    decode_count,
    decode_embeddings,
    decode_models,
)
from lmbridge.wire.openai.encode import encode_chat, encode_embed
from lmbridge.wire.openai.errors import decode_error

Transform: TypeAlias = Callable[[dict[str, object]], Mapping[str, object]]
"""Given the body of a request just before it is sent; returns the body to send."""

E = TypeVar("E")

ChatStream: TypeAlias = EventStream[Event]


class OpenAIClient(HTTPAsker):
    """Asks in OpenAI's language."""

    def chat(self, endpoint: Endpoint, request: ChatRequest, transform: Transform | None = None) -> ChatStream:
        """A streamed answer; nothing is sent before the context manager is entered.

        Args:
            transform: changes the body before it is sent.

        Raises:
            InvalidRequest: `request.extra` holds something that JSON cannot.
        """
        body = encode_chat(request, endpoint.model)
        return self.stream(endpoint, "/chat/completions", body, lambda: ChatEventDecoder(self.provider), transform)

    def stream(
        self,
        endpoint: Endpoint,
        route: str,
        body: dict[str, object],
        decoder: Callable[[], EventDecoder[E]],
        transform: Transform | None = None,
    ) -> EventStream[E]:
        """The streamed answer of any route.

        Args:
            body: what is asked, its wish for a stream included. decoder: makes what understands the answer.

        Raises:
            InvalidRequest: *body* holds something that JSON cannot.
        """
        return EventStream(self, endpoint, _bytes(body, transform), route, decoder)

    async def answer(self, endpoint: Endpoint, request: ChatRequest, transform: Transform | None = None) -> Answer:
        """The whole answer, asked for unstreamed.

        Raises:
            WrongModel: another model answered, where the endpoint tells how its answers call it.
            BridgeError: the error the provider answered with.
        """
        body = _bytes(encode_chat(request, endpoint.model, stream=False), transform)
        sent = perf_counter()
        async with await self.post(endpoint, "/chat/completions", body) as response:
            events = decode_chat_answer(await whole(response), self.provider, sent=sent)
        answer = build_answer(events)
        endpoint.check_answerer(self.provider, answer.model)
        return answer

    async def embed(
        self, endpoint: Endpoint, request: EmbedRequest, transform: Transform | None = None
    ) -> Embeddings:
        """Vectors for texts.

        Raises:
            BrokenAnswer: not one vector for each text, or vectors of different lengths.
            WrongModel: another model made them, where the endpoint tells how its answers call it.
            BridgeError: the error the provider answered with.
        """
        body = _bytes(encode_embed(request, endpoint.model), transform)
        async with await self.post(endpoint, "/embeddings", body) as response:
            embeddings = decode_embeddings(await whole(response), self.provider, len(request.inputs))
        endpoint.check_answerer(self.provider, embeddings.model)
        return embeddings

    async def count(self, endpoint: Endpoint, request: ChatRequest, transform: Transform | None = None) -> int:
        """Tokens of a prompt, by `POST /chat/completions/input_tokens`: a route that llama.cpp has.

        Raises:
            BridgeError: the error the provider answered with; one without the route has a 404.
        """
        body = _bytes(encode_chat(request, endpoint.model, stream=False), transform)
        async with await self.post(endpoint, "/chat/completions/input_tokens", body) as response:
            return decode_count(await whole(response), self.provider)

    async def models(self, endpoint: Endpoint) -> list[ListedModel]:
        """What `GET /models` lists.

        Raises:
            BrokenAnswer: it is no list of models.
            BridgeError: the error the provider answered with.
        """
        return decode_models(await self.get(endpoint, "/models"), self.provider)

    def refusal(self, status: int, body: bytes, retry_after: int | None) -> BridgeError:
        """The error that an answer reports."""
        return decode_error(status, body, self.provider, retry_after)


async def collect(stream: ChatStream) -> Answer:
    """The whole answer of a stream.

    Raises:
        as iterating over it does.
    """
    builder = AnswerBuilder()
    async with stream as events:
        async for event in events:
            builder.feed(event)
    return builder.close()


def _bytes(body: dict[str, object], transform: Transform | None) -> bytes:
    return json_of(transform(body) if transform is not None else body)
