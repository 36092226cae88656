"""uvicorn's server with its signals and its end in our hands. Imported only when a gateway really runs."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import uvicorn

from lmbridge.doors.gateway.protocol import GatewayProtocol

if TYPE_CHECKING:
    from lmbridge.doors.gateway.app import Gateway

KEEP_ALIVE_S: Final = 75
"""Seconds an idle connection stays open; longer than clients keep theirs, so that the client closes first."""
FLUSH_S: Final = 60
"""Seconds between two writings of when keys were last used."""
END_S: Final = 2.0
"""Seconds that cancelled answers get to say that they were."""


class Server(uvicorn.Server):
    """A server for one gateway.

    Args:
        ready: called once it answers.
    """

    def __init__(self, gateway: Gateway, ready: Callable[[], None]) -> None:
        self._gateway, self._ready = gateway, ready
        super().__init__(
            uvicorn.Config(
                gateway,
                interface="asgi3",
                http=GatewayProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",  # the gateway reports its own faults; uvicorn would add every bad request
                access_log=False,
                proxy_headers=False,  # nothing here depends on the caller's address
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=math.ceil(gateway.settings.grace_s),
                callback_notify=gateway.flush,
                timeout_notify=FLUSH_S,
            )
        )

    def stop(self) -> None:
        """End after the grace; called again, end now."""
        self.force_exit = self.should_exit
        self.should_exit = True
        self._gateway.ending()

    def release_last(self) -> None:
        """Listen no longer on the last of the sockets; who is connected there stays."""
        self.servers.pop().close()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: uvicorn would raise one again at its end, before the hub could be closed."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and say so."""
        await super().startup(sockets)
        self._ready()

    async def end(self) -> None:
        """Cancel what is still answering and wait until it has said so; then close every connection."""
        tasks = set(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=END_S)
        for connection in list(self.server_state.connections):
            connection.transport.close()
