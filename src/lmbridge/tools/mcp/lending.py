"""MCP servers for callers of the gateway: where nobody can be asked, only what needs no question is called.

The user's own servers stay open from one request to the next, one connection each, until nobody has used them for
a time; the next one who does starts them anew. A server that a caller named is opened for his request alone, over
HTTP, and only where `Guard` lets it lead.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final

from msgspec import Struct

from lmbridge.core.messages import Tool
from lmbridge.core.tools import Toolbox, ToolProgress, ToolResult
from lmbridge.machine.mcp.entries import Entry, checked
from lmbridge.tools.mcp.box import MCPBox
from lmbridge.tools.mcp.rules import Rules
from lmbridge.tools.mcp.servers import MCPServers

CALL_S: Final = 120.0
"""Seconds that a call may take of a server that a caller named."""
START_S: Final = 20.0
IDLE_S: Final = 600.0
"""Seconds that a server of the user may be idle."""


class _Kept(Struct):
    """A box that is kept from one caller to the next.

    Attributes:
        mark: what it was made of. users: how many have it now.
        ending: ends it when nobody has had it for a time.
    """

    mark: str
    box: MCPBox
    users: int = 0
    ending: asyncio.Task[None] | None = None


class Lending:
    """Lends servers out.

    Args:
        servers: those of the user. idle_s: seconds that one of them may be idle before it is ended; 0 for ever.
    """

    def __init__(self, servers: MCPServers, idle_s: float = IDLE_S) -> None:
        self._servers, self._idle_s = servers, idle_s
        self._kept: dict[str, _Kept] = {}
        # Whoever ends a server or begins to use it has the turn of its name: nobody gets one that is ending, and
        # none is started before the one that was there has ended.
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def of_user(self, name: str, only: Sequence[str] | None) -> Toolbox:
        """The tools of one of the user's servers; the connection is shared. Close the box when it is not used.

        Args:
            only: the only tools that are wanted; None wants all.

        Raises:
            ToolServerNotFound, ToolServerNotAllowed, ToolServerUnavailable, MissingExtra.
        """
        # Read anew each time: what the user forbids, or changes, is so at once.
        entry = await asyncio.to_thread(self._servers.entry, name)
        await asyncio.to_thread(self._servers.consents.check, entry)
        async with self._turns[name]:
            kept = self._kept.get(name)
            if kept is not None and kept.mark != _mark(entry):
                await self._let_go(name, kept)
                kept = None
            if kept is None:
                kept = self._kept[name] = _Kept(_mark(entry), self._servers.box(entry, attended=False))
            if kept.ending is not None:
                kept.ending.cancel()  # it waits: while it ends something, we do not have the turn
                kept.ending = None
            kept.users += 1
        return Lent(kept.box, only, partial(self._give_back, name, kept))

    async def _give_back(self, name: str, kept: _Kept) -> None:
        kept.users -= 1
        if kept.users:
            return
        if self._kept.get(name) is not kept:  # it was changed meanwhile
            await kept.box.aclose()
        elif self._idle_s:
            kept.ending = asyncio.get_running_loop().create_task(self._end_idle(name, kept))

    async def _end_idle(self, name: str, kept: _Kept) -> None:
        await asyncio.sleep(self._idle_s)
        async with self._turns[name]:
            if self._kept.get(name) is kept:
                await self._let_go(name, kept)

    async def _let_go(self, name: str, kept: _Kept) -> None:
        """Lend it to nobody any more, and end it unless it is used: then its last user does."""
        del self._kept[name]
        if not kept.users:
            await kept.box.aclose()

    async def at(
        self, label: str, url: str, headers: Mapping[str, str], only: Sequence[str] | None, *, local: bool
    ) -> Toolbox:
        """The tools of a server that a caller named; the box is his, and all of its tools may be called.

        Args:
            local: it may be on this machine or in a private network, and without encryption there.

        Raises:
            ToolServerUnavailable, MissingExtra.
        """
        from lmbridge.tools.mcp.extra import need_mcp

        need_mcp()
        from lmbridge.tools.mcp.http import Guard

        given = dict(headers)
        entry = checked(
            Entry(
                name=label,
                source="the request",
                url=url,
                headers=given,
                policy="always",
                start_timeout_s=START_S,
                call_timeout_s=CALL_S,
            )
        )
        return MCPBox(entry, Rules.of(entry, only=only), Guard(loopback=local, private=local))

    async def aclose(self) -> None:
        """End all connections."""
        for name, turn in list(self._turns.items()):
            async with turn:
                kept = self._kept.pop(name, None)
                if kept is not None:
                    if kept.ending is not None:
                        kept.ending.cancel()
                    await kept.box.aclose()


def _mark(entry: Entry) -> str:
    """Changes with whatever makes another connection of it, values of variables included."""
    return repr((entry.digest, sorted(entry.env.items()), sorted(entry.headers.items()), entry.allowed_tools))


class Lent:
    """A box that is shared, with the tools that one caller wants.

    Args:
        only: by the server's names, or ours; None for all. give_back: called once, when it is closed.
    """

    def __init__(self, box: MCPBox, only: Sequence[str] | None, give_back: Callable[[], Awaitable[None]]) -> None:
        self.name, self._box, self._give_back = box.name, box, give_back
        self._closed = False
        self._only = None if only is None else frozenset(only)

    async def tools(self) -> Sequence[Tool]:
        """Those of the box that are wanted.

        Raises:
            ToolServerUnavailable.
        """
        return [tool for tool in await self._box.tools() if self._is_wanted(tool.name)]

    async def call(
        self, name: str, arguments: Mapping[str, object], progress: ToolProgress | None = None
    ) -> ToolResult:
        """Carry a call out, if the tool is wanted.

        Raises:
            ToolServerUnavailable.
        """
        if not self._is_wanted(name):
            return ToolResult(f"There is no tool {name[:200]!r} here.", is_error=True)
        return await self._box.call(name, arguments, progress)

    def _is_wanted(self, name: str) -> bool:
        return self._only is None or name in self._only or self._box.real_name(name) in self._only

    async def aclose(self) -> None:
        """Give it back: the connection is shared, and may be ended if nobody else has it. Idempotent."""
        if not self._closed:
            self._closed = True
            await self._give_back()
