"""The hub for a program that lives long: that of the running gateway whenever one runs, else one of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from lmbridge.core.errors import NotRunning
from lmbridge.core.hub import AnyHub

if TYPE_CHECKING:
    from lmbridge.clients.lmbridge import RemoteHub
    from lmbridge.machine.gateway_file import GatewayFile


class Following:
    """Gives the hub to ask, looked for at each use: a gateway may come, go, and come again elsewhere.

    Args:
        home: where the gateway's file is.
        build: makes the hub of this process, once it is needed.
        gateway: True: never one of its own. False: never a gateway's. None: as it comes.
    """

    def __init__(self, home: Path, build: Callable[[], AnyHub], *, gateway: bool | None = None) -> None:
        self._home, self._build, self._gateway = home, build, gateway
        self._own: AnyHub | None = None
        self._remote: RemoteHub | None = None
        self._found: GatewayFile | None = None
        self._old: list[RemoteHub] = []

    @asynccontextmanager
    async def borrow(self) -> AsyncIterator[AnyHub]:
        """The hub to ask, for the length of the `async with`.

        Raises:
            NotRunning: it must be a gateway's, and none runs.
        """
        yield await self._hub()

    async def _hub(self) -> AnyHub:
        from lmbridge.machine.gateway_file import GatewayFile

        found = None
        if self._gateway is not False:
            found = await asyncio.to_thread(GatewayFile.read, self._home)
        if found is not None and found.alive:
            return self._of_gateway(found)
        if self._gateway:
            raise NotRunning
        if self._own is None:
            self._own = self._build()
        return self._own

    def _of_gateway(self, found: GatewayFile) -> AnyHub:
        from lmbridge.clients.lmbridge import RemoteHub

        if self._remote is None or found != self._found:
            if self._remote is not None:
                self._old.append(self._remote)  # others may still be answered there
            self._remote, self._found = RemoteHub(found.url, found.key), found
        return self._remote

    async def aclose(self) -> None:
        """End what was made. Idempotent."""
        for hub in (*self._old, self._remote, self._own):
            if hub is not None:
                await hub.aclose()
        self._old, self._remote, self._own = [], None, None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
