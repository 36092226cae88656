"""Telling the host how far a call is: what is newest, and not more often than anybody reads.

A host that asked for it gets `notifications/progress`, each with a number larger than the one before
(https://modelcontextprotocol.io/specification/2025-11-25/basic/utilities/progress): 0 to 1 while the model loads,
1 to 2 while the prompt is read, and one more for each piece of the answer. The message says it in words, or is the
answer so far.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeAlias

from lmbridge.core.errors import BridgeError
from lmbridge.core.hub import AnyHub
from lmbridge.core.models import InstanceState, ModelInfo

Send: TypeAlias = Callable[[float, str], Awaitable[None]]
"""Sends one notification: the number and the message."""

GAP_S: Final = 0.1
"""Seconds between two notifications."""
LOOK_S: Final = 0.25
"""Seconds between two looks at how far a load is."""
LONGEST: Final = 2000
"""Letters of an answer so far that are repeated: a long one would be sent over and over."""
LOADED: Final = 1.0
READ: Final = 2.0


class Telling:
    """Tells how far one call is. Use `telling`.

    Args:
        send: None where the host does not want to know.
    """

    def __init__(self, send: Send | None) -> None:
        self._send = send
        self._newest: tuple[float, str] = (-1.0, "")
        self._sent = -1.0
        self._news = asyncio.Event()

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return self._send is not None

    def loading(self, fraction: float) -> None:
        """How far the load is."""
        self._tell(fraction, f"Loading the model: {fraction:.0%}")

    def reading(self, fraction: float) -> None:
        """How far the prompt is read."""
        self._tell(LOADED + fraction, f"Reading the prompt: {fraction:.0%}")

    def thinking(self, pieces: int) -> None:
        """That the model thinks, which is no part of the answer."""
        self._tell(READ + pieces, "Thinking")

    def writing(self, pieces: int, text: str) -> None:
        """What the answer is so far."""
        self._tell(READ + pieces, text if len(text) <= LONGEST else f"…{text[-LONGEST:]}")

    def waiting(self, state: InstanceState) -> None:
        """What is known of an instance that has not begun to answer."""
        if state.state == "loading":
            self.loading(state.progress)

    def _tell(self, number: float, message: str) -> None:
        if number > self._newest[0]:
            self._newest = number, message
            self._news.set()

    async def run(self) -> None:
        """Send what is newest, until cancelled."""
        while True:
            await self._news.wait()
            await self.flush()
            await asyncio.sleep(GAP_S)

    async def flush(self) -> None:
        """Send what has not been sent yet."""
        self._news.clear()
        number, message = self._newest
        if self._send is not None and number > self._sent:
            self._sent = number
            await self._send(number, message)


@asynccontextmanager
async def telling(send: Send | None) -> AsyncIterator[Telling]:
    """Tell how far a call is for the length of the `async with`; what is newest at its good end is told, too."""
    told = Telling(send)
    task = asyncio.get_running_loop().create_task(told.run()) if told.wanted else None
    try:
        yield told
    finally:
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
    await told.flush()


@asynccontextmanager
async def watching(hub: AnyHub, model: ModelInfo | None, told: Telling) -> AsyncIterator[Callable[[], None]]:
    """Tell how far a model's load is that a request has caused; call what is given once the answer begins."""
    if model is None or not told.wanted:
        yield lambda: None
        return
    task = asyncio.get_running_loop().create_task(_watch(hub, model, told))

    def begun() -> None:
        task.cancel()

    try:
        yield begun
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _watch(hub: AnyHub, model: ModelInfo, told: Telling) -> None:
    # Who may not look, or finds nobody to ask, learns of it with the answer.
    with suppress(BridgeError):
        while True:
            await asyncio.sleep(LOOK_S)
            for state in await hub.instances():
                if (state.provider, state.model) == (model.provider, model.id):
                    told.waiting(state)
