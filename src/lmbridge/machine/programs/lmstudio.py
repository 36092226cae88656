"""LM Studio: its `mcp.json`. Source: https://lmstudio.ai/docs/app/mcp (the notation is that of Cursor)."""

from __future__ import annotations

from lmbridge.machine.lmstudio.home import Places, home_folder
from lmbridge.machine.programs.program import Link, Part, Program, mcp_part


def _parts(places: Places, link: Link) -> tuple[Part, ...]:
    return (mcp_part(home_folder(places) / "mcp.json", "mcpServers", link, "json"),)


PROGRAM = Program(
    "lmstudio",
    "LM Studio",
    "https://lmstudio.ai/docs/app/mcp",
    ("tools",),
    _parts,
    home=home_folder,
    commands=("lms",),
    after="LM Studio asks before each call of a tool unless you allow it.",
)
