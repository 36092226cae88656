"""Cursor: `~/.cursor/mcp.json`, for all projects. Source: https://cursor.com/docs/context/mcp.

Its models cannot be set in a file, and its servers, which ask them, do not reach this computer.
"""

from __future__ import annotations

from pathlib import Path

from lmbridge.machine.lmstudio.home import Places
from lmbridge.machine.programs.program import Link, Part, Program, mcp_part


def _home(places: Places) -> Path:
    return places.user_home / ".cursor"


def _parts(places: Places, link: Link) -> tuple[Part, ...]:
    return (mcp_part(_home(places) / "mcp.json", "mcpServers", link, "jsonc"),)


PROGRAM = Program(
    "cursor",
    "Cursor",
    "https://cursor.com/docs/context/mcp",
    ("tools",),
    _parts,
    home=_home,
    commands=("cursor",),
    after="Start Cursor again, and see that the server is switched on among its MCP servers.",
)
