"""HTTP/1.1 towards callers: httptools parses, one task answers each request. uvicorn's server runs it.

uvicorn's own protocol class costs a relayed request about a third of its CPU time (`make bench`), in checks of
headers that we write ourselves, in a timer for each request and in a coroutine for each piece. This one does
what a gateway in the open needs:

- the application learns of a lost connection at once and without a task that waits for it: the engine must
  stop when nobody listens any more;
- request heads are limited in size and time; the parser itself would collect headers without end;
- what is not HTTP gets an error in the same form as every other error, and never in the midst of an answer;
- a body is taken from the network only as fast as the application reads it, and so is what comes after it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Final, cast
from urllib.parse import unquote

import httptools
from uvicorn import Config
from uvicorn.server import ServerState

from lmbridge.core.errors import InvalidRequest
from lmbridge.doors.gateway.asgi import CONNECTION, Header, Message, Scope
from lmbridge.wire.openai.errors import error_body

MAX_HEAD: Final = 64 * 1024
"""Bytes of a request line with its headers."""
MAX_UNREAD: Final = 64 * 1024
"""Bytes of a body that are kept before the application asks for them."""
MAX_WAITING: Final = 8
"""Requests that may wait on one connection for the answers to earlier ones."""
BODY_S: Final = 75.0
"""Seconds of silence within a body that somebody waits for."""
STALL_S: Final = 120.0
"""Seconds a caller may leave his answer unread once nothing more can be sent to him: he holds a place that
others wait for. A terminal that was suspended is such a caller."""
LINGER_S: Final = 1.0
"""Seconds for which a refused caller may go on sending, so that he can read why."""

STATUS_LINE: Final = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus} | {
    499: b"HTTP/1.1 499 Client Closed Request\r\n"
}


class Exchange:
    """One request and its answer: what ASGI calls `receive` and `send`.

    Args:
        keep_alive: whether the connection may be used again afterwards.
        continues: whether the caller waits to be told that he may send the body.
    """

    __slots__ = (
        "body",
        "chunked",
        "complete",
        "connection",
        "continues",
        "head",
        "keep_alive",
        "more",
        "scope",
        "started",
        "waiter",
    )

    def __init__(self, connection: GatewayProtocol, scope: Scope, keep_alive: bool, continues: bool) -> None:
        self.connection, self.scope, self.keep_alive, self.continues = connection, scope, keep_alive, continues
        self.body = self.head = b""
        self.more = True
        self.started = self.complete = self.chunked = False
        self.waiter: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """Something happened that `receive` waits for."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    async def receive(self) -> Message:
        """The next part of the body, or the news that the caller is gone."""
        connection = self.connection
        if self.continues and not self.started:
            self.continues = False
            connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while self.more and not self.body and not connection.lost and not self.complete:
            connection.resume()
            self.waiter = connection.loop.create_future()
            timer = connection.loop.call_later(connection.body_s, connection.body_missing)
            try:
                await self.waiter
            finally:
                self.waiter = None
                timer.cancel()
        if connection.lost or self.complete:
            return {"type": "http.disconnect"}
        body, self.body = self.body, b""
        return {"type": "http.request", "body": body, "more_body": self.more}

    async def send(self, message: Message) -> None:
        """Write the head of the answer, or a part of its body."""
        connection = self.connection
        while connection.full is not None:
            await asyncio.wait([connection.full])  # not the future itself: cancelling us must not cancel it
        if connection.lost:
            return
        if message["type"] == "http.response.start":
            self._start(message["status"], message["headers"])
            return
        data: bytes = message["body"]
        more: bool = message["more_body"]
        if self.scope["method"] == "HEAD":
            data = b""
        elif self.chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            if not more:
                data += b"0\r\n\r\n"
        if self.head:
            data, self.head = self.head + data, b""
        if data:
            connection.transport.write(data)
        if not more:
            self.end()

    def _start(self, status: int, headers: Sequence[Header]) -> None:
        self.started = True
        head = [STATUS_LINE[status]]
        measured = status in (204, 304)
        for name, value in (*self.connection.default_headers, *headers):
            if name == b"connection":
                self.keep_alive = self.keep_alive and value != b"close"
                continue
            measured = measured or name == b"content-length"
            head += (name, b": ", value, b"\r\n")
        if not measured and self.scope["http_version"] == "1.0":
            self.keep_alive = False  # it ends where the connection ends
        elif not measured and self.scope["method"] != "HEAD":
            self.chunked = True
            head.append(b"transfer-encoding: chunked\r\n")
        if not self.keep_alive:
            head.append(b"connection: close\r\n")
        head.append(b"\r\n")
        # Most often a part of the body follows at once: one write for both, as a system call costs more than all
        # else here.
        self.head = b"".join(head)
        self.connection.loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write the head, if nothing of the body has taken it along."""
        head, self.head = self.head, b""
        if head and not self.connection.transport.is_closing():
            self.connection.transport.write(head)

    def end(self) -> None:
        """The answer is written."""
        self.complete = True
        self.wake()
        self.connection.answered(self)


class GatewayProtocol(asyncio.Protocol):
    """One connection of a caller. Made by uvicorn's server, whose sets of connections and tasks it keeps.

    Attributes:
        lost: whether it is gone.
        on_lost: called at the moment when it goes.
        full: done when the caller has read enough to be sent more; None while he may be sent to.
        body_s: how long silence within a body is borne. stall_s: how long a caller who does not read is.
    """

    body_s, stall_s = BODY_S, STALL_S

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.loop = _loop or asyncio.get_running_loop()
        self.lost = False
        self.on_lost: Callable[[], object] | None = None
        self.full: asyncio.Future[None] | None = None
        self._app, self._timeout = config.loaded_app, config.timeout_keep_alive
        self._state = server_state
        self._parser: httptools.HttpRequestParser | None = _parser(self)
        self._answering: Exchange | None = None
        self._reading: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._url = b""
        self._headers: list[Header] = []
        self._continues = False
        self._in_head = True
        self._head_size = 0
        self._paused = self._refused = False
        self._idle_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    # -- what asyncio and uvicorn call ------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A caller has connected."""
        self.transport = cast("asyncio.Transport", transport)
        self._state.connections.add(self)  # type: ignore[arg-type]  # it knows its own classes only
        self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller went away."""
        self._state.connections.discard(self)
        self.lost = True
        self._parser = None  # it refers back to this object
        if self._timer is not None:
            self._timer.cancel()
        self.resume_writing()
        for exchange in (self._answering, self._reading):
            if exchange is not None:
                exchange.wake()
        if self.on_lost is not None:
            self.on_lost()

    def pause_writing(self) -> None:
        """The caller reads more slowly than he is sent to."""
        if self.full is None:
            self.full = self.loop.create_future()
            self._stall = self.loop.call_later(self.stall_s, self.transport.abort)

    def resume_writing(self) -> None:
        """He has caught up."""
        full, self.full = self.full, None
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        if full is not None:
            full.set_result(None)

    def shutdown(self) -> None:
        """The server ends: no further request."""
        if self._answering is None:
            self.transport.close()
        else:
            self._answering.keep_alive = False

    def data_received(self, data: bytes) -> None:
        """More bytes of a request."""
        if self._refused or self._parser is None:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError:
            self._refuse(400, "This is not a well-formed HTTP/1.1 request.")
            return
        if self._in_head:
            self._head_size += len(data)
            if self._head_size > MAX_HEAD:
                self._refuse(431, f"The head of the request is larger than {MAX_HEAD:,} bytes.")

    def _decline(self, rest: bytes) -> None:
        """Go on in HTTP/1.1 with a caller who offered to speak something else, as Java's client does each time.

        The parser takes what follows such a head for the other protocol, and the body with it. A new one is
        told of a request with the same body.
        """
        exchange = self._reading
        if exchange is None or exchange.scope["method"] == "CONNECT":
            self._refuse(400, "There is nothing to be connected to here.")
            return
        framing = [
            b"%b: %b\r\n" % each
            for each in exchange.scope["headers"]
            if each[0] in (b"content-length", b"transfer-encoding")
        ]
        self._parser = _parser(self)
        self.data_received(b"POST / HTTP/1.1\r\n" + b"".join(framing) + b"\r\n" + rest)

    # -- what the parser calls --------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        self._url, self._headers, self._continues = b"", [], False
        self._in_head, self._head_size = True, 0

    def on_url(self, url: bytes) -> None:
        """A piece of its target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header of it, or a trailer, which nobody reads."""
        if self._in_head:
            name = name.lower()
            self._headers.append((name, value))
            if name == b"expect" and value.lower() == b"100-continue":
                self._continues = True

    def on_headers_complete(self) -> None:
        """Its head is in."""
        self._in_head = False
        if self._reading is not None:
            return  # told a second time, see `_decline`
        self._idle_since = None
        parser = cast("httptools.HttpRequestParser", self._parser)
        version: str = parser.get_http_version()
        scope: Scope = {
            "type": "http",
            "http_version": version,
            "method": parser.get_method().decode("ascii"),
            "path": _path(self._url),
            "query_string": self._url.partition(b"?")[2],
            "headers": self._headers,
            CONNECTION: self,
        }
        keep_alive = version == "1.1" and parser.should_keep_alive()
        exchange = self._reading = Exchange(self, scope, keep_alive, self._continues)
        if self._answering is None:
            self._answer(exchange)
        else:
            self._waiting.append(exchange)
            if len(self._waiting) >= MAX_WAITING:
                self._pause()

    def on_body(self, body: bytes) -> None:
        """A piece of its body."""
        exchange = self._reading
        if exchange is None or exchange.complete:
            return  # answered already: nobody will read it
        exchange.body = exchange.body + body if exchange.body else body
        exchange.wake()
        if len(exchange.body) > MAX_UNREAD:
            self._pause()

    def on_message_complete(self) -> None:
        """It is in."""
        if cast("httptools.HttpRequestParser", self._parser).should_upgrade():
            return  # only its head is, see `_decline`
        exchange, self._reading = self._reading, None
        if exchange is not None:
            exchange.more = False
            exchange.wake()
        if len(self._waiting) < MAX_WAITING:
            self.resume()  # who does not read does not learn either that the caller is gone

    # -- answering --------------------------------------------------------------------------------

    def _answer(self, exchange: Exchange) -> None:
        self._answering = exchange
        task = self.loop.create_task(self._run(exchange))
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    async def _run(self, exchange: Exchange) -> None:
        try:
            # Faults are the application's to report; here only a closed connection can tell of them.
            with suppress(Exception):
                await self._app(exchange.scope, exchange.receive, exchange.send)
        finally:
            if not exchange.complete:
                exchange.flush()
                self.transport.close()

    @property
    def default_headers(self) -> Sequence[Header]:
        """Headers of every answer: the date, which the server writes anew each second."""
        return self._state.default_headers

    def take_body(self, scope: Scope) -> bytes | None:
        """The whole body of the request of *scope*, if it is here and nobody has read of it."""
        exchange = self._answering
        if exchange is None or exchange.scope is not scope or exchange.more or exchange.continues:
            return None
        body, exchange.body = exchange.body, b""
        return body

    def write_whole(self, scope: Scope, status: int, headers: Sequence[Header], body: bytes) -> bool:
        """Write a whole answer to the request of *scope* at once.

        Only in the plain case: a connection that stays open and a caller who reads. Else nothing is done and
        False returned, and the answer goes the way of ASGI.
        """
        exchange = self._answering
        if (
            exchange is None
            or exchange.scope is not scope
            or exchange.started
            or not exchange.keep_alive
            or self.lost
            or self.full is not None
            or scope["method"] == "HEAD"
        ):
            return False
        head = [STATUS_LINE[status]]
        for name, value in (*self._state.default_headers, *headers):
            head += (name, b": ", value, b"\r\n")
        head += (b"\r\n", body)
        self.transport.write(b"".join(head))
        exchange.started = True
        exchange.end()
        return True

    def answered(self, exchange: Exchange) -> None:
        """An answer is written: on to the next request."""
        self._state.total_requests += 1
        self._answering = None
        if not exchange.keep_alive:
            self.transport.close()
            return
        self.resume()
        if self._waiting:
            self._answer(self._waiting.popleft())
        else:
            self._rest()

    def _refuse(self, status: int, message: str) -> None:
        self._refused = True
        exchange = self._answering
        if exchange is not None and exchange is not self._reading:
            exchange.keep_alive = False  # an answer is under way: what follows it was wrong, so it is the last
            self._waiting.clear()
            return
        if exchange is not None and exchange.started:
            self.transport.close()
            return
        body = error_body(InvalidRequest(message))
        self.transport.write(
            STATUS_LINE[status]
            + b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
            + body
        )
        # Closing with bytes unread would reset the connection and take the answer with it (RFC 9112, 9.6).
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)

    def body_missing(self) -> None:
        """The rest of a body that somebody waits for does not come."""
        if not self.lost and not self._refused:
            self._refuse(408, f"The rest of the request did not come within {self.body_s:g} seconds.")

    # -- pace -------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Read on, if reading was paused."""
        if self._paused:
            self._paused = False
            self.transport.resume_reading()

    def _pause(self) -> None:
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def _rest(self) -> None:
        """Nothing is asked: from now on there is a limit until the next head is in."""
        self._idle_since = self.loop.time()
        if self._timer is None:
            self._timer = self.loop.call_later(self._timeout, self._time_is_up)

    def _time_is_up(self) -> None:
        # One timer for many requests: it looks whether the last of them was long ago.
        self._timer = None
        if self._idle_since is None or self._answering is not None:
            return
        left = self._idle_since + self._timeout - self.loop.time()
        if left <= 0:
            self.transport.close()
        else:
            self._timer = self.loop.call_later(left, self._time_is_up)


def _parser(protocol: GatewayProtocol) -> httptools.HttpRequestParser:
    parser = httptools.HttpRequestParser(protocol)
    # Else a caller who sends more after `Connection: close` would get an error in place of his answer.
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def _path(target: bytes) -> str:
    """The path of a request's target, unquoted; a proxy's absolute form has it too (RFC 9112, 3.2)."""
    if target[:1] != b"/":
        target = httptools.parse_url(target).path or b"/"
    path = target.partition(b"?")[0].decode("latin-1")
    return unquote(path) if "%" in path else path
