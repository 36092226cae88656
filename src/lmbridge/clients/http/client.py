"""The client: connects, keeps idle connections for the next request, ends them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from time import monotonic
from types import TracebackType
from typing import Final, Self

from lmbridge.clients.http.address import Origin, Place, request_head
from lmbridge.clients.http.address import origin as take_apart
from lmbridge.clients.http.connection import Connection, Response
from lmbridge.core.depth import HEADER, depth
from lmbridge.core.errors import BridgeError, BrokenAnswer, ProviderTimeout, ProviderUnavailable

MAX_IDLE_AGE: Final = 15.0
"""Seconds an idle connection is kept. Servers usually close them after 5 to 75 s."""

_MAX_HEADS: Final = 256


def client_closed(provider: str) -> ProviderUnavailable:
    """What who asks a closed client gets."""
    return ProviderUnavailable(provider, "this client is closed", hint="Make a new one.")


class HTTPClient:
    """Sends requests and keeps idle connections for the next ones. Belongs to one event loop.

    Args:
        connect_timeout: seconds for a connection, TLS included. None waits as long as the system does.
        first_byte_timeout: seconds from sending a request until the head of its answer is here. None: no limit.
        idle_timeout: seconds of silence within a body while somebody waits for it. None: no limit.
        max_idle: idle connections kept for each server.
        max_idle_age: seconds for which they are kept, less than the server's own limit; None: `MAX_IDLE_AGE`.
        tls: how https is checked; None trusts what the system trusts.
    """

    def __init__(
        self,
        *,
        connect_timeout: float | None = 5.0,
        first_byte_timeout: float | None = None,
        idle_timeout: float | None = None,
        max_idle: int = 64,
        max_idle_age: float | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.connect_timeout = connect_timeout
        self.first_byte_timeout = first_byte_timeout
        self.idle_timeout = idle_timeout
        self._max_idle = max_idle
        self._max_idle_age = max_idle_age
        self._tls = tls
        self._idle: dict[Place, list[Connection]] = {}
        self._all: set[Connection] = set()
        self._heads: dict[tuple[str, str, tuple[tuple[str, str], ...], bool], bytes] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._closing: asyncio.Future[None] | None = None
        self._closed = False

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
        single byte of the answer, the request is sent once more over a fresh one. What a tool of our MCP
        server asks for is marked (`core.depth`).

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
            origin = take_apart(url)
        except ValueError as error:
            raise ProviderUnavailable(provider, str(error)) from error
        if deep := depth():
            headers = (*headers, (HEADER, str(deep)))
        head = self._head(method, url, origin, headers, keep_alive)
        if body or method in ("POST", "PUT", "PATCH"):
            head += b"content-length: %d\r\n\r\n" % len(body)
        else:
            head += b"\r\n"
        pooled = self._pooled(origin.place) if keep_alive else None
        if pooled is not None:
            response = pooled.send(head, body, provider, keep_alive=True)
            await response.head(self)
            if response._broken is None or response.status:
                return self._checked(response)
            if pooled.heard or not isinstance(response._broken, BrokenAnswer):
                raise response._broken
        connection = await self._connect(origin, provider)
        response = connection.send(head, body, provider, keep_alive=keep_alive)
        await response.head(self)
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
        self, method: str, url: str, origin: Origin, headers: Sequence[tuple[str, str]], keep_alive: bool
    ) -> bytes:
        """Request line and headers, without the length. The same few are asked for again and again."""
        key = (method, url, tuple(headers), keep_alive)
        made = self._heads.get(key)
        if made is None:
            if len(self._heads) >= _MAX_HEADS:
                self._heads.clear()
            made = self._heads[key] = request_head(method, origin, key[2], keep_alive)
        return made

    def _pooled(self, place: Place) -> Connection | None:
        kept = self._idle.get(place)
        while kept:
            connection = kept.pop()
            if connection.usable and monotonic() - connection.idle_since < self._idle_age:
                return connection
            connection.abort()
        return None

    async def _connect(self, origin: Origin, provider: str) -> Connection:
        self._check_open(provider)
        try:
            async with asyncio.timeout(self.connect_timeout):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(self, origin.place),
                    origin.host,
                    origin.port,
                    ssl=self._context() if origin.tls else None,
                )
        except OSError as error:
            raise _no_connection(error, origin, provider, self.connect_timeout) from error
        if connection.open:
            # Not sooner: one that was cancelled on its way may never tell that it is gone (uvloop).
            self._all.add(connection)
        try:
            self._check_open(provider)
        except ProviderUnavailable:
            connection.abort()
            raise
        return connection

    def _check_open(self, provider: str) -> None:
        if self._closed:
            raise client_closed(provider)

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    def keep(self, connection: Connection) -> None:
        """An answer is complete, and its connection fit for another request."""
        kept = self._idle.setdefault(connection.place, [])
        if self._closed or len(kept) >= self._max_idle:
            connection.abort()
            return
        # Not the loop's clock: finding the loop costs a system call (getpid) before Python 3.12.
        connection.idle_since = monotonic()
        kept.append(connection)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(self._idle_age, self._sweep)

    @property
    def _idle_age(self) -> float:
        return MAX_IDLE_AGE if self._max_idle_age is None else self._max_idle_age

    def _sweep(self) -> None:
        """Close what has been idle for too long; look again later while anything is kept."""
        oldest = monotonic() - self._idle_age
        for place, kept in list(self._idle.items()):
            for connection in [c for c in kept if c.idle_since <= oldest]:
                kept.remove(connection)
                connection.abort()
            if not kept:
                del self._idle[place]
        self._sweeper = None
        if self._idle:
            self._sweeper = asyncio.get_running_loop().call_later(self._idle_age, self._sweep)

    def forget(self, connection: Connection) -> None:
        """A connection is gone."""
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
            self._closing = asyncio.get_running_loop().create_future()
        for connection in list(self._all):
            connection.abort()
        await asyncio.shield(self._closing)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _no_connection(error: OSError, origin: Origin, provider: str, limit: float | None) -> BridgeError:
    if isinstance(error, TimeoutError) and limit is not None:  # else it is the system's own limit
        return ProviderTimeout(provider, "connect", limit)
    return ProviderUnavailable(provider, _why(error, origin))


def _why(error: OSError, origin: Origin) -> str:
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
