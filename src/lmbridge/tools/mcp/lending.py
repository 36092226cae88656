"""MCP servers for callers of the gateway: where nobody can be asked, only what needs no question is called.

The user's own servers stay open from one request to the next, one connection each. A server that a caller named is
opened for his request alone, over HTTP, and only where `Guard` lets it lead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from lmbridge.core.messages import Tool
from lmbridge.core.tools import Toolbox, ToolProgress, ToolResult
from lmbridge.machine.mcp.entries import Entry, checked
from lmbridge.tools.mcp.box import MCPBox
from lmbridge.tools.mcp.rules import Rules
from lmbridge.tools.mcp.servers import MCPServers

CALL_S = 120.0
"""Seconds that a call may take of a server that a caller named."""
START_S = 20.0


class Lending:
    """Lends servers out.

    Args:
        servers: those of the user.
    """

    def __init__(self, servers: MCPServers) -> None:
        self._servers = servers
        self._open: dict[str, tuple[str, MCPBox]] = {}
        self._turn = asyncio.Lock()

    async def of_user(self, name: str, only: Sequence[str] | None) -> Toolbox:
        """The tools of one of the user's servers; the connection is shared, and stays open.

        Args:
            only: the only tools that are wanted; None wants all.

        Raises:
            ToolServerNotFound, ToolServerNotAllowed, ToolServerUnavailable, MissingExtra.
        """
        async with self._turn:
            # Read anew each time: what the user forbids, or changes, is so at once.
            entry = await asyncio.to_thread(self._servers.entry, name)
            await asyncio.to_thread(self._servers.consents.check, entry)
            digest, box = self._open.get(name, ("", None))
            if box is None or digest != _mark(entry):
                if box is not None:
                    await box.aclose()
                box = self._servers.box(entry, attended=False)
                self._open[name] = (_mark(entry), box)
        return Lent(box, only)

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
        async with self._turn:
            opened, self._open = self._open, {}
            for _, box in opened.values():
                await box.aclose()


def _mark(entry: Entry) -> str:
    """Changes with whatever makes another connection of it, values of variables included."""
    return repr((entry.digest, sorted(entry.env.items()), sorted(entry.headers.items()), entry.allowed_tools))


class Lent:
    """A box that is shared, with the tools that one caller wants.

    Args:
        only: by the server's names, or ours; None for all.
    """

    def __init__(self, box: MCPBox, only: Sequence[str] | None) -> None:
        self.name, self._box = box.name, box
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
        """Nothing: it is shared."""
