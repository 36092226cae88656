"""Thinking taken apart from answering, where the runtime did not.

Thoughts come in `reasoning_content`, in `reasoning`, or — LM Studio's setting off, or the model unknown to its
runtime — as `<think>…</think>` at the beginning of the text; and with structured output some versions of LM
Studio put the answer itself into the field of thoughts. This works on core events, whatever pieces they came in.
"""

from __future__ import annotations

from typing import Final, assert_never

import msgspec

from lmbridge.core.errors import BrokenAnswer
from lmbridge.core.events import Event, Finished, PromptProgress, ReasoningDelta, Started, TextDelta, ToolCallDelta

OPEN: Final = "<think>"
CLOSE: Final = "</think>"
MAX_BLANK: Final = 400
"""Characters of space after which no tag is waited for any more."""


class Thoughts:
    """Feed it every event of one answer; it gives back the events as they are meant.

    Args:
        provider: id named in errors.
        structured: whether the answer has to be JSON, so that JSON among the thoughts is the answer.
        may_be_empty: whether an answer without a word is one.
    """

    __slots__ = (
        "_held",
        "_in_tags",
        "_json",
        "_may_be_empty",
        "_provider",
        "_said",
        "_spoke",
        "_structured",
        "_tail",
        "_thought",
        "_trim",
    )

    def __init__(self, provider: str, *, structured: bool = False, may_be_empty: bool = False) -> None:
        self._provider, self._structured, self._may_be_empty = provider, structured, may_be_empty
        self._in_tags: bool | None = None  # None until the beginning of the text has told
        self._tail = ""  # text that may be a part of a tag
        self._trim = False  # line ends between the thoughts and the answer
        self._held: list[str] = []  # thoughts that look like the answer itself
        self._json = False  # whether they do, or are blank so far
        self._thought = self._said = False
        self._spoke = False  # anything at all

    @property
    def over(self) -> bool:
        """Whether further words belong to the answer, as they come."""
        return self._in_tags is False and self._said and not self._trim

    def feed(self, event: Event) -> list[Event]:
        """The events that *event* becomes.

        Raises:
            BrokenAnswer: the answer ends without having said anything.
        """
        match event:
            case TextDelta(text, 0):
                return self._text(text)
            case ReasoningDelta(text, 0):
                return self._thinking(text)
            case ToolCallDelta():
                events = [*self._release(), *self._flush()]
                self._spoke = True
                return [*events, event]
            case Finished(index=0):
                return self._end(event)
            case Started() | PromptProgress() | TextDelta() | ReasoningDelta() | Finished():
                return [event]
            case _:
                assert_never(event)

    def _thinking(self, text: str) -> list[Event]:
        self._spoke = True
        first = self._structured and not self._thought and not self._said
        if first and (self._json or not text.strip() or text.lstrip()[0] in "{["):
            self._json = self._json or bool(text.strip())
            self._held.append(text)
            return []
        events = self._release()
        self._thought = True
        return [*events, ReasoningDelta(text)]

    def _release(self) -> list[Event]:
        """What was held is thinking after all: something else follows it."""
        held, self._held = self._held, []
        self._thought = self._thought or bool(held)
        return [ReasoningDelta(text) for text in held]

    def _text(self, text: str) -> list[Event]:
        events = self._release()
        if self._in_tags is None and self._thought:
            self._in_tags = False  # thoughts came in a field of their own: a tag is part of the answer
        if self._in_tags is None:
            self._tail += text
            begun = self._tail.lstrip()
            if not begun.startswith(OPEN):
                if OPEN.startswith(begun) and len(self._tail) <= MAX_BLANK:
                    return events  # still to be told
                text, self._tail, self._in_tags = self._tail, "", False
            else:
                text, self._tail, self._in_tags = begun[len(OPEN) :], "", True
        if self._in_tags:
            text = self._until_close(text, events)
        return events + self._words(text)

    def _until_close(self, text: str, events: list[Event]) -> str:
        """Give the thoughts in *text* to *events*; returns what follows them."""
        text = self._tail + text
        thought, close, rest = text.partition(CLOSE)
        if close:
            self._in_tags, self._tail, self._trim = False, "", True
        else:
            kept = next(
                (n for n in range(min(len(CLOSE) - 1, len(text)), 0, -1) if CLOSE.startswith(text[-n:])), 0
            )
            thought, self._tail = text[: len(text) - kept], text[len(text) - kept :]
        if thought:
            self._spoke = True
            events.append(ReasoningDelta(thought))
        return rest

    def _words(self, text: str) -> list[Event]:
        if self._trim:
            text = text.lstrip("\r\n")
            self._trim = not text
        if not text:
            return []
        self._said = self._spoke = True
        return [TextDelta(text)]

    def _flush(self) -> list[Event]:
        """What was kept back because it could have been a part of a tag."""
        tail, self._tail = self._tail, ""
        if not self._in_tags:
            return self._words(tail)
        self._spoke = self._spoke or bool(tail)
        return [ReasoningDelta(tail)] if tail else []

    def _end(self, event: Finished) -> list[Event]:
        events = self._flush()
        if self._held and not self._said and _is_json("".join(self._held)):
            events.append(TextDelta("".join(self._held)))
            self._held = []
        events += self._release()
        # Cut at the first token there is nothing to show, which is no fault.
        if not self._spoke and not self._may_be_empty and event.reason != "length":
            raise BrokenAnswer(self._provider, "it ended without having said anything")
        return [*events, event]


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return False
    return True
