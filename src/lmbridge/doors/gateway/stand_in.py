"""Standing in for LM Studio: the gateway also listens at LM Studio's address, as long as nobody else needs it.

The port is given up for good when somebody asks for that (`lmbridge lmstudio start` does, before it starts the
real one), and with the gateway's end. Answers under way go on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from lmbridge.doors.gateway.asgi import Request
from lmbridge.doors.gateway.routes import Paths, Route
from lmbridge.wire.strict import decode_strictly

HOST: Final = "127.0.0.1"
"""Where LM Studio listens unless it is told otherwise; what is made for it asks there."""


class YieldAsk(Struct, frozen=True, forbid_unknown_fields=True):
    """Give up LM Studio's address: an empty object."""


class Yielded(Struct, frozen=True):
    """Whether there was anything to give up."""

    yielded: bool


_ask: Final = msgspec.json.Decoder(YieldAsk)


class StandIn:
    """The second address of a gateway, and the route that gives it up.

    Args:
        limit: bytes of a request's body.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._release: Callable[[], None] | None = None

    @property
    def listens(self) -> bool:
        """Whether the gateway listens there now."""
        return self._release is not None

    def begin(self, release: Callable[[], None]) -> None:
        """It listens there now.

        Args:
            release: closes the listening socket.
        """
        self._release = release

    def routes(self) -> Paths:
        """The paths with their methods."""
        give_up = Route(
            self.give_up,
            "Listen no longer where LM Studio does. For the user who started the gateway.",
            "session",
            "admin",
            asks=YieldAsk,
            answers=Yielded,
        )
        return {"/api/lmbridge/stand-in/yield": {"POST": give_up}}

    async def give_up(self, request: Request) -> None:
        """`POST /api/lmbridge/stand-in/yield`"""
        decode_strictly(_ask, await request.body(self._limit))
        release, self._release = self._release, None
        if release is not None:
            release()
        await request.reply_json(Yielded(release is not None))
