"""The tasks a hub runs by itself: loads, unloads, watches. They end with their owner."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine


class Background:
    """Owns tasks: keeps them alive while they run, and ends them when it is closed.

    A coroutine given to it must deal with its own errors; one that escapes is reported to the loop's
    exception handler, as it is a fault of ours.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run *work* until it ends or `aclose` cancels it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": "a background task of the hub failed", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)

    async def aclose(self) -> None:
        """Cancel what still runs and wait for it."""
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
