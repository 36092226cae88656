"""The programs that lmbridge can be connected to."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

from lmbridge.core.errors import LONGEST_NAME, InvalidRequest
from lmbridge.machine.programs import (
    claude_code,
    claude_desktop,
    codex,
    continue_dev,
    cursor,
    lmstudio,
    open_webui,
    shell,
    vscode,
    zed,
)
from lmbridge.machine.programs.program import Program

PROGRAMS: Final[Mapping[str, Program]] = MappingProxyType(
    {
        each.PROGRAM.id: each.PROGRAM
        for each in (
            claude_code,
            claude_desktop,
            codex,
            continue_dev,
            cursor,
            lmstudio,
            open_webui,
            shell,
            vscode,
            zed,
        )
    }
)
"""Each program by its id."""

ALIASES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "claude": "claude-code",
        "code": "vscode",
        "cn": "continue",
        "lm-studio": "lmstudio",
        "openwebui": "open-webui",
        "vs-code": "vscode",
    }
)
"""Other names that people use."""


def program(name: str) -> Program:
    """The program of a name, however it is written.

    Raises:
        InvalidRequest: there is none.
    """
    plain = name[:LONGEST_NAME].strip().lower().replace(" ", "-").replace("_", "-")
    plain = ALIASES.get(plain, plain)
    if plain in PROGRAMS:
        return PROGRAMS[plain]
    near = get_close_matches(plain, [*PROGRAMS, *ALIASES], n=1)
    raise InvalidRequest(
        f"lmbridge knows no program {name[:LONGEST_NAME]!r}.",
        hint=f"Did you mean {ALIASES.get(near[0], near[0])!r}?" if near else "`lmbridge connect` lists them.",
        param="program",
    )
