"""What happens, as it happens: `GET /api/lmbridge/activity`, a stream that a status page or a terminal follows.

It begins with a snapshot; after that come the hub's happenings. Who reads too slowly is dropped: his place costs a
fixed amount of memory, and nobody waits for him.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from time import perf_counter
from typing import Final, get_args

import msgspec
from msgspec import Struct

from lmbridge.core.models import InstanceState
from lmbridge.doors.gateway.asgi import Request
from lmbridge.doors.gateway.routes import Paths, Route
from lmbridge.doors.gateway.settings import GatewaySettings
from lmbridge.hub.activity import started
from lmbridge.hub.happenings import Happening, RequestStarted
from lmbridge.hub.hub import Hub

MOST: Final = 1000
"""Happenings that are kept for who reads slowly."""


class Under(Struct, frozen=True):
    """A request that is being answered.

    Attributes:
        seconds: since it came.
    """

    request: RequestStarted
    seconds: float


class Snapshot(Struct, frozen=True, tag_field="type", tag="snapshot"):
    """How things are when the stream begins.

    Attributes:
        waiting: callers in the queue. requests: those being answered. instances: the models in memory.
    """

    uptime_s: float
    waiting: int
    requests: Sequence[Under]
    instances: Sequence[InstanceState]


class Dropped(Struct, frozen=True, tag_field="type", tag="dropped"):
    """The end for who read too slowly: some happenings are lost. Asking again begins with a fresh snapshot."""

    lost: int


class Feed:
    """The route.

    Args:
        most: happenings that are kept for who reads slowly.
    """

    def __init__(self, hub: Hub, settings: GatewaySettings, *, most: int = MOST) -> None:
        self._hub, self._every, self._most = hub, settings.heartbeat_s, most
        self._readers: set[_Reader] = set()
        self._ended = False

    def routes(self) -> Paths:
        """What is served here."""
        return {
            "/api/lmbridge/activity": {
                "GET": Route(
                    self.activity,
                    "What happens, as it happens: a snapshot first, then requests, models and the queue.",
                    scope="admin",
                    events=(Snapshot, *get_args(Happening), Dropped),
                )
            }
        }

    def end(self) -> None:
        """End every stream: the gateway stops, and they would never end by themselves."""
        self._ended = True
        for reader in self._readers:
            reader.wake.set()

    async def activity(self, request: Request) -> None:
        """`GET /api/lmbridge/activity`"""
        reader, activity = _Reader(self._most), self._hub.activity
        activity.listen(reader.tell)
        self._readers.add(reader)
        try:
            await request.start_events()
            await request.send(_event(await self._snapshot()))
            while not self._ended and not reader.lost and request.method != "HEAD":
                await request.send(await self._next(reader))
            await request.send(_event(Dropped(reader.lost)) if reader.lost else b"", more=False)
        finally:
            self._readers.discard(reader)
            activity.forget(reader.tell)

    async def _snapshot(self) -> Snapshot:
        instances, activity, now = await self._hub.instances(), self._hub.activity, perf_counter()
        under = [Under(started(turn), now - turn.began) for turn in activity.turns]
        return Snapshot(activity.uptime_s, activity.waiting, under, instances)

    async def _next(self, reader: _Reader) -> bytes:
        """The happenings since the last time; a comment after too long a silence."""
        try:
            async with asyncio.timeout(self._every):
                await reader.wake.wait()
        except TimeoutError:
            return b": nothing happens\n\n"
        return b"".join(map(_event, reader.take()))


class _Reader:
    """Who follows: what he has not got yet.

    Attributes:
        wake: set when there is something for him. lost: how much he has missed.
    """

    __slots__ = ("_most", "_waiting", "lost", "wake")

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: deque[Happening] = deque()
        self.wake, self.lost = asyncio.Event(), 0

    def tell(self, happening: Happening) -> None:
        """Something happened. Quick, as whoever does it waits for this."""
        if self.lost:
            self.lost += 1
        elif len(self._waiting) >= self._most:
            self.lost = len(self._waiting) + 1
            self._waiting.clear()
        else:
            self._waiting.append(happening)
        self.wake.set()

    def take(self) -> list[Happening]:
        """What has come."""
        self.wake.clear()
        taken = list(self._waiting)
        self._waiting.clear()
        return taken


def _event(value: Struct) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"
