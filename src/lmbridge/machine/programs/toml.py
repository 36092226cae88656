"""TOML, changed in place: a line is added, replaced or taken away, and everything else stays as it is written.

`tomllib` says what a text means; what is here only finds where it is written. Source: https://toml.io/en/v1.0.0.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from lmbridge.machine.programs.values import Broken, Path, line_at

_BLANK: Final = re.compile(r"[ \t\r\n\ufeff]*(?:#[^\n]*\n?[ \t\r\n]*)*")
_PIECE: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*|[\[\]{}]|[\r\n]|[^"\'#\[\]{}\r\n]+',
    re.DOTALL,
)
_KEY: Final = re.compile(r"""[ \t]*("(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[A-Za-z0-9_-]+)[ \t]*""")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


class Statement(Struct, frozen=True):
    """A header (`[a.b]`) or a key with its value.

    Attributes:
        path: of the table, or of the value. start: of it. value: where its value begins; a header has none (0).
        end: of header or value.
    """

    path: Path
    start: int
    value: int
    end: int


def values(text: str) -> object:
    """What the text means.

    Raises:
        Broken: it is no TOML.
    """
    try:
        return tomllib.loads(text.removeprefix("\ufeff").replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        at = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", str(error))
        reason = str(error)[: at.start()] if at else str(error)
        line = int(at[1]) if at and at[1] else line_at(text, len(text.rstrip()))
        raise Broken(line, reason[:1].lower() + reason[1:]) from error
    except RecursionError as error:
        raise Broken(0, "it is nested too deep") from error


def put(text: str, path: Path, value: object) -> str:
    """The text with another value at *path*: a new line in its table, which is made at the end if missing."""
    statements = list(_statements(text))
    for each in statements:
        if each.value and each.path == path:
            return text[: each.value] + _written(value) + text[each.end :]
    new = "\r\n" if "\r\n" in text else "\n"
    line = f"{_name(path[-1])} = {_written(value)}{new}"
    headers = [each for each in statements if not each.value]
    if len(path) > 1 and not any(each.path == path[:-1] for each in headers):
        gap = "" if not text.strip("\ufeff \t\r\n") else new if text.endswith("\n") else new * 2
        return f"{text}{gap}[{'.'.join(map(_name, path[:-1]))}]{new}{line}"
    at = _end_of_table(statements, path[:-1])
    if at is None:
        head = len(text) - len(text.lstrip("\ufeff"))
        return text[:head] + line + (new if text[head:].lstrip(" \t").startswith("[") else "") + text[head:]
    after = _line_end(text, at)
    if after == len(text) and not text.endswith("\n"):
        return f"{text}{new}{line}"
    return text[:after] + line + text[after:]


def drop(text: str, path: Path) -> str:
    """The text without the line of *path*, or the lines of that table, with the blank line before each header."""
    for each in reversed([each for each in _statements(text) if each.path[: len(path)] == path]):
        start, end = text.rfind("\n", 0, each.start) + 1, _line_end(text, each.end)
        if not each.value and text[:start].endswith("\n\n"):
            start -= 1
        elif not each.value and text[:start].endswith("\n\r\n"):
            start -= 2
        text = text[:start] + text[end:]
    return text


def raw(text: str, path: Path) -> str | None:
    """How the value at *path* is written; None where there is none, or it is a table."""
    for each in _statements(text):
        if each.value and each.path == path:
            return text[each.value : each.end]
    return None


def put_raw(text: str, path: Path, written: str) -> str:
    """The text with what is written at *path* replaced; as it is where nothing is."""
    for each in _statements(text):
        if each.value and each.path == path:
            return text[: each.value] + written + text[each.end :]
    return text


def _statements(text: str) -> Iterator[Statement]:
    """Headers and keys in their order; the text is known to be TOML."""
    at = _skip(text, 0)
    table: Path = ()
    while at < len(text):
        if text[at] == "[":
            start, double = at, text[at : at + 2] == "[["
            table, at = _key(text, at + 1 + double)
            at += 1 + double
            # What is below `[[a]]` is no place of its own: there may be many.
            table = (*table, "") if double else table
            yield Statement(table, start, 0, at)
        else:
            start = at
            name, at = _key(text, at)
            value = at + 1 + len(text[at + 1 :]) - len(text[at + 1 :].lstrip(" \t"))
            at = _value_end(text, value)
            yield Statement((*table, *name), start, value, at)
        at = _skip(text, at)


def _skip(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _key(text: str, at: int) -> tuple[Path, int]:
    """A key with dots, and where what follows it begins."""
    names: list[str] = []
    while match := _KEY.match(text, at):
        names.append(next(iter(tomllib.loads(f"{match[1]} = 0"))))
        at = match.end()
        if text[at : at + 1] != ".":
            break
        at += 1
    return tuple(names), at


def _value_end(text: str, at: int) -> int:
    """Where the value that begins here ends, without blanks and a comment behind it."""
    depth, end = 0, at
    while match := _PIECE.match(text, at):
        piece = match[0]
        if piece in "\r\n" or piece.startswith("#"):
            if not depth:
                break
        else:
            depth += (piece in "[{") - (piece in "]}")
            end = match.start() + len(piece.rstrip(" \t"))
        at = match.end()
    return end


def _end_of_table(statements: list[Statement], table: Path) -> int | None:
    """Where the last statement of a table ends; None where the text has nothing before its first table."""
    end, inside = None, not table
    for each in statements:
        if not each.value:
            inside = each.path == table
        if inside:
            end = each.end
    return end


def _line_end(text: str, at: int) -> int:
    found_at = text.find("\n", at)
    return len(text) if found_at < 0 else found_at + 1


def _name(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _written(value: object) -> str:
    """A value as TOML writes it: JSON's form for texts, numbers, true and false, and lists; tables inline."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_name(name)} = {_written(each)}" for name, each in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
