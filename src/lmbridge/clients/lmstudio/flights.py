"""Work that several callers wait for, done once: whoever comes second joins the first.

The client owns the tasks and ends them when it is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Flight(Generic[T]):
    """One piece of work under way.

    Attributes:
        wish: what it was begun for. can_stop: whether it can be stopped where it is; it ends with its last caller
            then, and goes on without any otherwise.
    """

    def __init__(self, wish: Hashable) -> None:
        self.wish = wish
        self.can_stop = False
        self._listeners: list[Callable[[float], None]] = []
        self._callers = 0
        self.task: asyncio.Task[T] | None = None

    def tell(self, fraction: float) -> None:
        """Tell everybody who waits how far it is."""
        for listener in list(self._listeners):
            listener(fraction)

    async def join(self, listener: Callable[[float], None] | None) -> T:
        """Wait for its end with the others.

        Raises:
            what the work raises. CancelledError: this caller was cancelled, or the work by its owner.
        """
        assert self.task is not None  # noqa: S101 (made before anybody can join)
        self._callers += 1
        if listener is not None:
            self._listeners.append(listener)
        try:
            return await asyncio.shield(self.task)
        finally:
            self._callers -= 1
            if listener is not None:
                self._listeners.remove(listener)
            if not self._callers and self.can_stop and not self.task.done():
                self.task.cancel()
                await asyncio.wait([self.task])


class Tasks:
    """Tasks of one owner. What they raise is for those who wait for them; with nobody left it is dropped."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[object]] = set()
        self.closed = False

    def start(self, work: Coroutine[object, object, T]) -> asyncio.Task[T]:
        """Run *work* until it ends or `aclose` cancels it."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # looked at: asyncio need not complain that nobody did

    async def aclose(self) -> None:
        """Cancel what still runs and wait for it."""
        self.closed = True
        while self._running:
            for task in self._running:
                task.cancel()
            await asyncio.wait(self._running)
