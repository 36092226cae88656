"""Who waits for a lease: what a caller brings along, his place in the queue, and how he learns of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeAlias

from lmbridge.core.errors import BridgeError
from lmbridge.core.models import LoadOptions, ModelInfo
from lmbridge.core.provider import Progress
from lmbridge.hub.lease import Held
from lmbridge.hub.residency import Want, places

Queued: TypeAlias = Callable[[int], None]
"""Called with the number of callers ahead, whenever that changes."""


class Caller:
    """What a caller brings along, for the case that he has to wait.

    Args:
        options: how to load the model if he is who causes the load.
        progress: called with 0 to 1 while the model loads.
        queued: called with the number of callers ahead who want the same model, whenever that changes.
        explicit: see `residency.Want`.
    """

    __slots__ = ("explicit", "options", "progress", "queued")

    def __init__(
        self,
        options: LoadOptions = LoadOptions(),
        progress: Progress | None = None,
        queued: Queued | None = None,
        *,
        explicit: bool = False,
    ) -> None:
        self.options, self.progress, self.queued, self.explicit = options, progress, queued, explicit


NOBODY = Caller()
"""A caller who brings nothing."""


class Waiter:
    """A caller in the queue.

    Args:
        need: bytes that loading the model would take. began: when he came, on the owner's clock.

    Attributes:
        future: becomes what he is given, or why not.
        load_s: seconds of loading that he waited for; None while there was none.
    """

    __slots__ = ("_place", "began", "caller", "future", "load_s", "model", "need", "want")

    def __init__(self, want: Want, model: ModelInfo, need: int, caller: Caller, began: float) -> None:
        self.want, self.model, self.need, self.caller, self.began = want, model, need, caller, began
        self.load_s: float | None = None
        self.future: asyncio.Future[Held] = asyncio.get_running_loop().create_future()
        self._place = -1  # callers ahead, as he was told last

    def tell_place(self, ahead: int) -> None:
        """Tell him how many are ahead, if that has changed."""
        if self.caller.queued is not None and ahead != self._place:
            self._place = ahead
            self.caller.queued(ahead)

    def tell_progress(self, done: float) -> None:
        """Tell him how far the load is, 0 to 1."""
        if self.caller.progress is not None:
            self.caller.progress(done)

    def fail(self, error: BridgeError) -> None:
        """Tell him that he gets nothing; one who has just gone away, or has his lease, is left alone."""
        if not self.future.done():
            self.future.set_exception(error)


def tell_places(queue: Sequence[Waiter]) -> None:
    """Tell everybody in a queue, oldest first, how many are ahead, where that has changed."""
    if any(waiter.caller.queued is not None for waiter in queue):
        ahead = places([waiter.want for waiter in queue])
        for waiter in queue:
            waiter.tell_place(ahead[waiter.want.ticket])
