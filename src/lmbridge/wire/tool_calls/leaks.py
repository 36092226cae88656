"""Calls that a model wrote into its text, because its runtime did not recognise them.

Three forms are known: `<tool_call>{…}</tool_call>` (Hermes, Qwen), `[TOOL_REQUEST]{…}[END_TOOL_REQUEST]` (what
LM Studio teaches models without a form of their own), and an answer that is nothing but the object, bare or in
a fence of Markdown. Each becomes a call only if it names a tool of the request and its arguments follow the
schema: whoever can put words into a prompt must not be able to have something called that nobody offered.
Everything else stays the text it was, and so does an example inside of a block of code.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from lmbridge.wire.tool_calls.advertised import Advertised
from lmbridge.wire.tool_calls.mend import Unmendable, decode_loosely
from lmbridge.wire.tool_calls.prefix import JSONPrefix

MARKS: Final = {"<tool_call>": "</tool_call>", "[TOOL_REQUEST]": "[END_TOOL_REQUEST]"}
MAX_HELD: Final = 2**16
"""Characters that are kept back at most, in the hope that they are a call."""
_HEAD: Final = 400
"""Characters at whose end it must be clear how a call begins."""

_LONGEST: Final = max(map(len, MARKS)) - 1
_OPENING: Final = re.compile("|".join(map(re.escape, MARKS)))
_FENCE: Final = "```"
_LABELS: Final = ("", "json", "tool_call", "tool_code", "tool_request")
_KEYS: Final = ("name", "arguments", "parameters", "type", "function", "id")
"""With which a call can begin."""
_NAMED: Final = re.compile(r"\{\s*[\"']name[\"']\s*:\s*[\"']([^\"'\\]*)[\"']")


class Leaked(Struct, frozen=True):
    """A call that was found in the text."""

    name: str
    arguments: str


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
        self._closing = ""  # what ends the call that is being read, "" outside of one
        self._opening = ""
        self._begun = not bare  # whether it is decided that the answer is no bare call
        self._object: JSONPrefix | None = None
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
        while self._inside(pieces) if self._closing else self._outside(pieces):
            pass
        return pieces

    def close(self) -> list[Piece]:
        """The text has ended: the rest of the pieces. More may be fed afterwards."""
        held, self._held = self._held, ""
        found: list[Piece] = []
        if not self._begun:
            found = self._calls(_unfenced(held))
        elif self._closing:  # what ends a call is often taken for the end of the answer
            found = self._calls(held)
            held = self._opening + held
        self._begun, self._closing = True, ""
        return found or self._texts(held)

    # -- a call without marks ---------------------------------------------------------------------

    def _may_be_bare(self, text: str) -> bool:
        """Whether all that was said so far may be one call and nothing else."""
        if self._object is None:
            body = _body(self._held)
            if body is None or not _begins_call(body):
                return False
            if not body.startswith("{"):
                return len(self._held) <= _HEAD
            self._object, text = JSONPrefix(), body
        self._object.feed(text)
        if self._object.complete and self._object.rest.strip("`\r\n\t "):
            return False
        if self._object.size > _HEAD:
            return self._object.size <= MAX_HELD
        body = self._object.whole
        named = _NAMED.match(body)
        return _begins_call(body) and (named is None or named[1] in self._tools)

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
        self._opening, self._closing = found[0], MARKS[found[0]]
        if before.strip() or self._said:
            pieces += self._texts(before)
        else:  # no more than space around a call, if it is one
            self._opening = before + self._opening
        return True

    def _inside(self, pieces: list[Piece]) -> bool:
        """Read on in what may be a call; whether it is decided."""
        body = self._held.lstrip()
        within, closing, rest = self._held.partition(self._closing)
        if not closing:
            if (not body or body[0] == "{") and len(body) <= MAX_HELD and not self._fences % 2:
                return False
            if len(body) <= MAX_HELD:  # no call, only its mark
                within, rest = "", self._held
        calls = [] if self._fences % 2 else self._calls(within)
        pieces += calls or self._texts(self._opening + within + closing)
        self._held, self._closing = rest, ""
        return True

    def _calls(self, text: str) -> list[Piece]:
        """The call that *text* is, if it is one."""
        call = read_call(text, self._tools)
        if call is None:
            return []
        self._trim = True
        return [call]

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


def read_call(text: str, tools: Advertised) -> Leaked | None:
    """The call that *text* is: `{"name": …, "arguments": {…}}`, or the same as OpenAI writes it."""
    try:
        value = decode_loosely(text.strip())
    except Unmendable:
        return None
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return None
    given = [value[key] for key in ("arguments", "parameters") if key in value]
    if len(given) != 1:
        return None
    arguments = given[0]
    if isinstance(arguments, str):
        try:
            arguments = decode_loosely(arguments)
        except Unmendable:
            return None
    name = value["name"]
    return Leaked(name, msgspec.json.encode(arguments).decode()) if tools.takes(name, arguments) else None


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


def _begins_call(body: str) -> bool:
    """Whether an object may follow that begins as calls do."""
    if not body.startswith("{"):
        return not body
    name = body[1:].lstrip()
    if not name:
        return True
    return name[0] in "\"'" and any((key + name[0]).startswith(name[1 : len(key) + 2]) for key in _KEYS)


def _beginning(text: str) -> int:
    """How many characters at the end of *text* may be the beginning of a mark."""
    end = text[-_LONGEST:]
    if "<" not in end and "[" not in end:  # nearly always
        return 0
    for at in range(len(end)):
        if any(mark.startswith(end[at:]) for mark in MARKS):
            return len(end) - at
    return 0
