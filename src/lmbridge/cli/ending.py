"""An event loop for one command, whose work ends in an orderly way however it is ended.

asyncio itself does so at Ctrl-C. `kill` and a terminal that is closed would end this process at once, and leave
behind what it has started: the children of `machine.lmstudio.child` have sessions of their own.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

ENDINGS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* in an event loop of its own and return its result.

    Raises:
        SystemExit: it was ended by a signal; with the exit code that shells give for it.
    """
    told: list[int] = []

    async def until_told() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def end(number: int) -> None:
            told.append(number)
            if task is not None:
                loop.call_soon_threadsafe(task.cancel)

        with _endings(end):
            return await work

    try:
        return asyncio.run(until_told())
    except asyncio.CancelledError:
        if not told:
            raise
        raise SystemExit(128 + told[0]) from None


@contextmanager
def _endings(end: Callable[[int], None]) -> Iterator[None]:
    """Call *end* for each signal that would end this process; one that is ignored (`nohup`) stays so."""
    mine = [number for number in ENDINGS if signal.getsignal(number) is signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        mine = []  # signals cannot be had elsewhere
    for number in mine:
        signal.signal(number, lambda number, frame: end(number))
    try:
        yield
    finally:
        for number in mine:
            signal.signal(number, signal.SIG_DFL)
