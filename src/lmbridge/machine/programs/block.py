"""Variables of the environment, in a block of lines between two marks: for profiles of shells, and for files that
programs read variables from.

The rest of such a file is a program in a language of its own: it is never looked at.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from lmbridge.machine.programs.values import Broken, Path, line_at

Dialect: TypeAlias = Literal["sh", "fish", "powershell", "env"]
"""Who reads the lines: sh, bash and zsh; fish; PowerShell; a file of `NAME=value`, as Docker's `--env-file`."""

BEGIN: Final = "# >>> lmbridge: written by `lmbridge connect`, removed by `lmbridge disconnect` >>>"
END: Final = "# <<< lmbridge <<<"

_LINES: Final[Mapping[Dialect, re.Pattern[str]]] = {
    "sh": re.compile(r"export (\w+)=(.*)"),
    "fish": re.compile(r"set -gx (\w+) (.*)"),
    "powershell": re.compile(r"\$env:(\w+) = (.*)"),
    "env": re.compile(r"(\w+)=(.*)"),
}


def line(dialect: Dialect, name: str, value: str) -> str:
    """The line that gives a variable its value."""
    if dialect == "sh":
        return f"export {name}={shlex.quote(value)}"
    if dialect == "fish":
        # Within single quotes fish knows two escapes: https://fishshell.com/docs/current/language.html#quotes
        quoted = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"set -gx {name} '{quoted}'"
    if dialect == "powershell":
        return f"$env:{name} = '{value.replace(chr(39), chr(39) * 2)}'"
    return f"{name}={value}"


def values(text: str, dialect: Dialect) -> object:
    """The variables of the block; {} where there is none.

    Raises:
        Broken: the block has a beginning and no end, or an end before its beginning, or there are two.
    """
    span = _span(text)
    if span is None:
        return {}
    read: dict[str, object] = {}
    for each in text[span[0] : span[1]].splitlines():
        match = _LINES[dialect].fullmatch(each)
        if match:
            read[match[1]] = _unquoted(match[2], dialect)
    return read


def put(text: str, path: Path, value: object, dialect: Dialect) -> str:
    """The text with a variable in its block, which is made at the end if it is missing."""
    new = "\r\n" if "\r\n" in text else "\n"
    written = line(dialect, path[0], str(value)) + new
    text = drop(text, path, dialect)
    span = _span(text)
    if span is None:
        head = text if not text or text.endswith("\n") else text + new
        return f"{head}{BEGIN}{new}{written}{END}{new}"
    at = text.rindex(END, *span)
    return text[:at] + written + text[at:]


def drop(text: str, path: Path, dialect: Dialect) -> str:
    """The text without a variable of its block; the block goes once it is empty."""
    span = _span(text)
    if span is None:
        return text
    lines = text[span[0] : span[1]].splitlines(keepends=True)
    kept = [each for each in lines if not _gives(each, path[0], dialect)]
    if kept != lines and not any(_LINES[dialect].fullmatch(each.rstrip("\r\n")) for each in kept):
        kept = []
    return text[: span[0]] + "".join(kept) + text[span[1] :]


def raw(text: str, path: Path, dialect: Dialect) -> str | None:
    """The line of a variable; None where there is none."""
    span = _span(text)
    lines = text[span[0] : span[1]].splitlines() if span else []
    return next((each for each in lines if _gives(each, path[0], dialect)), None)


def put_raw(text: str, path: Path, written: str, dialect: Dialect) -> str:
    """The text with the line of a variable replaced."""
    there = raw(text, path, dialect)
    return text if there is None else text.replace(there, written, 1)


def _gives(text: str, name: str, dialect: Dialect) -> bool:
    match = _LINES[dialect].fullmatch(text.rstrip("\r\n"))
    return match is not None and match[1] == name


def _span(text: str) -> tuple[int, int] | None:
    """From the block's beginning to the end of its last line."""
    begins = [match.start() for match in re.finditer(rf"^{re.escape(BEGIN)}\r?$", text, re.MULTILINE)]
    ends = list(re.finditer(rf"^{re.escape(END)}(?:\r?\n|$)", text, re.MULTILINE))
    if not begins and not ends:
        return None
    if len(begins) != 1 or len(ends) != 1 or ends[0].start() < begins[0]:
        at = begins[0] if begins else ends[0].start()
        raise Broken(line_at(text, at), "the block of lmbridge is not whole, or there are two; remove it by hand")
    return begins[0], ends[0].end()


def _unquoted(text: str, dialect: Dialect) -> str:
    if dialect == "sh":
        return "".join(shlex.split(text)[:1])
    if dialect == "fish":
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text[1:-1].replace("''", "'") if dialect == "powershell" else text
