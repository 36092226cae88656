"""uvicorn's HTTP protocol, with what a gateway in the open needs in addition.

- The application learns of a lost connection at once and without a task that waits for it: the engine
  must stop when nobody listens any more, and a watching task costs each request more than its parsing.
- A whole answer is written in one step. uvicorn's way (two coroutines, two dictionaries, two regular
  expressions for each header) costs more than our guard, lease and checks together.
- Request heads are limited; the parser itself would collect headers without end.
- What is not HTTP gets an error in the same form as every other error.

It builds on uvicorn's own class, which is no public interface: `tests/doors/gateway/test_protocol.py`
says at once when a new version breaks these promises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from lmbridge.core.errors import InvalidRequest
from lmbridge.doors.gateway.asgi import CONNECTION, Header, Scope
from lmbridge.wire.openai.errors import error_body

MAX_HEAD: Final = 64 * 1024
"""Bytes of a request line with its headers."""
LINGER_S: Final = 1.0
"""Seconds for which a refused caller may go on sending, so that he can read why."""


class GatewayProtocol(HttpToolsProtocol):
    """One connection of a caller.

    Attributes:
        lost: whether it is gone.
        on_lost: called at the moment when it goes.
    """

    lost = False
    on_lost: Callable[[], object] | None = None
    _head_size = 0
    _refused = False

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller went away."""
        super().connection_lost(exc)
        self.lost = True
        if self.on_lost is not None:
            self.on_lost()

    def on_message_begin(self) -> None:
        """A request begins."""
        HttpToolsProtocol.on_message_begin(self)
        self.scope[CONNECTION] = self  # type: ignore[typeddict-unknown-key]  # ASGI allows servers more keys
        self._head_size = 0

    def data_received(self, data: bytes) -> None:
        """More bytes of it."""
        if self._refused:
            return
        HttpToolsProtocol.data_received(self, data)
        # The cycle of a request begins when its head is complete; there is none before the first.
        if getattr(self.cycle, "scope", None) is not self.scope:
            self._head_size += len(data)
            if self._head_size > MAX_HEAD and not self.transport.is_closing():
                self._refuse(431, f"The head of the request is larger than {MAX_HEAD:,} bytes.")

    def write_whole(self, scope: Scope, status: int, headers: Sequence[Header], body: bytes) -> bool:
        """Write a whole answer to the request of *scope* at once.

        Only in the plain case: a connection that stays open, a caller who reads, no later request on the
        connection yet. Else nothing is done and False returned, and the answer goes uvicorn's way.
        """
        cycle = self.cycle
        if (
            cycle.scope is not scope
            or cycle.response_started
            or cycle.disconnected
            or not cycle.keep_alive
            or self.flow.write_paused
            or scope["method"] == "HEAD"
        ):
            return False
        head = [STATUS_LINE[status]]
        for name, value in (*cycle.default_headers, *headers):
            head += (name, b": ", value, b"\r\n")
        head += (b"\r\n", body)
        self.transport.write(b"".join(head))
        cycle.response_started = cycle.response_complete = True
        cycle.on_response()
        return True

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP."""
        self._refuse(400, "This is not a well-formed HTTP/1.1 request.")

    def _refuse(self, status: int, message: str) -> None:
        body = error_body(InvalidRequest(message))
        self.transport.write(
            STATUS_LINE[status]
            + b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
            + body
        )
        # Closing with bytes unread would reset the connection and take the answer with it (RFC 9112, 9.6).
        self._refused = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)
