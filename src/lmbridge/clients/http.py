"""A lean HTTP/1.1 client: asyncio and httptools, the pooled connections, nothing else.

It lies on the gateway's hot path: every relayed request passes through it, so it makes no task, no
timer unless a limit is set, and wakes its caller once for everything that came in one read. It knows
nothing of JSON or models. It follows no redirect and uses no proxy (neither settings nor environment
variables), it sends no cookies, and it asks for unencoded bodies: what arrives is what was sent.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from functools import lru_cache
from types import TracebackType
from typing import Final, Self, cast
from urllib.parse import urlsplit

import httptools
from msgspec import Struct

from lmbridge.core.errors import (
    BridgeError,
    BrokenAnswer,
    InvalidRequest,
    ProviderTimeout,
    ProviderUnavailable,
)

MAX_HEAD: Final = 64 * 1024
"""Most bytes of an answer's status line and headers, informational answers before it included."""
MAX_BODY: Final = 64 * 2**20
"""Most bytes `Response.read` collects unless told otherwise."""
HIGH_WATER: Final = 256 * 1024
"""Bytes a slow consumer may leave unread before the connection stops reading."""
MAX_IDLE_AGE: Final = 15.0
"""Seconds an idle connection is kept. Servers usually close them after 5 to 75 s."""

_SMALL_BODY: Final = 64 * 1024
_MAX_HEADS: Final = 256
# RFC 9110, 5.5 and 5.6.2: what a field name is made of; control characters would let a value start a new field.
_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_CONTROL: Final = frozenset(map(chr, (*range(9), *range(10, 32), 127)))


class _Origin(Struct, frozen=True):
    """A URL taken apart once: where to connect, and what to ask for there."""

    host: str
    port: int
    tls: bool
    authority: str
    target: str

    @property
    def place(self) -> tuple[str, int, bool]:
        return (self.host, self.port, self.tls)


@lru_cache(maxsize=512)
def _origin(url: str) -> _Origin:
    """Take *url* apart.

    Raises:
        ValueError: why it cannot be asked, without any secret it may hold.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise ValueError("its URL must begin with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("its URL must not hold a user name or a password; use the setting `key`")
    if not parts.hostname or any(c <= " " or c > "~" for c in url):
        raise ValueError("its URL has no host name, or characters that must be percent-encoded")
    tls = parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _Origin(parts.hostname, parts.port or (443 if tls else 80), tls, parts.netloc, target)


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

    def __init__(self, connection: _Connection, provider: str) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._connection: _Connection | None = connection
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

    async def _wait(self, client: HTTPClient, seconds: float | None, phase: str) -> None:
        """Wait for news: the head, a piece of the body, the end, a failure."""
        # The future belongs to this answer and not to the connection, which may carry the next
        # request before the task that waits here runs again.
        waiter = self._waiter = client.loop.create_future()
        timer = None if seconds is None else client.loop.call_later(seconds, self._silent, phase, seconds)
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

    async def _head(self, client: HTTPClient) -> None:
        """Wait until the head is in, or the answer is broken."""
        while not self.status and self._broken is None:
            await self._wait(client, client.first_byte_timeout, "first byte")

    async def _more(self) -> bytes:
        """The next bytes, b"" at the end."""
        while not self._pieces:
            if self._broken is not None:
                raise self._broken
            if self._ended:
                return b""
            client = cast("_Connection", self._connection).client
            await self._wait(client, client.idle_timeout, "idle")
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


class _Connection(asyncio.Protocol):
    """One TCP connection: parses answers into the `Response` of the moment."""

    def __init__(self, client: HTTPClient, place: tuple[str, int, bool]) -> None:
        self.client = client
        self.place = place
        self.idle_since = 0.0
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
        transport = cast("asyncio.Transport", self._transport)
        if len(body) <= _SMALL_BODY:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)
        return response

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
        self._transport = cast("asyncio.Transport", transport)
        self.client._all.add(self)

    def data_received(self, data: bytes) -> None:
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
            and cast("httptools.HttpResponseParser", self._parser).should_keep_alive()
        ):
            if self.paused:
                self.resume()
            self.client._keep(self)
        else:
            transport.close()

    def eof_received(self) -> bool:
        self._eof = True
        self._end_by_close()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self._end_by_close()
        response = self._response
        if response is not None:
            how = "reset" if isinstance(exc, ConnectionResetError) else "closed"
            what = "before its end" if self.heard else "before it began"
            self.fail(BrokenAnswer(response._provider, f"the connection was {how} {what}"))
        self._transport = None
        self._parser = None  # it refers back to this object
        self.client._forget(self)

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
        if self._complete:
            self._dirty = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_done and self._response is not None:  # afterwards: trailers, which nobody reads
            self._response.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
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
        response = self._response
        if response is not None and not self._complete:
            response._pieces.append(body)
            response._buffered += len(body)

    def on_message_complete(self) -> None:
        if self._head_done:
            self._complete = True


class HTTPClient:
    """Sends requests and keeps idle connections for the next ones. Belongs to one event loop.

    Args:
        connect_timeout: seconds for a connection, TLS included. None waits as long as the system does.
        first_byte_timeout: seconds from sending a request until the head of its answer is here. None: no limit.
        idle_timeout: seconds of silence within a body while somebody waits for it. None: no limit.
        max_idle: idle connections kept for each server.
        tls: how https is checked; None trusts what the system trusts.
    """

    def __init__(
        self,
        *,
        connect_timeout: float | None = 5.0,
        first_byte_timeout: float | None = None,
        idle_timeout: float | None = None,
        max_idle: int = 64,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.connect_timeout = connect_timeout
        self.first_byte_timeout = first_byte_timeout
        self.idle_timeout = idle_timeout
        self._max_idle = max_idle
        self._tls = tls
        self._lazy_loop: asyncio.AbstractEventLoop | None = None
        self._idle: dict[tuple[str, int, bool], list[_Connection]] = {}
        self._all: set[_Connection] = set()
        self._heads: dict[tuple[str, str, tuple[tuple[str, str], ...], bool], bytes] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._closing: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop this client belongs to: the first that uses it."""
        if self._lazy_loop is None:
            self._lazy_loop = asyncio.get_running_loop()
        return self._lazy_loop

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        keep_alive: bool = True,
        provider: str = "",
    ) -> Response:
        """Send a request and return when the head of its answer is here.

        A body without a `content-type` among *headers* is sent as `application/json`. Every status is
        returned as it is; redirects too. When a kept connection turns out to have been closed before a
        single byte of the answer, the request is sent once more over a fresh one.

        Args:
            keep_alive: False opens a connection for this request alone.
            provider: named in errors.

        Raises:
            InvalidRequest: a header with a line break or another forbidden character.
            ProviderUnavailable: no connection.
            ProviderTimeout: no connection or no head within the limits.
            BrokenAnswer: closed before the head, or not HTTP.
        """
        try:
            origin = _origin(url)
        except ValueError as error:
            raise ProviderUnavailable(provider, str(error)) from error
        head = self._head(method, url, origin, headers, keep_alive)
        if body or method in ("POST", "PUT", "PATCH"):
            head += b"content-length: %d\r\n\r\n" % len(body)
        else:
            head += b"\r\n"
        pooled = self._pooled(origin.place) if keep_alive else None
        if pooled is not None:
            response = pooled.send(head, body, provider, keep_alive=True)
            await response._head(self)
            if response._broken is None or response.status:
                return self._checked(response)
            if pooled.heard or not isinstance(response._broken, BrokenAnswer):
                raise response._broken
        connection = await self._connect(origin, provider)
        response = connection.send(head, body, provider, keep_alive=keep_alive)
        await response._head(self)
        if response._broken is not None and not response.status:
            raise response._broken
        return self._checked(response)

    def _checked(self, response: Response) -> Response:
        encoding = response.header(b"content-encoding")
        if encoding and encoding.lower() != b"identity":
            if response._connection is not None:
                response._connection.abort()
            raise BrokenAnswer(
                response._provider, f"its body is encoded ({encoding[:20].decode('latin-1')}) unasked"
            )
        return response

    def _head(
        self, method: str, url: str, origin: _Origin, headers: Sequence[tuple[str, str]], keep_alive: bool
    ) -> bytes:
        """Request line and headers, without the length. The same few are asked for again and again."""
        key = (method, url, tuple(headers), keep_alive)
        made = self._heads.get(key)
        if made is None:
            if len(self._heads) >= _MAX_HEADS:
                self._heads.clear()
            made = self._heads[key] = _build_head(method, origin, key[2], keep_alive)
        return made

    def _pooled(self, place: tuple[str, int, bool]) -> _Connection | None:
        kept = self._idle.get(place)
        while kept:
            connection = kept.pop()
            if connection.usable and self.loop.time() - connection.idle_since < MAX_IDLE_AGE:
                return connection
            connection.abort()
        return None

    async def _connect(self, origin: _Origin, provider: str) -> _Connection:
        if self._closed:
            raise ProviderUnavailable(provider, "this client is closed")
        try:
            async with asyncio.timeout(self.connect_timeout):
                _, connection = await self.loop.create_connection(
                    lambda: _Connection(self, origin.place),
                    origin.host,
                    origin.port,
                    ssl=self._context() if origin.tls else None,
                )
        except TimeoutError as error:
            if self.connect_timeout is None:  # the system's own limit
                raise ProviderUnavailable(provider, _why(error, origin)) from error
            raise ProviderTimeout(provider, "connect", self.connect_timeout) from error
        except OSError as error:
            raise ProviderUnavailable(provider, _why(error, origin)) from error
        return connection

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    def _keep(self, connection: _Connection) -> None:
        kept = self._idle.setdefault(connection.place, [])
        if self._closed or len(kept) >= self._max_idle:
            connection.abort()
            return
        connection.idle_since = self.loop.time()
        kept.append(connection)
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(MAX_IDLE_AGE, self._sweep)

    def _sweep(self) -> None:
        """Close what has been idle for too long; look again later while anything is kept."""
        oldest = self.loop.time() - MAX_IDLE_AGE
        for place, kept in list(self._idle.items()):
            for connection in [c for c in kept if c.idle_since <= oldest]:
                kept.remove(connection)
                connection.abort()
            if not kept:
                del self._idle[place]
        self._sweeper = self.loop.call_later(MAX_IDLE_AGE, self._sweep) if self._idle else None

    def _forget(self, connection: _Connection) -> None:
        self._all.discard(connection)
        kept = self._idle.get(connection.place)
        if kept and connection in kept:
            kept.remove(connection)
        if self._closing is not None and not self._all and not self._closing.done():
            self._closing.set_result(None)

    async def aclose(self) -> None:
        """Close every connection; answers under way break. Idempotent."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self._idle.clear()
        if not self._all:
            return
        if self._closing is None or self._closing.done():
            self._closing = self.loop.create_future()
        for connection in list(self._all):
            connection.abort()
        await asyncio.shield(self._closing)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _build_head(method: str, origin: _Origin, headers: tuple[tuple[str, str], ...], keep_alive: bool) -> bytes:
    lines = [f"{method} {origin.target} HTTP/1.1", f"host: {origin.authority}", "accept-encoding: identity"]
    if not keep_alive:
        lines.append("connection: close")
    names = set()
    for name, value in headers:
        lowered = name.lower()
        if not name or not _TOKEN.issuperset(name):
            raise InvalidRequest(f"{name[:40]!r} is not a header name.")
        if not _CONTROL.isdisjoint(value) or not value.isascii():
            raise InvalidRequest(f"The value of the header {lowered!r} has a character that is not allowed.")
        if lowered in ("host", "content-length", "transfer-encoding", "connection", "accept-encoding"):
            raise InvalidRequest(f"The header {lowered!r} is set by the client itself.")
        names.add(lowered)
        lines.append(f"{name}: {value}")
    if "content-type" not in names and method != "GET":
        lines.append("content-type: application/json")
    return ("\r\n".join(lines) + "\r\n").encode("ascii")


def _why(error: OSError, origin: _Origin) -> str:
    """A failed connection in plain words."""
    place = f"{origin.host}:{origin.port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {place} is not trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"{place} does not speak TLS as expected ({error.reason})"
    if isinstance(error, socket.gaierror):
        return f"the name {origin.host!r} is not known"
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error):
        return f"nothing answers at {place} (connection refused)"
    if isinstance(error, ConnectionResetError):
        return f"{place} closed the connection at once"
    return f"no connection to {place} ({error.strerror})"
