"""One connection and the answers it carries, one after the other."""

from __future__ import annotations

import asyncio
from math import ceil
from time import time
from types import TracebackType
from typing import Final, Protocol, Self, cast

import httptools

from lmbridge.clients.http.address import Place
from lmbridge.core.errors import BridgeError, BrokenAnswer, ProviderTimeout

MAX_HEAD: Final = 64 * 1024
"""Most bytes of an answer's status line and headers, informational answers before it included."""
MAX_BODY: Final = 64 * 2**20
"""Most bytes `Response.read` collects unless told otherwise."""
LONGEST_WAIT: Final = 7 * 24 * 3600
"""Most seconds of a `retry-after` that are believed."""
HIGH_WATER: Final = 256 * 1024
"""Bytes a slow consumer may leave unread before the connection stops reading."""

_SMALL_BODY: Final = 64 * 1024


class Owner(Protocol):
    """What a connection needs of its client."""

    first_byte_timeout: float | None
    idle_timeout: float | None

    def keep(self, connection: Connection) -> None:
        """Its answer is complete and it may carry another request."""

    def forget(self, connection: Connection) -> None:
        """It exists no more."""


class Response:
    """An answer whose head is here; its body may still be on its way.

    Read it with `read()` or `async for piece in response`, one reader at a time. As a context manager
    it closes the connection when it is left before the end, which stops the work at the other side.

    Attributes:
        status: HTTP status code.
        headers: (name, value) in the order they came, names in lower case.
    """

    __slots__ = (
        "_broken",
        "_buffered",
        "_connection",
        "_ended",
        "_pieces",
        "_provider",
        "_waiter",
        "headers",
        "status",
    )

    def __init__(self, connection: Connection, provider: str) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._connection: Connection | None = connection
        self._provider = provider
        self._pieces: list[bytes] = []
        self._buffered = 0
        self._ended = False
        self._broken: BridgeError | None = None
        self._waiter: asyncio.Future[None] | None = None

    def header(self, name: bytes) -> bytes:
        """The value of the first header of that name (given in lower case), b"" if there is none."""
        for key, value in self.headers:
            if key == name:
                return value
        return b""

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters; "" if none was sent."""
        value = self.header(b"content-type")
        return value.split(b";", 1)[0].strip().lower().decode("latin-1")

    @property
    def retry_after(self) -> int | None:
        """Seconds after which the server wants to be asked again, at least; None where it does not say.

        The header tells seconds or a date (RFC 9110, 10.2.3).
        """
        value = self.header(b"retry-after").strip()
        if value.isdigit():
            return min(int(value[:10]), LONGEST_WAIT)
        from email.utils import parsedate_to_datetime  # heavy, and dates are rare

        try:
            seconds = parsedate_to_datetime(value.decode("latin-1")).timestamp() - time()
        except (ValueError, OverflowError):
            return None
        return min(max(0, ceil(seconds)), LONGEST_WAIT)

    @property
    def ended(self) -> bool:
        """Whether the whole body has arrived; what is not read yet comes without waiting."""
        return self._ended

    def _take(self) -> bytes:
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._pieces = []
        self._buffered = 0
        if self._connection is not None and self._connection.paused:
            self._connection.resume()
        return data

    async def _wait(self, seconds: float | None, phase: str) -> None:
        """Wait for news: the head, a piece of the body, the end, a failure."""
        # The future belongs to this answer and not to the connection, which may carry the next
        # request before the task that waits here runs again.
        loop = asyncio.get_running_loop() if self._connection is None else self._connection.loop
        waiter = self._waiter = loop.create_future()
        timer = None if seconds is None else loop.call_later(seconds, self._silent, phase, seconds)
        try:
            await waiter
        except asyncio.CancelledError:
            if self._connection is not None:
                self._connection.abort()
            raise
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _silent(self, phase: str, seconds: float) -> None:
        if self._connection is not None:
            self._connection.fail(ProviderTimeout(self._provider, phase, seconds))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def head(self, client: Owner) -> None:
        """Wait until the head is in, or the answer is broken."""
        while not self.status and self._broken is None:
            await self._wait(client.first_byte_timeout, "first byte")

    async def _more(self) -> bytes:
        """The next bytes, b"" at the end."""
        while not self._pieces:
            if self._broken is not None:
                raise self._broken
            if self._ended:
                return b""
            client = cast("Connection", self._connection).client
            await self._wait(client.idle_timeout, "idle")
        return self._take()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next bytes, everything that has arrived since the last call.

        Raises:
            BrokenAnswer: the answer was cut off or is not HTTP.
            ProviderTimeout: silence for longer than the idle limit.
        """
        data = self._take() if self._pieces else await self._more()
        if not data:
            raise StopAsyncIteration
        return data

    async def read(self, limit: int = MAX_BODY) -> bytes:
        """The rest of the body.

        Args:
            limit: most bytes to collect.

        Raises:
            BrokenAnswer: cut off, not HTTP, or larger than *limit*.
            ProviderTimeout: silence for longer than the idle limit.
        """
        parts: list[bytes] = []
        size = 0
        while data := await self._more():
            size += len(data)
            if size > limit:
                await self.aclose()
                raise BrokenAnswer(self._provider, f"its body is larger than {limit:,} bytes")
            if self._ended and not parts and self._broken is None and not self._pieces:
                return data
            parts.append(data)
        return b"".join(parts)

    async def aclose(self) -> None:
        """End it. Before the end of the body this closes the connection. Idempotent."""
        if self._connection is not None:
            self._connection.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.abort()


class Connection(asyncio.Protocol):
    """One TCP connection: parses answers into the `Response` of the moment."""

    def __init__(self, client: Owner, place: Place) -> None:
        self.client = client
        self.place = place
        self.idle_since = 0.0
        self.loop = asyncio.get_running_loop()  # kept: finding it costs a system call before Python 3.12
        self.heard = False  # any byte of the current answer
        self.paused = False
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._response: Response | None = None
        self._reusable = False
        self._eof = False
        self._head_done = False
        self._complete = False
        self._dirty = False
        self._overhead = 0

    # ---- what the client calls

    def send(self, head: bytes, body: bytes, provider: str, *, keep_alive: bool) -> Response:
        """Write a request; its answer fills the `Response` returned."""
        response = self._response = Response(self, provider)
        self._reusable = keep_alive
        self.heard = self._head_done = self._complete = False
        self._overhead = 0
        transport = self._transport
        if transport is None:  # lost as soon as it was made
            self.fail(BrokenAnswer(provider, "the connection was closed before it began"))
        elif len(body) <= _SMALL_BODY:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)
        return response

    @property
    def open(self) -> bool:
        """Whether it has been made and not been lost."""
        return self._transport is not None

    @property
    def usable(self) -> bool:
        """Whether an idle connection can still carry a request, as far as this side knows."""
        return self._transport is not None and not self._transport.is_closing()

    def resume(self) -> None:
        """The consumer has caught up: read on."""
        self.paused = False
        if self._transport is not None:
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once; an answer that was under way is broken."""
        response, self._response = self._response, None
        if response is not None:
            response._connection = None
            if response._broken is None:
                response._broken = BrokenAnswer(response._provider, "it was closed on this side before its end")
            response._wake()
        if self._transport is not None:
            self._transport.abort()

    def fail(self, error: BridgeError) -> None:
        """Break the current answer with *error* and close."""
        if self._response is not None and self._response._broken is None:
            self._response._broken = error
        self.abort()

    # ---- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse what came, and wake the reader once for all of it."""
        response, parser = self._response, self._parser
        if response is None or parser is None:
            # Nobody asked: a server that talks on an idle connection (a 408 before it closes, usually).
            self.abort()
            return
        self.heard = True
        before = response._buffered
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._complete:
                self.fail(BrokenAnswer(response._provider, f"it is not HTTP ({type(error).__name__})"))
                return
            self._dirty = True
        if self._complete:
            self._finish(response)
            return
        if response._buffered > before:
            self._overhead = 0
            if response._buffered > HIGH_WATER and not self.paused and self._transport is not None:
                self.paused = True
                self._transport.pause_reading()
            response._wake()
            return
        self._overhead += len(data)
        if self._overhead > MAX_HEAD:
            self.fail(BrokenAnswer(response._provider, f"its headers are larger than {MAX_HEAD:,} bytes"))
        elif self._head_done:
            response._wake()

    def _finish(self, response: Response) -> None:
        """The answer is complete: hand the connection back, or close it."""
        response._ended = True
        response._connection = None
        self._response = None
        response._wake()
        transport = cast("asyncio.Transport", self._transport)
        if (
            self._reusable
            and not self._dirty
            and not self._eof
            # An answer before the request was read to its end: the rest would be taken for the next one.
            and not transport.get_write_buffer_size()
        ):
            if self.paused:
                self.resume()
            self.client.keep(self)
        elif transport.get_write_buffer_size():
            transport.abort()
        else:
            transport.close()

    def eof_received(self) -> bool:
        """The server will send nothing more; asyncio closes our side too."""
        self._eof = True
        self._end_by_close()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Both sides are closed; an answer under way is complete or broken."""
        if exc is None:
            self._end_by_close()
        response = self._response
        if response is not None:
            how = "reset" if isinstance(exc, ConnectionResetError) else "closed"
            what = "before its end" if self.heard else "before it began"
            self.fail(BrokenAnswer(response._provider, f"the connection was {how} {what}"))
        self._transport = None
        self._parser = None  # it refers back to this object
        self.client.forget(self)

    def _end_by_close(self) -> None:
        """A body without length or chunks ends where the connection ends (RFC 9112, 6.3)."""
        response = self._response
        if response is None or not self._head_done or self._complete:
            return
        if response.header(b"content-length") or response.header(b"transfer-encoding"):
            return
        self._complete = True
        self._reusable = False
        self._finish(response)

    # ---- what the parser calls

    def on_message_begin(self) -> None:
        """A status line begins."""
        if self._complete:
            self._dirty = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header or trailer."""
        if not self._head_done and self._response is not None:  # afterwards: trailers, which nobody reads
            self._response.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The blank line after the headers."""
        response = self._response
        if self._head_done or response is None or self._parser is None:
            return
        status = self._parser.get_status_code()
        if status < 200:  # informational: the real answer follows
            response.headers.clear()
            return
        response.status = status
        self._head_done = True

    def on_body(self, body: bytes) -> None:
        """A piece of the body, chunk marks taken off."""
        response = self._response
        if response is not None and not self._complete:
            response._pieces.append(body)
            response._buffered += len(body)

    def on_message_complete(self) -> None:
        """The end of an answer, an informational one too."""
        if self._head_done:
            self._complete = True
            # To be asked now or never: after this callback the parser forgets the headers it is about.
            self._reusable = (
                self._reusable and cast("httptools.HttpResponseParser", self._parser).should_keep_alive()
            )
