"""One streamed answer, whatever the language of its events."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Final, Generic, Protocol, Self, TypeVar

from lmbridge.clients.http import MAX_BODY, Response
from lmbridge.core.events import Started
from lmbridge.core.models import Endpoint

E = TypeVar("E")

_BOM: Final = b"\xef\xbb\xbf"
_BLANK: Final = _BOM + b" \t\r\n"
# How the first line of a stream of events can begin (data, event, id, retry, a comment), and JSON cannot.
_EVENT: Final = (b"d", b"e", b"i", b"r", b":")


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


class Asker(Protocol):
    """A client, as far as a stream needs it."""

    @property
    def provider(self) -> str:
        """Id named in errors."""

    async def post(self, endpoint: Endpoint, route: str, body: bytes) -> Response:
        """Send *body* to a route of *endpoint*; the answer with a good status, its body unread."""


class EventStream(Generic[E]):
    """One streamed answer: `async with client.chat(…) as events: async for event in events: …`.

    Entering sends the request; leaving before the end closes the connection, which stops the engine.
    """

    __slots__ = ("_body", "_client", "_decoder", "_ended", "_endpoint", "_make", "_ready", "_response", "_route")

    def __init__(
        self,
        client: Asker,
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


async def whole(response: Response, limit: int = MAX_BODY) -> bytes:
    """The body, without the mark that some put before their JSON (RFC 8259, 8.1, lets readers skip it)."""
    return (await response.read(limit)).removeprefix(_BOM)
