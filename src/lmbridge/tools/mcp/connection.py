"""One connection to an MCP server, from its start to its end.

The package `mcp` wants its client opened and closed by the same task, while calls come from any; so a task of its
own holds it open. It is asked for a connection of the kind with a handshake first, which every server of today
speaks and in which it tells by itself when its tools change; a server that knows only the newer kind without one
says so, and is asked in that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Final

from lmbridge.core.errors import BridgeError, ToolServerUnavailable
from lmbridge.machine.mcp.child import Child, start
from lmbridge.machine.mcp.entries import Entry
from lmbridge.tools.mcp.hearing import Sifted
from lmbridge.tools.mcp.lists import is_lost
from lmbridge.version import __version__

if TYPE_CHECKING:
    from mcp import Client
    from mcp.client._transport import TransportStreams
    from mcp.client.session import IncomingMessage

    from lmbridge.tools.mcp.http import Guard

CLOSE_S: Final = 12.0
"""Seconds that an orderly end may take; it has limits of its own that are shorter."""
MOST_WORDS: Final = 500
"""Letters of what a server says of itself that are repeated in an error."""


class Connection:
    """Open it once with `open`, close it once with `aclose`.

    Args:
        entry: whose. guard: what its address may lead to; None where the user chose it.
        changed: called when the server tells that its tools are others now.

    Attributes:
        client: the official client, once it is open.
        tells: the server tells by itself when its tools change.
        unusable: tools in its lists that are none, with the reason.
    """

    client: Client
    tells = True

    def __init__(self, entry: Entry, guard: Guard | None, changed: Callable[[], None]) -> None:
        self._entry, self._guard, self._changed = entry, guard, changed
        self._child: Child | None = None
        self._stop = asyncio.Event()
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self._over = False
        self.unusable: dict[str, str] = {}

    @property
    def over(self) -> bool:
        """Whether nothing can be asked any more."""
        return self._over or (self._child is not None and self._child.ended)

    async def open(self) -> None:
        """Connect.

        Raises:
            ToolServerUnavailable: it cannot be started, does not answer in time, or speaks no MCP.
        """
        _hush()
        self._task = asyncio.get_running_loop().create_task(self._hold())
        limit = self._entry.start_timeout_s
        try:
            async with asyncio.timeout(limit):
                await asyncio.shield(self._ready)
        except TimeoutError as error:
            said = self._last_words()
            await self.aclose()
            reason = f"it was not ready within {limit:g} s{said}"
            hint = "Raise its `start_timeout_s` in lmbridge.toml if it is slow."
            raise ToolServerUnavailable(self._entry.name, reason, hint=hint) from error
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """End the connection, and the process. Idempotent."""
        self._stop.set()
        if self._task is None:
            return
        try:
            if self._ready.done() and not self._ready.cancelled() and self._ready.exception() is None:
                await asyncio.wait([self._task], timeout=CLOSE_S)
        finally:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=CLOSE_S)

    async def ended(self) -> None:
        """Wait a little for the end of a process that closed its output, so that it can be said how it ended."""
        if self._child is not None:
            await self._child.gone()

    def why(self) -> str:
        """Why it is over, for people."""
        said = self._last_words().removeprefix("; ")
        return said or "the connection ended"

    def _last_words(self) -> str:
        if self._child is None:
            return ""
        said = self._child.fault or self._child.last_words
        return f"; {said[:MOST_WORDS]}" if said else ""

    async def _hold(self) -> None:
        """The task that has the client open."""
        try:
            try:
                await self._session("legacy")
            except Exception as error:
                if self._ready.done() or not _wants_newer(error):
                    raise
                await self._session("auto")
        except Exception as error:  # noqa: BLE001 - told to who waits; nobody does after the start
            if not self._ready.done():
                self._ready.set_exception(await self._told(error))
                self._ready.exception()  # seen, even if the one who waits is gone
        finally:
            self._over = True
            if not self._ready.done():
                self._ready.cancel()

    async def _session(self, mode: str) -> None:
        from mcp import Client
        from mcp_types import Implementation

        info = Implementation(name="lmbridge", version=__version__)
        transport: AbstractAsyncContextManager[TransportStreams] = self._transport()
        client = Client(transport, mode=mode, cache=None, client_info=info, message_handler=self._heard)
        async with client:
            self.client, self.tells = client, mode == "legacy"
            self._ready.set_result(None)
            await self._stop.wait()

    @asynccontextmanager
    async def _transport(self) -> AsyncIterator[TransportStreams]:
        if self._entry.url:
            from lmbridge.tools.mcp.http import over_http

            async with over_http(self._entry.url, self._entry.headers, self._guard) as (heard, said):
                yield Sifted(heard, self.unusable), said
            return
        from lmbridge.tools.mcp.stdio import over_child

        self._child = await start(self._entry)
        async with over_child(self._child) as (heard, said):
            yield Sifted(heard, self.unusable), said

    async def _heard(self, message: IncomingMessage) -> None:
        from mcp_types import ToolListChangedNotification

        if isinstance(message, ToolListChangedNotification):
            self._changed()

    async def _told(self, error: Exception) -> BridgeError:
        """Why it could not be connected to, as an error of ours."""
        if isinstance(error, BridgeError):
            return error
        if self._child is not None:
            await self._child.gone(0.5)  # what it wrote last says more
        command, address = "Run its command by hand to see what it says.", "See that it runs, and at this address."
        hint = command if self._entry.command else address
        told = ToolServerUnavailable(self._entry.name, f"{_reason(error)}{self._last_words()}", hint=hint)
        told.__cause__ = error
        return told


def _hush() -> None:
    """Keep what tools and their callers say out of the log: the package writes messages it cannot read there."""
    for name in ("mcp.client", "client"):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.CRITICAL)


def _wants_newer(error: BaseException) -> bool:
    """Whether the server refused the handshake because it knows none."""
    from mcp import MCPError
    from mcp_types import INVALID_REQUEST, METHOD_NOT_FOUND, UNSUPPORTED_PROTOCOL_VERSION

    found = first_of(error)
    newer = (METHOD_NOT_FOUND, INVALID_REQUEST, UNSUPPORTED_PROTOCOL_VERSION)
    return isinstance(found, MCPError) and found.code in newer


def first_of(error: BaseException) -> BaseException:
    """The error inside of groups of one or more."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _reason(error: BaseException) -> str:
    import httpx2
    from mcp import MCPError

    found = first_of(error)
    if isinstance(found, MCPError) and is_lost(found):
        return "the connection ended"
    if isinstance(found, MCPError):
        return f"it said {found.message[:MOST_WORDS]!r}"
    if isinstance(found, httpx2.HTTPError):
        return str(found)[:MOST_WORDS] or type(found).__name__
    return f"it does not speak MCP as it should ({type(found).__name__})"
