"""`lmbridge connect` without a program: which there are, and which are connected."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from lmbridge.cli import render
from lmbridge.config import load_config
from lmbridge.machine.lmstudio.home import Places
from lmbridge.machine.programs.catalogue import PROGRAMS
from lmbridge.machine.programs.places import on_path, shown
from lmbridge.machine.programs.program import Link, Program
from lmbridge.machine.programs.records import Connection, Connections

BLANK: Final = Link(url="http://127.0.0.1:1235", command=("lmbridge", "mcp"))


class Row(Struct, frozen=True):
    """A program in the list.

    Attributes:
        found: it is on this computer. uses: what it gets, or can get. url: of the gateway it is connected to.
    """

    program: str
    name: str
    found: bool
    connected: bool
    uses: tuple[str, ...]
    url: str | None
    files: tuple[str, ...]
    source: str

    @property
    def state(self) -> str:
        """The same in a word."""
        return "connected" if self.connected else "found" if self.found else "not found"


def show(*, as_json: bool) -> None:
    """List every program: what it gets, whether it is on this computer, and its files."""
    places = Places.here()
    connected = {each.program: each for each in Connections(load_config().home).all()}
    rows = [_row(program, places, connected.get(program.id)) for program in PROGRAMS.values()]
    if as_json:
        render.json({"programs": [msgspec.structs.asdict(row) for row in rows]})
        return
    lines = [
        (row.program, row.state, ", ".join(row.uses), ", ".join(shown(Path(file), places) for file in row.files))
        for row in rows
    ]
    render.table(("PROGRAM", "STATE", "GETS", "FILES"), lines)
    render.note("`lmbridge connect PROGRAM` shows what it would change, and asks.", "dim")


def is_there(program: Program, places: Places) -> bool:
    """Whether a program is, or was used, on this computer."""
    home = program.home(places)
    return (home is not None and home.is_dir()) or on_path(places, *program.commands)


def _row(program: Program, places: Places, mine: Connection | None) -> Row:
    files = tuple(dict.fromkeys(str(part.file) for part in program.parts(places, BLANK)))
    return Row(
        program.id,
        program.name,
        is_there(program, places),
        mine is not None,
        mine.uses if mine is not None else program.uses,
        (mine.url or None) if mine is not None else None,
        tuple(file.path for file in mine.files) if mine is not None else files,
        program.source,
    )
