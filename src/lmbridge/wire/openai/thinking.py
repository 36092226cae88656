"""Thoughts apart from the answer in what is passed on as it came.

A server that does not know its model's tags leaves the thoughts in the text, between `<think>` and `</think>`.
Here they are moved to `reasoning_content`, where others have them. Only pieces before and within the thoughts
are written anew; the rest passes as it is.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from lmbridge.core.events import Event, Finished, ReasoningDelta, TextDelta
from lmbridge.wire.thoughts import OPEN, Thoughts

_Fields = dict[str, object]

_EVENT: Final = re.compile(rb".*?(?:\r\n\r\n|\n\n)", re.DOTALL)
_DATA: Final = re.compile(rb"^data: ?(.*)$", re.MULTILINE)
_encode: Final = msgspec.json.Encoder().encode


class ThoughtsApart:
    """Give it events of one streamed chat, whole ones that have been checked.

    Attributes:
        passing: whether everything passes as it is from now on.
    """

    __slots__ = ("_thoughts", "passing")

    def __init__(self) -> None:
        self._thoughts = Thoughts("", may_be_empty=True)
        self.passing = False

    def feed(self, events: bytes) -> bytes:
        """The same events with thoughts apart."""
        if self.passing:
            return events
        return b"".join(self._event(event) for event in _EVENT.findall(events))

    def _event(self, event: bytes) -> bytes:
        data = _DATA.search(event)
        if self.passing or data is None or data[1].strip() == b"[DONE]":
            return event
        try:
            chunk: _Fields = msgspec.json.decode(data[1])
        except ValueError:  # in several lines, which is allowed and which nobody does
            self.passing = True
            return event
        choices = msgspec.convert(chunk.get("choices") or [], list[_Fields])
        if len(choices) != 1 or choices[0].get("index", 0) != 0:
            self.passing = bool(choices)  # of several answers at once nothing is known
            return event
        return self._piece(event, chunk, choices[0])

    def _piece(self, event: bytes, chunk: _Fields, choice: _Fields) -> bytes:
        """A piece of the answer."""
        delta = msgspec.convert(choice.get("delta") or {}, _Fields)
        if delta.get("reasoning_content") or delta.get("reasoning") or delta.get("tool_calls"):
            self.passing = True
            return event
        given, reason = delta.get("content"), choice.get("finish_reason")
        text = given if isinstance(given, str) else ""
        moved = self._thoughts.feed(TextDelta(text)) if text else []
        if reason:
            moved += self._thoughts.feed(Finished("stop"))
        said, thought = _joined(moved)
        self.passing = bool(reason) or self._thoughts.over
        if said == text and not thought:
            return event
        kept = {name: value for name, value in delta.items() if name != "content"}
        apart: _Fields = {
            **({"reasoning_content": thought} if thought else {}),
            **({"content": said} if said else {}),
        }
        chunk["choices"] = [{**choice, "delta": {**kept, **apart}}]
        return b"data: " + _encode(chunk) + b"\n\n"


def whole_apart(body: bytes) -> bytes:
    """A whole chat completion with thoughts apart; the same bytes if they are so already."""
    if OPEN.encode() not in body:
        return body
    answer: _Fields = msgspec.json.decode(body)
    choices = [_choice_apart(choice) for choice in msgspec.convert(answer["choices"], list[_Fields])]
    return body if choices == answer["choices"] else _encode({**answer, "choices": choices})


def _choice_apart(choice: _Fields) -> _Fields:
    message = msgspec.convert(choice["message"], _Fields)
    text = message.get("content")
    if not isinstance(text, str) or message.get("reasoning_content") or message.get("reasoning"):
        return choice
    thoughts = Thoughts("", may_be_empty=True)
    said, thought = _joined([*thoughts.feed(TextDelta(text)), *thoughts.feed(Finished("stop"))])
    if not thought:
        return choice
    return {**choice, "message": {**message, "content": said, "reasoning_content": thought}}


def _joined(events: list[Event]) -> tuple[str, str]:
    """What was said, and what was thought."""
    said = "".join(event.text for event in events if isinstance(event, TextDelta))
    return said, "".join(event.text for event in events if isinstance(event, ReasoningDelta))
