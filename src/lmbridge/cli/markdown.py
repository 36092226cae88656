"""Markdown on a terminal while it is being written.

Blocks that are finished are printed once and scroll away like any output; only the block being written
is drawn again and again, at the bottom. A block taller than the screen gives its upper lines away as
well. So a long answer neither flickers nor is drawn twice, and stays whole in the scroll-back.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from time import monotonic
from typing import ClassVar

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.markdown import Heading, Markdown, MarkdownElement
from rich.segment import Segment, Segments
from rich.text import Text

from lmbridge.cli.render import printable

FRAME_S = 0.08
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class _Heading(Heading):
    """A heading at the left, where the text is: an answer is no poster."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        self.text.justify = "left"
        yield self.text


class Answer(Markdown):
    """Markdown as models write it: single line feeds kept, HTML shown as text, addresses visible."""

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {**Markdown.elements, "heading_open": _Heading}

    def __init__(self, text: str) -> None:
        super().__init__("", code_theme="ansi_dark", hyperlinks=False)
        self.markup = text
        self.parsed = parse(text)


def parse(text: str) -> list[Token]:
    """The tokens of *text*; HTML is left as the text it is, and a line feed within a paragraph is one."""
    tokens = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"]).parse(text)
    for token in tokens:
        for child in token.children or ():
            if child.type == "softbreak":
                child.type = "hardbreak"
    return tokens


def blocks(text: str) -> list[str]:
    """*text* cut where its outermost blocks (paragraphs, lists, fences, …) begin. Joined, it is *text* again."""
    lines = text.splitlines(keepends=True)
    starts = [token.map[0] for token in parse(text) if token.level == 0 and token.map and token.nesting >= 0]
    edges = [0, *starts[1:], len(lines)]
    return ["".join(lines[start:end]) for start, end in pairwise(edges)]


def finished_blocks(text: str) -> list[str]:
    """The blocks that no further text can change: all but the last.

    Only whole lines count, as a line that is still being written may turn out to be anything.
    """
    return blocks(text[: text.rfind("\n") + 1])[:-1]


class MarkdownStream:
    """Draws an answer while it comes. Use as a context manager within a running event loop.

    Args:
        console: where to draw.
        waiting: what to show beside the spinner until the first words come.
    """

    def __init__(self, console: Console, waiting: str = "") -> None:
        self._console, self._waiting = console, waiting
        self._live = Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop")
        self._text = ""  # of the answer, not yet printed for good
        self._thought = ""  # reasoning, not yet printed for good
        self._given_away = 0  # lines of the unfinished block that were printed already
        self._printed = False
        self._begun = False
        self._dirty = False
        self._started = monotonic()
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> MarkdownStream:
        self._live.__enter__()
        self._frame()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._end_thought()
        self._finish(blocks(self._text))
        self._live.update(Text(""), refresh=False)
        self._live.__exit__(None, None, None)

    def feed(self, text: str) -> None:
        """More of the answer."""
        self._end_thought()
        self._text += printable(text)
        self._changed()

    def feed_reasoning(self, text: str) -> None:
        """More of what the model thinks, shown dimmed."""
        self._thought += printable(text)
        self._changed()

    def say(self, line: str) -> None:
        """A line of ours between the blocks: a tool call, a remark."""
        self._end_thought()
        self._finish(blocks(self._text))
        self._begun = True
        self._print([[Segment(printable(line), self._console.get_style("cyan"))]])

    def _changed(self) -> None:
        first, self._dirty = not self._begun, True
        self._begun = True
        if first:
            self._draw()

    def _frame(self) -> None:
        """Draw what has changed, several times a second, however fast the words come."""
        if self._dirty or not self._begun:
            self._draw()
        self._timer = asyncio.get_running_loop().call_later(FRAME_S, self._frame)

    def _draw(self) -> None:
        self._dirty = False
        if not self._begun:
            turn = int((monotonic() - self._started) / FRAME_S)
            self._live.update(Text(f"{SPINNER[turn % len(SPINNER)]} {self._waiting}", "dim"), refresh=True)
            return
        if self._thought:
            self._show(self._thought_lines())
            return
        self._finish(finished_blocks(self._text))
        lines = self._lines(Answer(self._text))
        if not _has_table(self._text):
            # The upper lines of all blocks but tables stay as they are while the block grows.
            spare = len(lines) - self._room()
            if spare > self._given_away:
                self._print(lines[self._given_away : spare], apart=self._given_away == 0)
                self._given_away = spare
        self._show(lines[self._given_away :])

    def _finish(self, finished: list[str]) -> None:
        """Print blocks from the front of the text for good."""
        for block in finished:
            self._text = self._text[len(block) :]
            lines = self._lines(Answer(block))
            self._live.update(Text(""), refresh=False)
            self._print(lines[self._given_away :], apart=self._given_away == 0)
            self._given_away = 0

    def _end_thought(self) -> None:
        if self._thought:
            lines, self._thought = self._thought_lines(), ""
            self._live.update(Text(""), refresh=False)
            self._print(lines)

    def _thought_lines(self) -> list[list[Segment]]:
        return self._lines(Text(self._thought.strip(), "dim italic"))

    def _lines(self, what: Answer | Text) -> list[list[Segment]]:
        """Rendered, without the empty lines that rich puts around some kinds of blocks."""
        lines = self._console.render_lines(what, pad=False)
        full = [number for number, line in enumerate(lines) if any(s.text.strip() for s in line)]
        return lines[full[0] : full[-1] + 1] if full else []

    def _room(self) -> int:
        """Lines the unfinished block may take: some less than the screen, so that drawing never scrolls it."""
        return max(4, self._console.height - 3)

    def _show(self, lines: list[list[Segment]]) -> None:
        """At the bottom, until the next drawing; the last lines where all do not fit."""
        gap: list[list[Segment]] = [[]] if self._printed and not self._given_away else []
        self._live.update(Segments(_joined([*gap, *lines[-self._room() :]])), refresh=True)

    def _print(self, lines: list[list[Segment]], *, apart: bool = True) -> None:
        """For good. *apart*: with an empty line before, if anything stands there."""
        if not lines:
            return
        space: list[list[Segment]] = [[]] if apart and self._printed else []
        self._printed = True
        self._console.print(Segments(_joined([*space, *lines])), end="")


def _joined(lines: list[list[Segment]]) -> list[Segment]:
    return [segment for line in lines for segment in (*line, Segment.line())]


def _has_table(text: str) -> bool:
    return any(token.type == "table_open" for token in parse(text))
