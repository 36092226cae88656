"""Where an answer is shown while it comes: rendered on a terminal, as it is elsewhere."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from typing import Protocol

from lmbridge.cli import render
from lmbridge.core.events import Event, Finished, PromptProgress, ReasoningDelta, Started, TextDelta, ToolCallDelta


class Screen(Protocol):
    """Where an answer is shown while it comes."""

    def feed(self, text: str) -> None:
        """More of the answer."""

    def feed_reasoning(self, text: str) -> None:
        """More of what the model thinks."""

    def say(self, line: str) -> None:
        """A line of ours."""


class PlainText:
    """Text as it comes, for pipes. Thoughts and tool calls are no part of the answer and stay away."""

    def __init__(self) -> None:
        self._last = "\n"

    def __enter__(self) -> PlainText:
        return self

    def __exit__(self, *_: object) -> None:
        if self._last != "\n":
            render.write("\n")

    def feed(self, text: str) -> None:
        """Print it."""
        if text:
            render.write(text)
            self._last = text[-1]

    def feed_reasoning(self, text: str) -> None:
        """Leave it out."""

    def say(self, line: str) -> None:
        """Leave it out."""


def screen(waiting: str = "") -> AbstractContextManager[Screen]:
    """Rendered markdown on a terminal, plain text elsewhere."""
    if not render.can_redraw(sys.stdout):
        return PlainText()
    from lmbridge.cli.markdown import MarkdownStream

    return MarkdownStream(render.console(), waiting)


def show(event: Event, shown: Screen) -> None:
    """One event on a screen."""
    match event:
        case TextDelta(text, 0):
            shown.feed(text)
        case ReasoningDelta(text, 0):
            shown.feed_reasoning(text)
        case Started() | PromptProgress() | TextDelta() | ReasoningDelta() | ToolCallDelta() | Finished():
            pass  # tool calls are shown when they are complete, other choices than the first not at all
