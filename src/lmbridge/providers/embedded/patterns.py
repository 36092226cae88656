r"""Regular expressions of JSON schemas, in the small language that the engine's grammar understands.

The engine takes any text where it does not understand a pattern. It knows groups, alternatives, classes of
plain characters and repetition, between `^` and `$`; it does not know `\d`, `\w`, `\s`, nor patterns that may
match anywhere in a text. And it takes what is between for the text as JSON writes it, so that a `.` may produce
a bare quotation mark, which ends in an error. So a pattern is written anew: classes in full, quotation marks and
backslashes escaped as JSON wants them, and never a control character.

The result may match fewer texts than the pattern does, never others. Pure: no I/O.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

Ranges: TypeAlias = list[tuple[int, int]]

MAX_LENGTH: Final = 1000
MAX_COUNT: Final = 500

# As ECMA-262 defines them, for ASCII.
_CLASSES: Final[dict[str, Ranges]] = {
    "d": [(48, 57)],
    "w": [(48, 57), (65, 90), (95, 95), (97, 122)],
    "s": [(9, 13), (32, 32)],
}
_CONTROL: Final = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "0": 0}
# What cannot stand in a JSON text as it is: control characters, quotation mark, backslash, halves of pairs.
_BARRED: Final[Ranges] = [(0, 31), (34, 34), (92, 92), (127, 127), (0xD800, 0xDFFF)]
_IN_JSON: Final = {34: '\\\\"', 92: "\\\\\\\\", 9: "\\\\t", 10: "\\\\n", 13: "\\\\r", 12: "\\\\f"}
_COUNT: Final = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_HEXADECIMAL: Final = re.compile(r"u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})")


class Unsupported(ValueError):
    """Why a pattern cannot be followed."""


def translated(pattern: str) -> str:
    """*pattern* in the engine's language.

    Raises:
        Unsupported: there is no such thing.
    """
    if len(pattern) > MAX_LENGTH:
        raise Unsupported(f"longer than {MAX_LENGTH} characters")
    starts = pattern.startswith("^")
    ends = pattern.endswith("$") and not _escaped(pattern, len(pattern) - 1)
    translation = _Translation(pattern[starts : len(pattern) - ends])
    written = translation.run()
    if translation.alternatives:
        if starts or ends:
            raise Unsupported("alternatives beside `^` or `$` must be in a group, as in ^(a|b)$")
        written = f"({written})"
    anything = f"{_written([], negated=True)}*"
    return f"^{'' if starts else anything}{written}{'' if ends else anything}$"


def _escaped(text: str, position: int) -> bool:
    before = text[:position]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1


class _Translation:
    """One pass over the part of a pattern between its anchors.

    Attributes:
        alternatives: whether there are some outside of all groups.
    """

    def __init__(self, text: str) -> None:
        self._text, self._at, self._depth = text, 0, 0
        self.alternatives = False

    def run(self) -> str:
        out = []
        while self._at < len(self._text):
            out.append(self._next())
        return "".join(out)

    def _next(self) -> str:
        letter = self._text[self._at]
        match letter:
            case "\\":
                return self._escape()
            case "[":
                return self._class()
            case "(":
                return self._group()
            case "{":
                return self._count()
            case "^" | "$":
                raise Unsupported(f"`{letter}` in the middle")
            case _:
                self._at += 1
        match letter:
            case ".":
                return _written([], negated=True)
            case "*" | "+" | "?":
                self._end_repetition()
                return letter
            case ")":
                self._depth -= 1
                return letter
            case "|":
                self.alternatives |= self._depth == 0
                return letter
            case _:
                return _literal(ord(letter))

    def _group(self) -> str:
        self._depth += 1
        opening = "(?:" if self._text.startswith("(?:", self._at) else "("
        if opening == "(" and self._text.startswith("(?", self._at):
            raise Unsupported("look-around, names and flags")
        self._at += len(opening)
        return "("

    def _count(self) -> str:
        found = _COUNT.match(self._text, self._at)
        if found is None:
            raise Unsupported("a `{` that is not a count such as {2,3}")
        if max(int(found[1]), int(found[2] or 0)) > MAX_COUNT:
            raise Unsupported(f"a count above {MAX_COUNT}")
        self._at = found.end()
        self._end_repetition()
        return found[0]

    def _end_repetition(self) -> None:
        """Pass over the `?` of a lazy repetition: it says how to look for a text, not which texts match."""
        if self._text.startswith("?", self._at):
            self._at += 1
        elif self._text.startswith("+", self._at):
            raise Unsupported("a repetition that gives nothing back")

    def _escape(self) -> str:
        letter = self._text[self._at + 1 : self._at + 2]
        if letter in _CLASSES:
            self._at += 2
            return _written(_CLASSES[letter])
        if letter and letter in "DWS":
            self._at += 2
            return _written(_CLASSES[letter.lower()], negated=True)
        return _literal(self._character())

    def _character(self) -> int:
        """The character at this place, which may be written as an escape."""
        if self._text[self._at] != "\\":
            self._at += 1
            return ord(self._text[self._at - 1])
        hexadecimal = _HEXADECIMAL.match(self._text, self._at + 1)
        if hexadecimal:
            self._at = hexadecimal.end()
            return int(hexadecimal[1] or hexadecimal[2], 16)
        letter = self._text[self._at + 1 : self._at + 2]
        self._at += 2
        if letter in _CONTROL:
            return _CONTROL[letter]
        if not letter or letter.isalnum():
            raise Unsupported(f"`\\{letter}`")
        return ord(letter)

    def _class(self) -> str:
        self._at += 1
        negated = self._text.startswith("^", self._at)
        self._at += negated
        ranges: Ranges = []
        while self._at < len(self._text) and self._text[self._at] != "]":
            if self._text[self._at] == "\\" and self._text[self._at + 1 : self._at + 2] in _CLASSES:
                ranges += _CLASSES[self._text[self._at + 1]]
                self._at += 2
                continue
            low = high = self._character()
            rest = self._text[self._at : self._at + 2]
            if rest.startswith("-") and rest[1:] not in ("", "]"):
                self._at += 1
                high = self._character()
            if high < low:
                raise Unsupported("a range that runs backwards")
            ranges.append((low, high))
        self._at += 1
        return _written(ranges, negated=negated)


def _literal(code: int) -> str:
    if code in _IN_JSON:
        return f"({_IN_JSON[code]})"
    if any(low <= code <= high for low, high in _BARRED):
        raise Unsupported("a control character")
    return _letter(code)


def _letter(code: int) -> str:
    """One character, written so that it stands for nothing else."""
    letter = chr(code)
    if code > 127:
        return f"[{letter}]"  # bare, the engine would repeat its last byte only
    return letter if letter.isalnum() or letter in " _" else f"\\x{code:02X}"


def _written(ranges: Ranges, *, negated: bool = False) -> str:
    """A class of characters, less those that cannot stand in a JSON text as they are."""
    if negated:
        parts = sorted([*ranges, *_BARRED[:-1]])
    else:
        parts = [kept for each in ranges for kept in _without_barred(*each)]
        if not parts:
            raise Unsupported("a class of nothing but control characters, quotation marks or backslashes")
    inside = "".join(
        _in_class(low) if low == high else f"{_in_class(low)}-{_in_class(high)}" for low, high in parts
    )
    return f"[{'^' if negated else ''}{inside}]"


def _in_class(code: int) -> str:
    return f"\\x{code:02X}" if code < 128 and not chr(code).isalnum() else chr(code)


def _without_barred(low: int, high: int) -> Ranges:
    kept: Ranges = []
    for first, last in _BARRED:
        if low < first:
            kept.append((low, min(high, first - 1)))
        low = max(low, last + 1)
        if low > high:
            return [each for each in kept if each[0] <= each[1]]
    return [*kept, (low, high)]
