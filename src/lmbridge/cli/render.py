"""Everything that reaches the terminal or a pipe. Nothing else prints.

Colours and symbols are for terminals only; a pipe gets plain text. What models and files say cannot
steer the terminal: control characters are made visible.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from lmbridge.cli.exits import UNEXPECTED, USAGE, exit_code
from lmbridge.core.errors import BridgeError, ConfigInvalid, NoSpace
from lmbridge.machine.home import home

if TYPE_CHECKING:
    from rich.console import Console

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What could move the cursor, recolour, retitle or reorder: all controls but tab and line feed."""

STYLES: Mapping[str, str] = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def is_terminal(stream: TextIO) -> bool:
    """Whether a person looks at it."""
    return bool(stream) and stream.isatty()


def can_redraw(stream: TextIO) -> bool:
    """Whether what was written there can be written over: a terminal that knows how to move its cursor."""
    return is_terminal(stream) and os.environ.get("TERM") not in ("dumb", "unknown")


def coloured(stream: TextIO) -> bool:
    """Whether it may be coloured: a terminal that can, and nobody objects (https://no-color.org)."""
    return can_redraw(stream) and not os.environ.get("NO_COLOR")


def paint(text: str, *styles: str, stream: TextIO | None = None) -> str:
    """*text* in the styles named, where the stream (standard output) is coloured."""
    if not text or not styles or not coloured(stream or sys.stdout):
        return text
    return f"\x1b[{';'.join(STYLES[style] for style in styles)}m{text}\x1b[0m"


def printable(text: str) -> str:
    """*text* with its control characters replaced, so that it cannot do anything to a terminal."""
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def line(text: str = "") -> None:
    """One line to standard output."""
    print(text, flush=True)


def sentence(text: str, hang: int = 0) -> None:
    """What people read, to standard output: broken between words where a terminal ends, one line elsewhere.

    Args:
        hang: blanks before each line but the first.
    """
    line(_wrapped(text, hang, sys.stdout))


def note(text: str = "", *styles: str, hang: int = 0) -> None:
    """A sentence to standard error: for people, never part of the result."""
    print(paint(_wrapped(text, hang, sys.stderr), *styles, stream=sys.stderr), file=sys.stderr, flush=True)


def as_it_is(text: str, *styles: str) -> None:
    """A line to standard error that is not broken, however long it is."""
    print(paint(text, *styles, stream=sys.stderr), file=sys.stderr, flush=True)


def _wrapped(text: str, hang: int, stream: TextIO) -> str:
    """*text* with line feeds between words, so that no line is wider than the terminal.

    A word that fits on no line stays where it is, whole: addresses and paths are to be copied. So are commands,
    which `backticks` make one word as long as that fits on a line.
    """
    if not is_terminal(stream):
        return text
    room = columns(stream)
    hang = min(hang, room // 3)
    lines: list[str] = []
    for part in text.split("\n"):
        first, *words = _words(part, room - hang)
        shown, wide = first, _width(first)
        for word in words:
            more = _width(word)
            if wide + 1 + more > room and hang + more <= room and shown.strip():
                lines.append(shown.rstrip(" "))
                shown, wide = " " * hang + word, hang + more
            else:
                shown, wide = f"{shown} {word}", wide + 1 + more
        lines.append(shown)
    return "\n".join(lines)


def _words(text: str, most: int) -> list[str]:
    """What is between the blanks; a command between backticks is one word unless it is wider than *most*."""
    words: list[str] = []
    command: list[str] = []
    for word in text.split(" "):
        command.append(word)
        if "".join(command).count("`") % 2 == 0:
            whole = " ".join(command)
            words += [whole] if _width(whole) <= most else command
            command = []
    return words + command


def columns(stream: TextIO) -> int:
    """How wide the terminal is that *stream* goes to."""
    told = os.environ.get("COLUMNS", "")
    if told.isdecimal() and int(told):
        return int(told)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (ValueError, OSError):
        return 80


def _width(text: str) -> int:
    """Columns it takes; colour codes take none."""
    return len(click.unstyle(text))


def write(text: str) -> None:
    """A piece of text to standard output, at once and without a line feed of ours."""
    print(printable(text) if is_terminal(sys.stdout) else text, end="", flush=True)


def json(value: object) -> None:
    """One JSON value to standard output: indented for people, on one line for pipes."""
    import msgspec

    data = msgspec.json.encode(value)
    line((msgspec.json.format(data, indent=2) if is_terminal(sys.stdout) else data).decode())


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = (), spare: Sequence[str] = ()
) -> None:
    """Columns under a header, those without a single entry left out.

    The last column is cut off where the terminal ends; a pipe gets all of it.

    Args:
        right: headers of the columns that are flush right.
        spare: headers of columns that are left out where the terminal has no room for all.
    """
    room = columns(sys.stdout) if is_terminal(sys.stdout) else 10_000
    filled = [number for number, name in enumerate(header) if not name or any(row[number] for row in rows)]
    while True:
        lines = [[printable(row[number]) for number in filled] for row in [header, *rows]]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        drop = next((number for number in filled if header[number] in spare), None)
        if drop is None or sum(widths) + 2 * len(widths) - 2 <= room:
            break
        filled.remove(drop)
    for number, cells in enumerate(lines):
        padded = [
            f"{cell:>{width}}" if name in right else f"{cell:<{width}}"
            for cell, width, name in zip(cells, widths, lines[0], strict=True)
        ]
        shown = "  ".join(padded).rstrip()
        shown = shown if len(shown) <= room else f"{shown[: room - 1]}…"
        line(paint(shown, "dim") if number == 0 else shown)


@contextmanager
def changing_line() -> Iterator[Callable[[str], None]]:
    """A line on standard error that is written over again and again, and gone in the end.

    For terminals that `can_redraw` only. What is longer than the terminal is cut off, as a line that wraps
    cannot be written over.
    """

    def show(text: str) -> None:
        room = columns(sys.stderr) - 3  # a terminal that shows ^C must not begin a new line
        plain = click.unstyle(text)
        print(f"\r\x1b[2K{text if len(plain) <= room else plain[:room]}", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        print("\r\x1b[2K", end="", file=sys.stderr, flush=True)


def bar(fraction: float, cells: int = 24) -> str:
    """A bar for standard error that is full at 1."""
    full = round(max(0.0, min(1.0, fraction)) * cells)
    rest = "━" if coloured(sys.stderr) else "·"  # without colours they must differ
    return paint("━" * full, "green", stream=sys.stderr) + paint(rest * (cells - full), "dim", stream=sys.stderr)


def console() -> Console:
    """rich, for what only a terminal gets: markdown."""
    from rich.console import Console
    from rich.theme import Theme

    # No background behind code: it would be a black bar on a light terminal.
    theme = Theme({"markdown.code": "cyan", "markdown.code_block": "none"})
    return Console(highlight=False, no_color=not coloured(sys.stdout) or None, theme=theme)


def confirmed(question: str) -> bool:
    """Whether the user says yes. Asked on standard error, so that a result can go elsewhere.

    Raises:
        click.UsageError: nobody is there to be asked. click.Abort: Ctrl-C.
    """
    if not is_terminal(sys.stdin):
        raise click.UsageError(f"{question} Nobody can be asked here; --yes says so.")
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        note()  # what comes next does not belong into the line of the question
        raise


def usage(error: click.UsageError) -> int:
    """Show the help of a group whose command was not named; returns the exit code."""
    note(error.format_message())
    return USAGE


def usage_error(error: click.ClickException, *, as_json: bool) -> int:
    """Tell what is wrong with the arguments; returns the exit code."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f"`{context.command_path if context else 'lmbridge'} --help` shows how it is used."
    _tell("invalid_request", error.format_message(), hint, as_json=as_json)
    return USAGE


def failure(error: BaseException, *, as_json: bool) -> int:
    """Tell what went wrong and what to do about it; returns the exit code."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if os.environ.get("LMBRIDGE_DEBUG"):
        import traceback

        print("".join(traceback.format_exception(error)), file=sys.stderr, end="")
    if isinstance(error, BridgeError):
        _tell(error.code, error.message, error.hint, as_json=as_json, param=error.param)
        return exit_code(error.code)
    if isinstance(error, OSError) and error.strerror:
        if error.errno == errno.ENOSPC:
            # What has no name is the output itself, which has no room for JSON either.
            return failure(NoSpace(str(error.filename or "the output")), as_json=as_json and bool(error.filename))
        where = f"{error.filename}: " if error.filename else ""
        if _is_ours(error.filename):
            hint = "lmbridge keeps its files there; the variable LMBRIDGE_HOME names another folder."
            return failure(ConfigInvalid(str(error.filename), error.strerror, hint=hint), as_json=as_json)
        _tell("internal_error", f"{where}{error.strerror}.", "", as_json=as_json)
    else:
        _tell("internal_error", f"Unexpected {type(error).__name__}: {error}", DEBUG_HINT, as_json=as_json)
    return UNEXPECTED


def _is_ours(path: object) -> bool:
    """Whether a file belongs to lmbridge's own folder."""
    return isinstance(path, str | os.PathLike) and Path(path).absolute().is_relative_to(home().absolute())


DEBUG_HINT = "This is a fault in lmbridge. Run it again with LMBRIDGE_DEBUG=1 to see where, and report it."


def _tell(code: str, message: str, hint: str, *, as_json: bool, param: str | None = None) -> None:
    if as_json:
        # On standard output, because that is where a program that asked for JSON reads.
        json({"error": {"code": code, "message": message, "hint": hint, "param": param}})
        return
    name = paint("lmbridge:", "red", "bold", stream=sys.stderr)
    note(f"{name} {printable(message)}", hang=2)
    if hint:
        note(f"  {printable(hint)}", "dim", hang=2)


def size(count: int | None) -> str:
    """Bytes for people: `3.1 GB`, `9.6 MB`; "" for unknown. Powers of ten, as file managers count."""
    if count is None:
        return ""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= step:
            return f"{count / step:.1f} {unit}"
    return f"{count} B"


def duration(seconds: float) -> str:
    """Seconds for people: `35 ms`, `1.2 s`, `4 min`, `2 h 5 min`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"
