"""Visual Studio Code: the user's `mcp.json`, JSON with comments.

Source: https://code.visualstudio.com/docs/copilot/reference/mcp-configuration (`servers`, `type`).
"""

from __future__ import annotations

from pathlib import Path

from lmbridge.machine.lmstudio.home import Places
from lmbridge.machine.programs.places import config_folder
from lmbridge.machine.programs.program import Link, Part, Program, mcp_part


def _home(places: Places) -> Path:
    return config_folder(places) / "Code" / "User"


def _parts(places: Places, link: Link) -> tuple[Part, ...]:
    return (mcp_part(_home(places) / "mcp.json", "servers", link, "jsonc", type="stdio"),)


PROGRAM = Program(
    "vscode",
    "Visual Studio Code",
    "https://code.visualstudio.com/docs/copilot/reference/mcp-configuration",
    ("tools",),
    _parts,
    home=_home,
    commands=("code",),
    after="VS Code asks whether you trust the server when it is started first.",
)
