"""What a person sees while something takes long: a line that changes on a terminal, few plain ones elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from lmbridge.cli import render

if TYPE_CHECKING:
    from lmbridge.core.models import Download
    from lmbridge.core.provider import DownloadProgress, Progress

SILENCE_S = 30.0
"""After so long without a plain line about a download one comes anyway."""
WAIT_STEP_S = 5.0
"""Seconds between two plain lines about something that one merely waits for."""


@contextmanager
def downloading(name: str) -> Iterator[DownloadProgress]:
    """How far the download of *name* is: bytes, speed, time left."""
    name = render.printable(name)
    if not render.can_redraw(sys.stderr):
        render.note(f"Downloading {name} …")
        yield _Lines().feed
        return
    with render.changing_line() as show:
        show(f"Downloading {name} …")
        yield lambda now: show(f"{_bar(now)}{', '.join(facts(now))}  {name}")


@contextmanager
def loading(text: str) -> Iterator[Progress]:
    """How far a load is, and for how long it has been: not every runtime tells how far it is.

    For use within a running event loop.
    """
    if not render.can_redraw(sys.stderr):
        render.note(f"{text} …")
        yield lambda fraction: None
        return
    import asyncio

    loop, begin, last = asyncio.get_running_loop(), monotonic(), 0.0
    timer: asyncio.Handle | None = None
    with render.changing_line() as show:

        def draw(fraction: float) -> None:
            nonlocal last
            last, seconds = fraction, monotonic() - begin
            clock = f"  {seconds:.0f} s" if seconds >= 1 else ""
            show(f"{text} {render.bar(fraction)} {fraction:4.0%}{clock}")

        def tick() -> None:
            nonlocal timer
            draw(last)
            timer = loop.call_later(1.0, tick)

        tick()
        try:
            yield draw
        finally:
            if timer is not None:
                timer.cancel()


def facts(now: Download) -> list[str]:
    """The figures of a download that are known."""
    fraction, left = now.fraction, now.seconds_left
    done, total = render.size(now.done_bytes), render.size(now.total_bytes)
    told = [
        f"{fraction:.0%}" if fraction is not None else "",
        f"{done} of {total}" if done and total else done or total,
        f"{render.size(round(now.bytes_per_s))}/s" if now.bytes_per_s else "",
        f"{render.duration(left)} left" if left is not None and left >= 1 and now.state == "downloading" else "",
        "paused" if now.state == "paused" else "",
    ]
    return [fact for fact in told if fact]


def _bar(now: Download) -> str:
    return "" if now.fraction is None else f"{render.bar(now.fraction)} "


class _Lines:
    """Plain lines: one for each tenth, and one after a long silence."""

    def __init__(self) -> None:
        self._tenth, self._told_at = 0, monotonic()

    def feed(self, now: Download) -> None:
        if now.state == "already_downloaded":
            return
        tenth = int((now.fraction or 0.0) * 10 + 1e-6)
        if tenth <= self._tenth and monotonic() - self._told_at < SILENCE_S:
            return
        self._tenth, self._told_at = max(self._tenth, tenth), monotonic()
        if told := facts(now):
            render.note(f"  {', '.join(told)}")


@contextmanager
def waiting(text: str, *, quiet: bool = False) -> Iterator[Callable[[str, float], None]]:
    """Something that takes a while: the `with` body tells the stage it is in, and the seconds since the begin.

    Args:
        quiet: say nothing where nobody looks.
    """
    if not render.can_redraw(sys.stderr):
        if not quiet:
            render.note(f"{text} …")
        yield _Stages().feed
        return
    with render.changing_line() as show:
        show(f"{text} …")
        # The stage last, as the end of a line is cut off where it is too long: the clock is the sign of life.
        yield lambda stage, seconds: show(f"{text}, {seconds:.0f} s: {render.printable(stage)} …")


class _Stages:
    """Plain lines: one for each stage, and one every few seconds."""

    def __init__(self) -> None:
        self._stage, self._next = "", 0.0

    def feed(self, stage: str, seconds: float) -> None:
        if stage == self._stage and seconds < self._next:
            return
        self._stage, self._next = stage, seconds + WAIT_STEP_S
        render.note(f"  {render.printable(stage)} … {seconds:.0f} s")
