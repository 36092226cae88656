"""How much of a JSON object that is still being written can be passed on: what no mending would change."""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

_State: TypeAlias = Literal[
    "object", "first name", "name", "colon", "value", "first item", "item", "after", "text", "end"
]

MAX_LEFT: Final = 4096
"""Characters of a number, or of space, for whose end it waits."""

_PLAIN: Final = re.compile(r"[^\"\\\x00-\x1f]+")
_ESCAPE: Final = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
_SPACE: Final = re.compile(r"[ \t\r\n]+")
_SCALAR: Final = re.compile(r"[-+.0-9A-Za-z]+")
_RIGHT: Final = re.compile(r"true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_LAGGING: Final = ("name", "item")
"""After a comma, which is too much if a bracket follows it."""
_LONGEST_ESCAPE: Final = 6


class JSONPrefix:
    """Feed it every piece; it gives back what is certain.

    Args:
        begin: a "value" may be a list as well.

    Attributes:
        size: characters that were fed. passed: how many of them were given back.
        faulty: something is wrong with it, so that nothing more is given back.
    """

    __slots__ = ("_at", "_left", "_named", "_open", "_pieces", "_state", "faulty", "passed", "size")

    def __init__(self, begin: Literal["object", "value"] = "object") -> None:
        self._pieces: list[str] = []
        self._left = ""  # what was not given back yet
        self._at = 0  # where its next token begins
        self.size = self.passed = 0
        self.faulty = False
        self._named = False  # whether the text being read is the name of a member
        self._open: list[str] = []
        self._state: _State = begin

    @property
    def whole(self) -> str:
        """Everything that was fed."""
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    @property
    def complete(self) -> bool:
        """Whether the object is closed."""
        return self._state == "end"

    @property
    def rest(self) -> str:
        """What follows the object."""
        return self.whole[self.passed :] if self.complete else ""

    def feed(self, text: str) -> str:
        """Take the next piece; returns what can be passed on now."""
        self._pieces.append(text)
        self.size += len(text)
        if self.faulty or self.complete:
            return ""
        self._left += text
        certain = self._certain()
        given, self._left = self._left[:certain], self._left[certain:]
        self._at -= certain
        self.passed += certain
        if len(self._left) > MAX_LEFT:  # looking at it again and again would take for ever
            self.faulty = True
        return given

    def _certain(self) -> int:
        """Read on; returns how much of what is left can be passed on."""
        certain = 0
        while self._at < len(self._left):
            end = self._text() if self._state == "text" else self._token()
            if end is None:
                break
            self._at = end
            if self._state not in _LAGGING:
                certain = end
            if self.complete:
                break
        return certain

    def _text(self) -> int | None:
        """The end of the next piece inside of a text; None while it is not there."""
        left, at = self._left, self._at
        if found := _PLAIN.match(left, at) or _ESCAPE.match(left, at):
            return found.end()
        if left[at] == '"':
            self._state = "colon" if self._named else "after"
            return at + 1
        self.faulty = left[at] != "\\" or len(left) - at >= _LONGEST_ESCAPE or left[at + 1 : at + 2] not in "u"
        return None

    def _token(self) -> int | None:
        """The end of the next token; None while it is not there, or is none."""
        left, at = self._left, self._at
        if space := _SPACE.match(left, at):
            return space.end()
        char = left[at]
        if self._punctuation(char):
            return at + 1
        found = _SCALAR.match(left, at)
        if found is None or self._state not in ("value", "first item", "item"):
            self.faulty = True
            return None
        if found.end() == len(left):
            return None  # there may be more of it
        self.faulty = _RIGHT.fullmatch(found[0]) is None
        self._state = "after"
        return None if self.faulty else found.end()

    def _punctuation(self, char: str) -> bool:
        """Whether *char* is one that may stand here; what may follow it is then known."""
        state = self._state
        if char == '"' and state in ("first name", "name", "value", "first item", "item"):
            self._named = state in ("first name", "name")
            self._state = "text"
        elif char == ":" and state == "colon":
            self._state = "value"
        elif char == "{" and state in ("object", "value", "first item", "item"):
            self._open.append("}")
            self._state = "first name"
        elif char == "[" and state in ("value", "first item", "item"):
            self._open.append("]")
            self._state = "first item"
        elif char == "," and state == "after":
            self._state = "name" if self._open[-1] == "}" else "item"
        elif char in "}]" and self._closes(char, state):
            self._open.pop()
            self._state = "after" if self._open else "end"
        else:
            return False
        return True

    def _closes(self, char: str, state: _State) -> bool:
        wanted = {"first name": "}", "first item": "]", "after": self._open[-1] if self._open else ""}
        return wanted.get(state) == char
