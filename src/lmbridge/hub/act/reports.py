"""What a tool tells while it works, on its way to who wants to know."""

from __future__ import annotations

import asyncio
from math import isnan
from typing import Final, Self

from lmbridge.hub.act.policy import sendable

MOST_CHARS: Final = 500
"""Of a word for people; more is cut off."""


class Reports:
    """Satisfies `core.tools.ToolProgress`; iterated over, it gives what was told.

    Of what comes faster than it is taken, only the newest is given: a tool may tell a million steps.
    """

    def __init__(self) -> None:
        self._newest: tuple[float | None, str] | None = None
        self._news = asyncio.Event()
        self._over = False

    def __call__(self, fraction: float | None, text: str = "", /) -> None:
        """Take it; what comes after the end is nobody's any more, as of a thread that was given up."""
        if self._over:
            return
        if fraction is not None:
            fraction = None if isnan(fraction) else min(1.0, max(0.0, fraction))
        self._newest = (fraction, sendable(text[:MOST_CHARS]))
        self._news.set()

    def close(self) -> None:
        """The tool is done: what is not given yet still is."""
        self._over = True
        self._news.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[float | None, str]:
        """What is told next: 0 to 1 or None, and a word."""
        await self._news.wait()
        if self._newest is None:
            raise StopAsyncIteration
        newest, self._newest = self._newest, None
        if not self._over:
            self._news.clear()
        return newest
