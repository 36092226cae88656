"""Calls that a model wrote into its text, because its runtime did not recognise them.

The forms are those of `forms`: between marks, and an answer that is nothing but calls, bare or in a fence of
Markdown. Each becomes a call only if it names a tool of the request and its arguments follow the schema: whoever
can put words into a prompt must not be able to have something called that nobody offered. Everything else stays
the text it was, and so does an example inside of a block of code or behind a backtick.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from lmbridge.wire.tool_calls.advertised import Advertised
from lmbridge.wire.tool_calls.forms import MARKS, Leaked, begins_call, may_be_call, read_calls
from lmbridge.wire.tool_calls.prefix import JSONPrefix

MAX_HELD: Final = 2**16
"""Characters that are kept back at most, in the hope that they are a call."""
_HEAD: Final = 400
"""Characters at whose end it must be clear how a call begins."""

_STRAY: Final = "</tool_call>"
"""Follows a call of Qwen3-Coder that began without its `<tool_call>`."""
_KNOWN: Final = (*MARKS, _STRAY)
_LONGEST: Final = max(map(len, _KNOWN)) - 1
_OPENING: Final = re.compile("|".join(map(re.escape, _KNOWN)))
_FENCE: Final = "```"
_LABELS: Final = ("", "json", "tool_call", "tool_code", "tool_request")
Piece: TypeAlias = str | Leaked


class Leaks:
    """Feed it every piece of text; it gives back text and the calls that were in it.

    Text is kept back only as long as it may still be a call.

    Args:
        bare: whether an answer may be a call without any mark. No where it has to follow a schema of its own.
    """

    def __init__(self, tools: Advertised, *, bare: bool = True) -> None:
        self._tools = tools
        self._held = ""
        self._mark = ""  # what began the call that is being read, "" outside of one
        self._opening = ""  # the same with the space before it
        self._begun = not bare  # whether it is decided that the answer is no bare call
        self._object: JSONPrefix | None = None
        self._headed = False  # whether its beginning is known to be that of a call
        self._said = False
        self._trim = False  # the space after a call
        self._fences = 0  # begun and ended
        self._tail = ""  # of the text, as a fence may come in pieces

    def feed(self, text: str) -> list[Piece]:
        """The pieces that are certain now."""
        self._held += text
        if not self._begun:
            if self._may_be_bare(text):
                return []
            self._begun = True
        pieces: list[Piece] = []
        while self._inside(pieces) if self._mark else self._outside(pieces):
            pass
        return pieces

    def close(self) -> list[Piece]:
        """The text has ended: the rest of the pieces. More may be fed afterwards."""
        held, self._held = self._held, ""
        found: list[Piece] = []
        if not self._begun:
            found = self._calls(_unfenced(held))
        elif self._mark:  # what ends a call is often taken for the end of the answer
            found = self._calls(held)
            held = self._opening + held
        self._begun, self._mark = True, ""
        return found or self._texts(held)

    # -- a call without marks ---------------------------------------------------------------------

    def _may_be_bare(self, text: str) -> bool:
        """Whether all that was said so far may be calls and nothing else."""
        if self._object is None:
            body = _body(self._held)
            if body is None or len(self._held) - len(body) > _HEAD or not begins_call(body[:_HEAD], self._tools):
                return False
            if not body:
                return True
            self._object, text = JSONPrefix("value"), body
        self._object.feed(text)
        if self._object.complete and self._object.rest.strip("`\r\n\t "):
            return False
        if not self._headed:
            head = self._object.whole[:_HEAD]
            self._headed = len(head) == _HEAD
            if not begins_call(head, self._tools):
                return False
        return self._object.size <= MAX_HELD

    # -- calls between marks ----------------------------------------------------------------------

    def _outside(self, pieces: list[Piece]) -> bool:
        """Give out the text before the next call; whether one may have begun."""
        found = _OPENING.search(self._held)
        if found is None:
            certain = len(self._held) - _beginning(self._held)
            text = self._held[:certain]
            if self._said or certain > _HEAD or text.strip():  # else it may be the space around a call
                pieces += self._texts(text)
                self._held = self._held[certain:]
            return False
        before = self._held[: found.start()]
        self._held = self._held[found.end() :]
        if found[0] == _STRAY or (self._tail + before).split(_FENCE)[-1].endswith("`"):
            dropped = self._trim and not before.strip()
            pieces += [] if dropped else self._texts(before + found[0])
            return True
        self._mark = self._opening = found[0]
        if before.strip() or self._said or len(before) > _HEAD:
            pieces += self._texts(before)
        else:  # no more than space around a call, if it is one
            self._opening = before + self._opening
        return True

    def _inside(self, pieces: list[Piece]) -> bool:
        """Read on in what may be a call; whether it is decided.

        It is decided by what stands there, and not by how much of it is there already.
        """
        ending = MARKS[self._mark]
        end = self._held.find(ending, 0, MAX_HELD + len(ending)) if ending else -1
        within, closing = (self._held, "") if end < 0 else (self._held[:end], ending)
        if self._fences % 2 or not may_be_call(self._mark, within[:_HEAD], self._tools):
            within, closing = "", ""  # no call, only its mark
        elif end < 0 and len(within) <= MAX_HELD + len(ending):
            return False
        within = within[:MAX_HELD]
        calls = self._calls(within + closing) if closing else []
        pieces += calls or self._texts(self._opening + within + closing)
        self._held, self._mark = self._held[len(within) + len(closing) :], ""
        return True

    def _calls(self, text: str) -> list[Piece]:
        """The calls that *text* is, if it is nothing else."""
        calls = read_calls(self._mark, text, self._tools)
        self._trim = self._trim or bool(calls)
        return [*calls]

    def _texts(self, text: str) -> list[Piece]:
        """*text* less the space after a call."""
        if self._trim:
            text = text.lstrip()
        if not text:
            return []
        self._said, self._trim = True, False
        if "`" in text:
            *blocks, after = (self._tail + text).split(_FENCE)
            self._fences += len(blocks)
            self._tail = after[-2:]
        else:
            self._tail = ""
        return [text]


def _body(text: str) -> str | None:
    """What a fence of Markdown holds, or *text* itself; None if it is a fence around something else."""
    text = text.lstrip()
    if not text.startswith(_FENCE):
        return "" if text and _FENCE.startswith(text) else text
    label, line_end, rest = text[len(_FENCE) :].partition("\n")
    if not line_end:
        return "" if any(known.startswith(label.strip()) for known in _LABELS) else None
    return rest.lstrip() if label.strip() in _LABELS else None


def _unfenced(text: str) -> str:
    body = _body(text)
    return (body or "").rstrip().removesuffix(_FENCE)


def _beginning(text: str) -> int:
    """How many characters at the end of *text* may be the beginning of a mark."""
    end = text[-_LONGEST:]
    if "<" not in end and "[" not in end:  # nearly always
        return 0
    for at in range(len(end)):
        if any(mark.startswith(end[at:]) for mark in _KNOWN):
            return len(end) - at
    return 0
