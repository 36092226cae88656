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
from rich.live_render import LiveRender
from rich.markdown import Heading, Markdown, MarkdownElement
from rich.segment import Segment, Segments
from rich.text import Text

from lmbridge.cli.render import printable

FRAME_S = 0.08
LONG_S = 2.0
"""Seconds without a word after which it is told what is waited for, and for how long: a load may take minutes."""
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
    return ["".join(lines[start:end]) for start, end in pairwise(edges) if start < end]


def finished_blocks(text: str) -> list[str]:
    """The blocks that no further text can change: all but the last.

    Only whole lines count, as a line that is still being written may turn out to be anything.
    """
    return blocks(text[: text.rfind("\n") + 1])[:-1]


Lines = list[list[Segment]]


class Flow:
    """Decides, as an answer comes, which rendered lines are final and which may still change.

    Args:
        console: renders; gives width and height.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._text = ""  # of the answer, not final yet
        self._thought = ""  # reasoning, not final yet
        self._given_away = 0  # lines of the unfinished block that are final already
        self._printed = False
        self._rendered: tuple[str, Lines] = ("", [])

    def feed(self, text: str) -> Lines:
        """More of the answer; returns what became final by it."""
        final = self._end_thought()
        self._text += printable(text)
        return final

    def feed_reasoning(self, text: str) -> Lines:
        """More of what the model thinks."""
        final = [] if self._thought else self._finish(blocks(self._text))
        self._thought += printable(text)
        return final

    def settle(self) -> Lines:
        """What is final by now and was not before: finished blocks, and the upper lines of a tall one."""
        final = self._finish(finished_blocks(self._text))
        lines = self._block_lines()
        # The upper lines of all blocks but tables stay as they are while the block grows.
        spare = len(lines) - self._room
        if spare > self._given_away and not _has_table(self._text):
            final += self._final(lines[self._given_away : spare], apart=self._given_away == 0)
            self._given_away = spare
        return final

    def tail(self) -> Lines:
        """What may still change, to be shown below; its last lines where all do not fit."""
        what = self._thought_lines() if self._thought else self._block_lines()[self._given_away :]
        gap: Lines = [[]] if self._printed and not self._given_away and what else []
        return [*gap, *what[-self._room :]]

    def close(self) -> Lines:
        """Everything that was not final yet."""
        return self._end_thought() + self._finish(blocks(self._text))

    def say(self, line: str) -> Lines:
        """A line of ours behind what there is: a tool call, a remark."""
        return self.close() + self._final([[Segment(printable(line), self._console.get_style("cyan"))]])

    def _finish(self, finished: list[str]) -> Lines:
        """Blocks from the front of the text become final."""
        final: Lines = []
        for block in finished:
            self._text = self._text[len(block) :]
            final += self._final(self._lines(Answer(block))[self._given_away :], apart=self._given_away == 0)
            self._given_away = 0
        return final

    def _end_thought(self) -> Lines:
        lines, self._thought = self._thought_lines(), ""
        return self._final(lines)

    def _block_lines(self) -> Lines:
        """The unfinished block; rendered once for each state of it."""
        if self._rendered[0] != self._text:
            self._rendered = (self._text, self._lines(Answer(self._text)))
        return self._rendered[1]

    def _thought_lines(self) -> Lines:
        return self._lines(Text(self._thought.strip(), "dim italic"))

    def _lines(self, what: Answer | Text) -> Lines:
        """Rendered, without the blanks that rich puts behind each line and around some kinds of blocks."""
        lines = [_stripped(line) for line in self._console.render_lines(what, pad=False)]
        full = [number for number, line in enumerate(lines) if any(s.text.strip() for s in line)]
        return lines[full[0] : full[-1] + 1] if full else []

    @property
    def _room(self) -> int:
        """Lines the unfinished block may take: some less than the screen, so that drawing never scrolls it."""
        return max(4, self._console.height - 3)

    def _final(self, lines: Lines, *, apart: bool = True) -> Lines:
        """*lines*, an empty one before them if anything stands there and they begin something new."""
        gap: Lines = [[]] if apart and self._printed and lines else []
        self._printed = self._printed or bool(lines)
        return [*gap, *lines]


class MarkdownStream:
    """Draws an answer while it comes. Use as a context manager within a running event loop.

    Args:
        console: where to draw.
        waiting: what to show beside the spinner until the first words come.
    """

    def __init__(self, console: Console, waiting: str = "") -> None:
        self._console, self._waiting = console, waiting
        self._flow = Flow(console)
        self._below = LiveRender(Text(""), vertical_overflow="crop")
        self._begun = self._dirty = False
        self._started = monotonic()
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> MarkdownStream:
        self._console.show_cursor(False)
        self._frame()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._draw(self._flow.close(), None)
        self._console.show_cursor(True)

    def feed(self, text: str) -> None:
        """More of the answer."""
        self._took(self._flow.feed(text))

    def feed_reasoning(self, text: str) -> None:
        """More of what the model thinks, shown dimmed."""
        self._took(self._flow.feed_reasoning(text))

    def say(self, line: str) -> None:
        """A line of ours between the blocks: a tool call, a remark."""
        self._took(self._flow.say(line))

    def _took(self, final: Lines) -> None:
        first, self._begun, self._dirty = not self._begun, True, True
        if first or final:
            self._draw([*final, *self._flow.settle()], _segments(self._flow.tail()))

    def _frame(self) -> None:
        """Draw what has changed, several times a second, however fast the words come."""
        if not self._begun:
            seconds = monotonic() - self._started
            told = [self._waiting]
            if seconds >= LONG_S:
                told = [self._waiting or "waiting for the model", f"{seconds:.0f} s"]
            spinner = SPINNER[int(seconds / FRAME_S) % len(SPINNER)]
            self._draw([], Text(f"{spinner} {', '.join(told)}", "dim"))
        elif self._dirty:
            self._draw(self._flow.settle(), _segments(self._flow.tail()))
        self._timer = asyncio.get_running_loop().call_later(FRAME_S, self._frame)

    def _draw(self, final: Lines, below: Text | Segments | None) -> None:
        """Print what is final over what was drawn last, and what may still change below; all in one write."""
        self._dirty = False
        with self._console:
            self._console.control(self._below.position_cursor())
            if final:
                self._console.print(_segments(final), end="")
            if below is not None:
                self._below.set_renderable(below)
                self._console.print(self._below, end="")


def _stripped(line: list[Segment]) -> list[Segment]:
    """A line without the blanks at its end, unless they have a colour behind them."""
    kept = list(line)
    while kept and not (kept[-1].style is not None and kept[-1].style.bgcolor):
        last = kept.pop()
        if text := last.text.rstrip():
            return [*kept, Segment(text, last.style)]
    return kept


def _segments(lines: Lines) -> Segments:
    return Segments([segment for line in lines for segment in (*line, Segment.line())])


def _has_table(text: str) -> bool:
    return any(token.type == "table_open" for token in parse(text))
