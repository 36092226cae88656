"""Asking a server that speaks OpenAI's language: chat, embeddings, and which models it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from types import TracebackType
from typing import Final, Generic, Protocol, Self, TypeAlias, TypeVar

import msgspec

from lmbridge.clients.http import MAX_BODY, HTTPClient, Response
from lmbridge.core.errors import InvalidRequest
from lmbridge.core.events import Answer, AnswerBuilder, Embeddings, Event, Started
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

MAX_ERROR: Final = 1024 * 1024

_BOM: Final = b"\xef\xbb\xbf"
_BLANK: Final = _BOM + b" \t\r\n"
# How the first line of a stream of events can begin (data, event, id, retry, a comment), and JSON cannot.
_EVENT: Final = (b"d", b"e", b"i", b"r", b":")

_encode: Final = msgspec.json.Encoder().encode


class EventDecoder(Protocol[E]):
    """Makes events of an answer's bytes; sans-IO, one for each answer."""

    @property
    def done(self) -> bool:
        """Whether nothing more needs to be read."""

    def feed(self, data: bytes) -> list[E]:
        """The events that *data* completes."""

    def close(self) -> list[E]:
        """The stream has ended; its last events."""

    def whole(self, data: bytes) -> list[E]:
        """The events of an answer that was not streamed."""


class EventStream(Generic[E]):
    """One streamed answer: `async with client.chat(…) as events: async for event in events: …`.

    Entering sends the request; leaving before the end closes the connection, which stops the engine.
    """

    __slots__ = ("_body", "_client", "_decoder", "_ended", "_endpoint", "_make", "_ready", "_response", "_route")

    def __init__(
        self,
        client: OpenAIClient,
        endpoint: Endpoint,
        body: bytes,
        route: str,
        decoder: Callable[[], EventDecoder[E]],
    ) -> None:
        """Use the methods of the client.

        Args:
            decoder: makes one at the moment of sending, so that it can measure.
        """
        self._client, self._endpoint, self._body, self._route = client, endpoint, body, route
        self._make = decoder
        self._decoder: EventDecoder[E] | None = None
        self._ready: list[E] = []  # the next event last
        self._ended = False
        self._response: Response | None = None

    @property
    def decoder(self) -> EventDecoder[E] | None:
        """What decodes the answer, None before it is asked for; it may know more than the events tell."""
        return self._decoder

    async def __aenter__(self) -> Self:
        """Send the request and wait for the head of its answer.

        Raises:
            ProviderUnavailable, ProviderTimeout, BrokenAnswer: see `HTTPClient.request`.
            WrongModel: another model answered, where the endpoint tells how its answers call it.
            BridgeError: the error the provider answered with.
        """
        decoder = self._decoder = self._make()
        response = self._response = await self._client.post(self._endpoint, self._route, self._body)
        if response.content_type != "text/event-stream":
            try:
                await self._recognise(response, decoder)
            except BaseException:
                await response.aclose()
                raise
        return self

    async def _recognise(self, response: Response, decoder: EventDecoder[E]) -> None:
        """It does not call itself a stream: an error with status 200 (LM Studio), a server that cannot, or a
        stream all the same, whose label somebody on the way has changed."""
        begun = b""
        async for data in response:
            begun += data
            if begun.strip(_BLANK):
                break
        if begun.lstrip(_BLANK)[:1] in _EVENT:
            self._hand_out(decoder.feed(begun))
            return
        self._hand_out(decoder.whole((begun + await response.read()).removeprefix(_BOM)))
        self._ended = True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        """The next event.

        Raises:
            BrokenAnswer: the answer was cut off or is not what it should be.
            ProviderTimeout: silence for longer than the client allows.
            WrongModel: another model answers.
            BridgeError: an error the provider reported in the middle of its answer.
        """
        while not self._ready:
            if self._ended or self._response is None or self._decoder is None:
                raise StopAsyncIteration
            await self._fill(self._response, self._decoder)
        return self._ready.pop()

    async def _fill(self, response: Response, decoder: EventDecoder[E]) -> None:
        self._ended = True  # unless this goes well
        if not decoder.done:
            async for data in response:
                self._hand_out(decoder.feed(data))
                self._ended = False
                return
        self._hand_out(decoder.close())

    def _hand_out(self, events: list[E]) -> None:
        if events and isinstance(events[0], Started):
            self._endpoint.check_answerer(self._client.provider, events[0].model)
        events.reverse()
        self._ready = events

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        self._ready = []
        if self._response is not None:
            await self._response.aclose()


ChatStream: TypeAlias = EventStream[Event]


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
            events = decode_chat_answer(await _whole(response), self.provider, sent=sent)
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
            embeddings = decode_embeddings(await _whole(response), self.provider, len(request.inputs))
        endpoint.check_answerer(self.provider, embeddings.model)
        return embeddings

    async def count(self, endpoint: Endpoint, request: ChatRequest, transform: Transform | None = None) -> int:
        """Tokens of a prompt, by `POST /chat/completions/input_tokens`: a route that llama.cpp has.

        Raises:
            BridgeError: the error the provider answered with; one without the route has a 404.
        """
        body = _bytes(encode_chat(request, endpoint.model, stream=False), transform)
        async with await self.post(endpoint, "/chat/completions/input_tokens", body) as response:
            return decode_count(await _whole(response), self.provider)

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
            return decode_models(await _whole(response), self.provider)

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
            raise decode_error(response.status, await _whole(response, MAX_ERROR), self.provider)


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


async def _whole(response: Response, limit: int = MAX_BODY) -> bytes:
    """The body, without the mark that some put before their JSON (RFC 8259, 8.1, lets readers skip it)."""
    return (await response.read(limit)).removeprefix(_BOM)


def _bytes(body: dict[str, object], transform: Transform | None) -> bytes:
    try:
        return _encode(transform(body) if transform is not None else body)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"The request cannot be written as JSON: {error}.") from error
