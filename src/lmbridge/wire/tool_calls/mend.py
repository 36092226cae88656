"""What models write instead of JSON, made JSON: small faults only, and nothing that would have to be guessed.

Mended are commas before a closing bracket, single quotes, Python's `True`, `False` and `None`, line ends inside
of texts, brackets that are missing at the end, a fence of Markdown around it all, and JSON inside of a JSON text.
A text or a number that may be cut off is not completed: it would be another one. What is right stays as it is
to the letter, so that it can be passed on before the rest has come.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

MAX_TEXT: Final = 2**20
"""Characters of what is mended; more is left as it is."""
MAX_DEPTH: Final = 64

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORD: Final = re.compile(r"[A-Za-z]+")
_PLAIN: Final = re.compile(r"[^\"'\\\x00-\x1f]+")
_ESCAPE: Final = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
_FENCE: Final = "```"
_WORDS: Final = {
    "true": "true",
    "false": "false",
    "null": "null",
    "True": "true",
    "False": "false",
    "None": "null",
}
_CONTROLS: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Unmendable(ValueError):
    """A text that cannot be made JSON without guessing."""


def decode_loosely(text: str) -> object:
    """The value that *text* means.

    Raises:
        Unmendable: it means none, or none that can be told without guessing.
    """
    return msgspec.json.decode(mended(text))


def mended(text: str, *, cut: bool = False) -> str:
    """*text* as JSON; the same text if it is JSON already.

    Args:
        cut: the answer was cut off by a limit, so that brackets missing at the end stay missing.

    Raises:
        Unmendable: it cannot be.
    """
    if is_json(text):
        value = msgspec.json.decode(text)
        return mended(_once(value), cut=cut) if isinstance(value, str) else text
    if len(text) > MAX_TEXT:
        raise Unmendable("too long to be mended")
    inner = _within_fence(text)
    if inner is not None:
        return mended(inner, cut=cut) if _within_fence(inner) is None else _refuse("fences in fences")
    made = _Mender(text, cut).mend()
    # A number without end, or half of a letter: written as JSON has it, and still no value.
    return made if is_json(made) else _refuse("a value that JSON cannot hold")


def is_json(text: str) -> bool:
    """Whether *text* is one JSON value."""
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
        msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def _once(inner: str) -> str:
    """The text inside of a JSON text, if it is an object: else a text was meant."""
    return inner if inner.lstrip()[:1] == "{" else _refuse("a text and no object")


def _within_fence(text: str) -> str | None:
    """What a fence of Markdown is around; None without one."""
    text = text.strip()
    if not (text.startswith(_FENCE) and text.endswith(_FENCE)):
        return None
    label, line_end, inner = text[len(_FENCE) : -len(_FENCE)].partition("\n")
    return inner.strip() if line_end and not label.strip().strip("_abcdefghijklmnopqrstuvwxyz") else None


def _refuse(why: str) -> str:
    raise Unmendable(why)


class _Mender:
    """Reads one value, and writes it as JSON."""

    def __init__(self, text: str, cut: bool) -> None:
        self._text, self._cut = text, cut
        self._at = 0
        self._out: list[str] = []

    def mend(self) -> str:
        self._space()
        self._value(0)
        self._space()
        if self._at < len(self._text):
            _refuse("something follows")
        return "".join(self._out)

    def _next(self) -> str:
        """The next character; "" at the end."""
        return self._text[self._at : self._at + 1]

    def _copy(self, length: int) -> None:
        self._out.append(self._text[self._at : self._at + length])
        self._at += length

    def _space(self) -> None:
        found = _SPACE.match(self._text, self._at)
        self._copy(len(found[0]) if found else 0)

    def _value(self, depth: int) -> None:
        char = self._next()
        if depth > MAX_DEPTH:
            _refuse("nested too deeply")
        if char in ("{", "["):
            self._copy(1)
            self._members("}" if char == "{" else "]", depth)
        elif char in ("'", '"'):
            self._string(char)
        elif found := _NUMBER.match(self._text, self._at):
            self._copy(len(found[0]))
            if self._at == len(self._text):
                _refuse("a number that may be cut off")
        else:
            found = _WORD.match(self._text, self._at)
            self._out.append(_WORDS.get(found[0] if found else "", "") or _refuse("no value"))
            self._at += len(found[0]) if found else 0

    def _members(self, closing: str, depth: int) -> None:
        """What is in an object or a list, and the bracket that closes it."""
        self._space()
        while (char := self._next()) not in (closing, ""):
            if closing == "}":
                self._string(char)
                self._space()
                if self._next() != ":":
                    _refuse("a name without a value")
                self._copy(1)
                self._space()
            self._value(depth + 1)
            self._space()
            if not self._comma(closing):
                break
        self._close(closing)

    def _comma(self, closing: str) -> bool:
        """Whether another member may follow; the comma before a bracket is dropped, with the space after it."""
        if self._next() != ",":
            return False
        before = len(self._out)
        self._copy(1)
        self._space()
        if self._next() in (closing, ""):
            del self._out[before:]
        return True

    def _close(self, closing: str) -> None:
        if self._next() == closing:
            self._copy(1)
        elif self._at == len(self._text) and not self._cut:
            self._out.append(closing)
        else:
            _refuse("not closed")

    def _string(self, quote: str) -> None:
        if quote not in ("'", '"'):
            _refuse("a name without quotes")
        self._at += 1
        self._out.append('"')
        while (char := self._next()) != quote:
            self._out.append(self._piece(char))
        self._at += 1
        self._out.append('"')

    def _piece(self, char: str) -> str:
        """The next piece of a text, as JSON writes it."""
        found = _PLAIN.match(self._text, self._at) or _ESCAPE.match(self._text, self._at)
        if found:
            self._at += len(found[0])
            return found[0]
        if char == "\\" and self._text[self._at + 1 : self._at + 2] == "'":
            self._at += 2
            return "'"
        if char in ("", "\\"):
            _refuse("a text that does not end, or an unknown escape in it")
        self._at += 1
        if char in ("'", '"'):
            return "'" if char == "'" else '\\"'
        return _CONTROLS.get(char) or f"\\u{ord(char):04x}"
