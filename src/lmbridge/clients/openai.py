"""Asking a server that speaks OpenAI's language: chat, embeddings, and which models it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from types import TracebackType
from typing import Final, Self, TypeAlias

import msgspec

from lmbridge.clients.http import HTTPClient, Response
from lmbridge.core.errors import InvalidRequest
from lmbridge.core.events import Answer, AnswerBuilder, Embeddings, Event
from lmbridge.core.models import Endpoint
from lmbridge.core.requests import ChatRequest, EmbedRequest
from lmbridge.wire.openai.answers import (
    ChatEventDecoder,
    ListedModel,
    build_answer,
    decode_chat_answer,
    decode_embeddings,
    decode_models,
)
from lmbridge.wire.openai.encode import encode_chat, encode_embed
from lmbridge.wire.openai.errors import decode_error

Transform: TypeAlias = Callable[[dict[str, object]], Mapping[str, object]]
"""Given the body of a request just before it is sent; returns the body to send."""

MAX_ERROR: Final = 1024 * 1024

_encode: Final = msgspec.json.Encoder().encode


class ChatStream:
    """One streamed answer: `async with client.chat(…) as events: async for event in events: …`.

    Entering sends the request; leaving before the end closes the connection, which stops the engine.
    """

    __slots__ = ("_body", "_client", "_decoder", "_ended", "_endpoint", "_ready", "_response", "_sent")

    def __init__(self, client: OpenAIClient, endpoint: Endpoint, body: bytes) -> None:
        self._client, self._endpoint, self._body = client, endpoint, body
        self._ready: list[Event] = []  # the next event last
        self._ended = False
        self._response: Response | None = None
        self._sent = 0.0
        self._decoder = ChatEventDecoder(client.provider)

    async def __aenter__(self) -> Self:
        """Send the request and wait for the head of its answer.

        Raises:
            ProviderUnavailable, ProviderTimeout, BrokenAnswer: see `HTTPClient.request`.
            BridgeError: the error the provider answered with.
        """
        self._decoder = ChatEventDecoder(self._client.provider)
        self._response = await self._client.post(self._endpoint, "/chat/completions", self._body)
        if self._response.content_type != "text/event-stream":
            # Told to stream and did not: an error with status 200 (LM Studio), or a server that cannot.
            async with self._response as response:
                self._hand_out(decode_chat_answer(await response.read(), self._client.provider))
            self._ended = True
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """The next event.

        Raises:
            BrokenAnswer: the answer was cut off or is not what it should be.
            ProviderTimeout: silence for longer than the client allows.
            BridgeError: an error the provider reported in the middle of its answer.
        """
        while not self._ready:
            if self._ended or self._response is None:
                raise StopAsyncIteration
            await self._fill(self._response)
        return self._ready.pop()

    async def _fill(self, response: Response) -> None:
        decoder = self._decoder
        self._ended = True  # unless this goes well
        if not decoder.done:
            async for data in response:
                self._hand_out(decoder.feed(data))
                self._ended = False
                return
        self._hand_out(decoder.close())

    def _hand_out(self, events: list[Event]) -> None:
        events.reverse()
        self._ready = events

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        self._ready = []
        if self._response is not None:
            await self._response.aclose()


class OpenAIClient:
    """Asks in OpenAI's language. Keeps nothing but the connections of *http*, which it does not close.

    Args:
        http: sends the requests.
        provider: id named in events and errors.
    """

    def __init__(self, http: HTTPClient, provider: str) -> None:
        self._http, self.provider = http, provider

    def chat(self, endpoint: Endpoint, request: ChatRequest, transform: Transform | None = None) -> ChatStream:
        """A streamed answer; nothing is sent before the context manager is entered.

        Args:
            transform: changes the body before it is sent.

        Raises:
            InvalidRequest: `request.extra` holds something that JSON cannot.
        """
        return ChatStream(self, endpoint, _bytes(encode_chat(request, endpoint.model), transform))

    async def answer(self, endpoint: Endpoint, request: ChatRequest, transform: Transform | None = None) -> Answer:
        """The whole answer, asked for unstreamed."""
        body = _bytes(encode_chat(request, endpoint.model, stream=False), transform)
        sent = perf_counter()
        async with await self.post(endpoint, "/chat/completions", body) as response:
            events = decode_chat_answer(await response.read(), self.provider, sent=sent)
        return build_answer(events)

    async def embed(
        self, endpoint: Endpoint, request: EmbedRequest, transform: Transform | None = None
    ) -> Embeddings:
        """Vectors for texts.

        Raises:
            BrokenAnswer: not one vector for each text, or vectors of different lengths.
            BridgeError: the error the provider answered with.
        """
        body = _bytes(encode_embed(request, endpoint.model), transform)
        async with await self.post(endpoint, "/embeddings", body) as response:
            return decode_embeddings(await response.read(), self.provider, len(request.inputs))

    async def models(self, endpoint: Endpoint) -> list[ListedModel]:
        """What `GET /models` lists.

        Raises:
            BrokenAnswer: it is no list of models.
            BridgeError: the error the provider answered with.
        """
        response = await self._http.request(
            "GET",
            endpoint.url + "/models",
            headers=endpoint.headers,
            keep_alive=endpoint.keep_alive,
            provider=self.provider,
        )
        async with await self._good(response):
            return decode_models(await response.read(), self.provider)

    async def post(self, endpoint: Endpoint, route: str, body: bytes) -> Response:
        """Send *body* to a route of *endpoint*; the answer with a good status, its body unread.

        Raises:
            BridgeError: the error the provider answered with.
        """
        response = await self._http.request(
            "POST",
            endpoint.url + route,
            headers=endpoint.headers,
            body=body,
            keep_alive=endpoint.keep_alive,
            provider=self.provider,
        )
        return await self._good(response)

    async def _good(self, response: Response) -> Response:
        if response.status == 200:
            return response
        async with response:
            raise decode_error(response.status, await response.read(MAX_ERROR), self.provider)


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
    try:
        return _encode(transform(body) if transform is not None else body)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"The request cannot be written as JSON: {error}.") from error
