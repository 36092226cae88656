"""uvicorn's HTTP protocol, with what a gateway in the open needs in addition.

- The application learns of a lost connection at once and without a task that waits for it: the engine
  must stop when nobody listens any more, and a watching task costs each request more than its parsing.
- Request heads are limited; the parser itself would collect headers without end.
- What is not HTTP gets an error in the same form as every other error.

It builds on uvicorn's own class, which is no public interface: `tests/doors/gateway/test_protocol.py`
says at once when a new version breaks these promises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from lmbridge.core.errors import InvalidRequest
from lmbridge.doors.gateway.asgi import CONNECTION
from lmbridge.wire.openai.errors import error_body

MAX_HEAD: Final = 64 * 1024
"""Bytes of a request line with its headers."""


class GatewayProtocol(HttpToolsProtocol):
    """One connection of a caller.

    Attributes:
        lost: whether it is gone.
        on_lost: called at the moment when it goes.
    """

    lost = False
    on_lost: Callable[[], object] | None = None
    _in_head = True
    _head_size = 0

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller went away."""
        super().connection_lost(exc)
        self.lost = True
        if self.on_lost is not None:
            self.on_lost()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.scope[CONNECTION] = self  # type: ignore[typeddict-unknown-key]  # ASGI allows servers more keys
        self._in_head = True
        self._head_size = 0

    def on_headers_complete(self) -> None:
        """Its head is in."""
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """More bytes of it."""
        super().data_received(data)
        if self._in_head:
            self._head_size += len(data)
            if self._head_size > MAX_HEAD and not self.transport.is_closing():
                self._refuse(431, f"The head of the request is larger than {MAX_HEAD:,} bytes.")

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
        self.transport.close()
