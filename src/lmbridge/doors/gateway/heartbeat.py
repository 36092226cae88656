"""Signs of life in a stream whose answer has not begun: comments that clients skip and time-outs notice.

Loading a model and reading a long prompt can take minutes. The first sign is sent only after a while, so
that an error that comes quickly keeps its HTTP status; with the first sign the status is 200 and an error
can only be an event.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from lmbridge.doors.gateway.asgi import Request


class Heartbeat:
    """Use it around the wait: `async with Heartbeat(request, 10) as heart:`.

    Args:
        every: seconds of silence before each sign.

    Attributes:
        phase: what is being waited for, for people.
    """

    __slots__ = ("_every", "_loop", "_request", "_task", "_timer", "phase")

    def __init__(self, request: Request, every: float) -> None:
        self._request, self._every = request, every
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self.phase = "waiting for a turn"

    def loading(self, progress: float) -> None:
        """The model is loading: a `Progress` for the hub."""
        self.phase = f"loading model {progress:.0%}"

    async def stop(self) -> None:
        """The answer begins. Afterwards nothing of this is written any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait([task])

    def _begin(self) -> None:
        # Only now a task: most answers begin before the first sign is due.
        self._timer = None
        self._task = self._loop.create_task(self._beat())

    async def _beat(self) -> None:
        if not self._request.started:
            await self._request.start_events()
        while True:
            await self._request.send(b": " + self.phase.encode() + b"\n\n")
            await asyncio.sleep(self._every)

    async def __aenter__(self) -> Self:
        self._timer = self._loop.call_later(self._every, self._begin)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
