"""`lmbridge log`: what the gateway answered, to whom and how fast; never what was said."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from msgspec import Struct

from lmbridge.cli import render
from lmbridge.cli.command import BridgeCommand
from lmbridge.cli.moments import Moment

if TYPE_CHECKING:
    from lmbridge.hub.request_log import Line

LOOK_S: Final = 0.2
"""Seconds between two looks at a log that is followed."""
USUAL: Final = 20
"""Requests that are shown where nobody says how many."""


@click.command(
    "log",
    cls=BridgeCommand,
    examples=[
        ("lmbridge log", "the last 20 requests"),
        ("lmbridge log -f", "and those to come, until Ctrl-C"),
        ("lmbridge log --since 1h --errors", "what went wrong in the last hour"),
        ("lmbridge log --since 7d --model qwen --json", "for programs: one JSON object for each"),
    ],
)
@click.option("-f", "--follow", is_flag=True, help="Go on with new ones as they end.")
@click.option("-n", "--lines", metavar="N", type=click.IntRange(min=0), help="The last N.  [default: 20]")
@click.option(
    "--since",
    type=Moment(ahead=False),
    metavar="WHEN",
    help="Those of a span such as 15m, 1h or 7d, or from a day on such as 2026-11-27.",
)
@click.option("--model", metavar="NAME", default="", help="Those for models whose name contains this.")
@click.option("--errors", is_flag=True, help="Those that ended with an error.")
@click.option("--json", "as_json", is_flag=True, help="Print each as one JSON object on a line.")
def command(follow: bool, lines: int | None, since: float | None, model: str, errors: bool, as_json: bool) -> None:
    """Show the requests that the gateway answered: when, for which model, how long, and how they ended.

    There is not a word of prompts and answers in this log. It is kept by every gateway of this user, unless
    `log = false` is in the table [gateway] of the settings.
    """
    from lmbridge.hub.request_log import newest_first
    from lmbridge.machine.home import home, requests_log

    path = requests_log(home())
    wanted = _filter(model, errors=errors)
    tail = Tail(path) if follow else None
    # What the tail has read is history too, and nothing is lost between the two.
    before = chain(reversed(tail.read()), newest_first(path, older=True)) if tail else newest_first(path)
    most = lines if lines is not None else None if since is not None else USUAL
    shown = [*islice(filter(wanted, _after(before, since)), most)][::-1]
    show = _as_json if as_json else _Table(shown, more=follow).show
    if not shown and not as_json:
        _nothing(path, follow=follow)
    for line in shown:
        show(line)
    while tail is not None:
        time.sleep(LOOK_S)
        for line in filter(wanted, tail.read()):
            show(line)


def _after(lines: Iterable[Line], since: float | None) -> Iterable[Line]:
    """Those after a moment, of lines that come newest first."""
    return lines if since is None else takewhile(lambda line: line.time.timestamp() >= since, lines)


def _filter(model: str, *, errors: bool) -> Callable[[Line], bool]:
    name = model.lower()

    def wanted(line: Line) -> bool:
        return name in f"{line.provider}:{line.model}".lower() and (bool(line.error) or not errors)

    return wanted


def _as_json(line: Line) -> None:
    import msgspec

    render.line(msgspec.json.encode(line).decode())


def _nothing(path: Path, *, follow: bool) -> None:
    """Say why nothing is shown; a log that is followed may still get something."""
    from lmbridge.config import load_config
    from lmbridge.hub.request_log import files

    if not load_config().gateway.log:
        render.note("The log is switched off: `log = false` in the table [gateway] of the settings.")
    elif files(path):
        render.note("No request of that kind is in the log." if not follow else "No such request so far.")
    else:
        render.note("There is no log yet: the gateway writes one as soon as it is asked something.")


class Tail:
    """The end of a log, read on as it grows. No file is kept open, so that it can be put aside meanwhile."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file, self._offset, self._rest = 0, 0, b""

    def read(self) -> list[Line]:
        """The lines that came since the last call; at first all of the newest file."""
        from lmbridge.hub.request_log import decode_line

        *whole, self._rest = (self._rest + self._more()).split(b"\n")
        return [line for raw in whole if (line := decode_line(raw)) is not None]

    def _more(self) -> bytes:
        from lmbridge.hub.request_log import files

        data = b""
        # A file that is put aside in this very moment is found at the next look, by its number.
        with suppress(FileNotFoundError):
            found = [(file, file.stat().st_ino) for file in files(self._path)]
            known = next((place for place, (_, number) in enumerate(found) if number == self._file), 0)
            for file, number in found[known::-1]:  # the one that was read last, then those after it
                more = self._read(file, number)
                if more is None:
                    break
                data += more
        return data

    def _read(self, file: Path, number: int) -> bytes | None:
        offset = self._offset if number == self._file else 0
        with file.open("rb") as opened:
            stat = os.fstat(opened.fileno())
            if stat.st_ino != number:
                return None
            opened.seek(offset if offset <= stat.st_size else 0)  # somebody may have emptied it
            data = opened.read()
            self._file, self._offset = number, opened.tell()
        return data


class _Column(Struct, frozen=True):
    """A column: at least this wide, at most that, and whether numbers are in it."""

    name: str
    least: int
    most: int
    right: bool = False


COLUMNS: Final = (
    _Column("TIME", 8, 11),
    _Column("STATUS", 6, 6),
    _Column("REQUEST", 16, 36),
    _Column("MODEL", 16, 32),
    _Column("TOKENS", 9, 16, right=True),
    _Column("FIRST", 7, 8, right=True),
    _Column("TOTAL", 7, 8, right=True),
    _Column("KEY", 3, 16),
    _Column("NOTE", 16, 40),
)
SPARE: Final = ("KEY", "FIRST", "TOKENS")
"""Columns that are left out, in this order, where a terminal is too narrow for all."""


class _Table:
    """Rows under a header, as wide as the first ones need: those that come later are cut to that.

    Args:
        first: the lines that are there already. more: whether others will follow.
    """

    def __init__(self, first: Iterable[Line], *, more: bool) -> None:
        self._room = render.columns(sys.stdout) if render.is_terminal(sys.stdout) else 10_000
        self._widths = _widths([_cells(line) for line in first], self._room, more=more)
        self._begun = False

    def show(self, line: Line) -> None:
        """Print one line, the header before the first."""
        if not self._begun:
            self._begun = True
            render.line(render.paint(self._row({column.name: column.name for column in COLUMNS}), "dim"))
        row = self._row(_cells(line))
        render.line(render.paint(row, _colour(line)) if _colour(line) else row)

    def _row(self, cells: dict[str, str]) -> str:
        shown = []
        for column in COLUMNS:
            if column.name in self._widths:
                width, cell = self._widths[column.name], cells[column.name]
                cell = cell if len(cell) <= width or column is COLUMNS[-1] else f"{cell[: width - 1]}…"
                shown.append(f"{cell:>{width}}" if column.right else f"{cell:<{width}}")
        row = "  ".join(shown).rstrip()
        return row if len(row) <= self._room else f"{row[: self._room - 1]}…"


def _widths(rows: Sequence[Mapping[str, str]], room: int, *, more: bool) -> dict[str, int]:
    """The columns that are shown, and how wide each is."""
    widths = {}
    for column in COLUMNS:
        longest = max((len(row[column.name]) for row in rows), default=0)
        if longest or more:
            widths[column.name] = min(column.most, max(column.least, longest))
    narrow = {column.name: column.least for column in COLUMNS if column.name in ("REQUEST", "MODEL")}
    for step in (*narrow, *SPARE):
        if sum(widths.values()) + 2 * len(widths) - 2 <= room:
            break
        if step in narrow:
            widths |= {step: min(widths[step], narrow[step])} if step in widths else {}
        else:
            widths.pop(step, None)
    return widths


def _cells(line: Line) -> dict[str, str]:
    asked = (
        f"{line.door} {line.route.removeprefix(f'{line.door}-')}" if line.route else f"{line.method} {line.path}"
    )
    tokens = f"{line.prompt_tokens} → {line.completion_tokens}" if line.prompt_tokens else ""
    return {
        "TIME": _clock(line.time.timestamp()),
        "STATUS": str(line.status or "–"),  # noqa: RUF001 - a dash, no minus
        "REQUEST": render.printable(asked),
        "MODEL": render.printable(line.model),
        "TOKENS": tokens,
        "FIRST": "" if line.first_event_s is None else render.duration(line.first_event_s),
        "TOTAL": render.duration(line.total_s) if line.total_s >= 0.001 else "< 1 ms",
        "KEY": render.printable(line.key),
        "NOTE": ", ".join(_notes(line)),
    }


def _notes(line: Line) -> Iterator[str]:
    if line.error:
        yield render.printable(line.error)
    if line.cancelled:
        yield "caller left"
    if line.queued_s >= 0.01:
        behind = f" behind {line.ahead}" if line.ahead else ""
        yield f"waited {render.duration(line.queued_s)}{behind}"


def _colour(line: Line) -> str:
    if line.error:
        return "red" if line.status >= 500 or line.status < 400 else "yellow"
    return "dim" if line.cancelled else ""


def _clock(seconds: float) -> str:
    """The time of day, with the day if it is another one."""
    then, now = time.localtime(seconds), time.localtime()
    return time.strftime("%H:%M:%S" if then[:3] == now[:3] else "%m-%d %H:%M", then)
