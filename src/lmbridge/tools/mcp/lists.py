"""What an MCP server says that it has, within limits, and which of its tools are offered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVar

import msgspec

from lmbridge.core.messages import Tool
from lmbridge.tools.mcp.rules import Rules

if TYPE_CHECKING:
    import mcp_types
    from mcp import Client, MCPError

MOST_PAGES: Final = 50
MOST_LISTED: Final = 10_000
MOST_DESCRIPTION: Final = 4_096
MOST_SCHEMA: Final = 64 * 1024
"""Bytes of one tool's schema."""
FORGOTTEN: Final = "Session terminated"
"""What the package says when a server over HTTP does not know us any more: it has done nothing then."""
CLOSED: Final = ("Connection closed", "SSE stream")
"""How the package begins to say that a connection is over."""

T = TypeVar("T")


class Endless(ValueError):
    """A list that has no end, or too much in it."""


class Listed(NamedTuple):
    """What a server says that it has."""

    tools: list[mcp_types.Tool]
    has_resources: bool


class _Page(Protocol):
    next_cursor: str | None


PageT = TypeVar("PageT", bound=_Page)


async def pages(ask: Callable[[str | None], Awaitable[PageT]], items: Callable[[PageT], Sequence[T]]) -> list[T]:
    """All pages of a list.

    Raises:
        Endless: there is no end to it, and nobody is to wait for one.
    """
    found: list[T] = []
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        page = await ask(cursor)
        found += items(page)
        cursor = page.next_cursor
        if len(found) > MOST_LISTED:
            break
        if not cursor:
            return found
    raise Endless(f"it lists more than {MOST_LISTED:,} things, or without an end")


async def all_tools(client: Client) -> Listed:
    """Its tools, and whether it has resources."""
    capabilities = client.server_capabilities
    tools: list[mcp_types.Tool] = []
    if capabilities.tools is not None:
        tools = await pages(lambda cursor: client.list_tools(cursor=cursor), lambda page: page.tools)
    # Many say that they could have resources and have none.
    has = capabilities.resources is not None and await _has_resources(client)
    return Listed(tools, has)


async def _has_resources(client: Client) -> bool:
    from mcp import MCPError

    try:
        if (await client.list_resources()).resources:
            return True
        return bool((await client.list_resource_templates()).resource_templates)
    except MCPError as error:
        if is_lost(error):
            raise
        return False


def is_lost(error: MCPError) -> bool:
    """Whether the connection is no more, and not only this question."""
    from mcp_types import CONNECTION_CLOSED

    # Servers use the same number for errors of their own, so the package's words have to do.
    closed = error.code == CONNECTION_CLOSED and error.message.startswith(CLOSED)
    return closed or error.message == FORGOTTEN


def sorted_out(found: Sequence[mcp_types.Tool], rules: Rules) -> tuple[dict[str, mcp_types.Tool], dict[str, str]]:
    """The tools that are offered, and why the others are not."""
    offered: dict[str, mcp_types.Tool] = {}
    left_out: dict[str, str] = {}
    for tool in found:
        if why := rules.why_not(tool.name):
            left_out[tool.name] = why
        elif tool.name in offered:
            left_out[tool.name] = "listed twice"
        elif len(msgspec.json.encode(tool.input_schema)) > MOST_SCHEMA:
            left_out[tool.name] = f"its schema has more than {MOST_SCHEMA >> 10} KiB"
        else:
            offered[tool.name] = tool
    return offered, left_out


def shown(name: str, tool: mcp_types.Tool) -> Tool:
    """A tool as models see it."""
    description = (tool.description or tool.title or "")[:MOST_DESCRIPTION]
    return Tool(name, description, tool.input_schema or {"type": "object", "properties": {}})
