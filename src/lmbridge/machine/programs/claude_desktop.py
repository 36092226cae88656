"""Claude Desktop: `claude_desktop_config.json`.

Source: https://modelcontextprotocol.io/docs/develop/connect-local-servers, which names the file of macOS and of
Windows. On Linux it lies in the folder of settings, as the program keeps its other files there.
"""

from __future__ import annotations

from pathlib import Path

from lmbridge.machine.lmstudio.home import Places
from lmbridge.machine.programs.places import config_folder
from lmbridge.machine.programs.program import Link, Part, Program, mcp_part


def _home(places: Places) -> Path:
    return config_folder(places) / "Claude"


def _parts(places: Places, link: Link) -> tuple[Part, ...]:
    return (mcp_part(_home(places) / "claude_desktop_config.json", "mcpServers", link, "json"),)


PROGRAM = Program(
    "claude-desktop",
    "Claude Desktop",
    "https://modelcontextprotocol.io/docs/develop/connect-local-servers",
    ("tools",),
    _parts,
    home=_home,
    after="Quit Claude Desktop and start it again: it reads the file when it starts.",
)
