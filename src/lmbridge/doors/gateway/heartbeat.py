"""Signs of life in a stream whose answer has not begun, in the form of the API that was asked.

Loading a model and reading a long prompt can take minutes. Where the API has events for that, they are sent as
things move. Elsewhere the first sign is sent only after a while, so that an error that comes quickly keeps its
HTTP status; with the first sign the status is 200 and an error can only be an event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from lmbridge.core.turns import Wait
from lmbridge.doors.gateway.asgi import EVENTS, Request

ALIKE_WITHIN = 0.01
"""How much further a load or a prompt must be to be worth another event."""


def comment(wait: Wait) -> bytes:
    """A comment that clients of server-sent events skip and time-outs notice."""
    match wait.phase:
        case "loading":
            return b": loading model %d%%\n\n" % round(wait.progress * 100)
        case "prompt":
            far = b" %d%%" % round(wait.progress * 100) if wait.progress else b""
            return b": reading prompt%s\n\n" % far
        case "queued":
            ahead = b", %d before you" % wait.position if wait.position else b""
            return b": waiting for a turn%s\n\n" % ahead


class Heartbeat:
    """Use it around the wait: `async with Heartbeat(request, 10) as heart:`.

    Args:
        every: seconds of silence before each sign.
        sign: a sign of life in the API's own form, b"" for none.
        eager: begin the stream at once, and write every change.
        media: content type of the stream.

    Attributes:
        wait: what is being waited for.
    """

    __slots__ = (
        "_changes",
        "_eager",
        "_every",
        "_loop",
        "_media",
        "_moved",
        "_request",
        "_sign",
        "_task",
        "_timer",
        "_told",
        "wait",
    )

    def __init__(
        self,
        request: Request,
        every: float,
        sign: Callable[[Wait], bytes] = comment,
        *,
        eager: bool = False,
        media: bytes = EVENTS,
    ) -> None:
        self._request, self._every, self._sign, self._eager, self._media = request, every, sign, eager, media
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._changes: list[Wait] = []
        self._moved = asyncio.Event()
        self.wait = self._told = Wait("queued")

    def queued(self, ahead: int) -> None:
        """So many are served first."""
        self.change(Wait("queued", ahead))

    def loading(self, progress: float) -> None:
        """The model is loading: a `Progress` for the hub."""
        self.change(Wait("loading", progress=progress))

    def reading(self, progress: float = 0.0) -> None:
        """The prompt is being read."""
        self.change(Wait("prompt", progress=progress))

    def change(self, wait: Wait) -> None:
        """Something moved."""
        self.wait = wait
        if self._eager and not _alike(self._told, wait):
            self._told = wait
            self._changes.append(wait)
            self._moved.set()

    async def stop(self) -> None:
        """The answer begins. Afterwards nothing of this is written any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait([task])
            if self._changes:
                await self._tell_changes()

    def _begin(self) -> None:
        # Only now a task: most answers begin before the first sign is due.
        self._timer = None
        self._task = self._loop.create_task(self._beat())

    async def _beat(self) -> None:
        if not self._request.started:
            await self._request.start_events(self._media)
        while True:
            self._moved.clear()
            if self._changes:
                await self._tell_changes()
            elif sign := self._sign(self.wait):
                await self._request.send(sign)
            try:
                async with asyncio.timeout(self._every):
                    await self._moved.wait()
            except TimeoutError:
                continue

    async def _tell_changes(self) -> None:
        if not self._request.started:  # it ends before the task had its turn
            await self._request.start_events(self._media)
        changes, self._changes = self._changes, []
        if signs := b"".join(map(self._sign, changes)):
            await self._request.send(signs)

    async def __aenter__(self) -> Self:
        if self._eager:
            self._begin()
        else:
            self._timer = self._loop.call_later(self._every, self._begin)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


def _alike(before: Wait, now: Wait) -> bool:
    """Whether nobody would see the difference."""
    if (before.phase, before.position) != (now.phase, now.position):
        return False
    return now.progress == before.progress or (
        now.progress < 1.0 and now.progress - before.progress < ALIKE_WITHIN
    )
