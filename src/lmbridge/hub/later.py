"""What is written a moment later, by another thread: lines of a log, entries of a ledger.

Who has something to write appends it, which costs next to nothing, and does not wait for the disk. What comes
faster than the disk takes it is lost beyond a limit, and counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sized
from typing import Final, Generic, TypeVar

C = TypeVar("C", bound=Sized)

DELAY_S: Final = 0.25
"""Seconds that something may wait to be written."""


class Later(Generic[C]):
    """Collects, and hands over. It belongs to the one event loop that its user runs in.

    Args:
        empty: makes the container that is collected in.
        write: begins to write one that is full enough, told how much was lost before; it must not fail.
        at_once: what is longer than this is written without waiting longer.
        most: what is longer takes nothing more. delay_s: seconds that something may wait.

    Attributes:
        waiting: to be appended to, unless `full`; then `more` is to be called.
    """

    def __init__(
        self,
        empty: Callable[[], C],
        write: Callable[[C, int], asyncio.Future[None]],
        *,
        at_once: int,
        most: int,
        delay_s: float = DELAY_S,
    ) -> None:
        self._empty, self._write = empty, write
        self._at_once, self._most, self._delay_s = at_once, most, delay_s
        self.waiting = empty()
        self._lost = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[None] | None = None

    def full(self) -> bool:
        """Whether nothing more can wait; what was to be appended is counted as lost then."""
        if len(self.waiting) <= self._most:
            return False
        self._lost += 1
        return True

    def more(self) -> None:
        """Something was appended."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._delay_s, self._time_is_up)
        elif len(self.waiting) > self._at_once and self._writing is None:
            self._begin()

    async def flush(self) -> None:
        """Return when all that waits is written."""
        while self.waiting or self._writing is not None:
            await asyncio.wait([self._writing or self._begin()])

    async def aclose(self) -> None:
        """Write what waits. Idempotent."""
        await self.flush()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_is_up(self) -> None:
        self._timer = None
        if self.waiting and self._writing is None:
            self._begin()

    def _begin(self) -> asyncio.Future[None]:
        full, self.waiting = self.waiting, self._empty()
        lost, self._lost = self._lost, 0
        self._writing = writing = self._write(full, lost)
        writing.add_done_callback(self._written)
        return writing

    def _written(self, _: asyncio.Future[None]) -> None:
        self._writing = None
        if self.waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._delay_s, self._time_is_up)
