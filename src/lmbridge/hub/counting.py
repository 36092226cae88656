"""A call of this process's own in the counters: what `Hub.chat` and `Hub.embed` are asked, as the doors' are."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Final, Self

from lmbridge.core.errors import BridgeError
from lmbridge.core.events import Event, Finished, PromptProgress, Started
from lmbridge.hub.activity import Activity, Turn
from lmbridge.hub.lease import Lease

DOOR: Final = "python"
"""The language of callers who use the hub itself."""


class Counting:
    """Use it around the work, inside of the lease: `with Counting(...) as counting: counting.over(events)`.

    Args:
        began: `perf_counter()` when it was asked for. task: what it is for.

    Attributes:
        turn: what becomes of it.
    """

    __slots__ = ("_events", "_whole", "turn")

    turn: Turn
    _events: AsyncIterator[Event]

    def __init__(self, activity: Activity, lease: Lease, route: str, began: float, task: str) -> None:
        self.turn = activity.begin(
            lease.model, route, DOOR, began, waited_s=lease.waited_s, ahead=lease.ahead, task=task
        )
        self._whole = True

    def over(self, events: AsyncIterator[Event]) -> AsyncIterator[Event]:
        """The same events, counted as they pass: who leaves before the last one has cancelled the answer."""
        self._events, self._whole = events, False
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """The next event; raises as *events* does."""
        event = await anext(self._events)
        match event:
            case Finished():
                self._whole = True
                self.turn.used(event.usage)
            case Started() | PromptProgress():
                pass
            case _:
                self.turn.first_event()
        return event

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, BridgeError):
            self.turn.fail(error.code)
        elif isinstance(error, CancelledError) or not self._whole:
            self.turn.cancel()
        self.turn.end()
