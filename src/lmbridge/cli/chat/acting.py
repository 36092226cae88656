"""A run with tools on the terminal: the answer as it comes, each call and its result on a line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from lmbridge.cli import render
from lmbridge.cli.chat.approval import brief
from lmbridge.cli.chat.figures import Stopwatch
from lmbridge.cli.chat.screens import Screen
from lmbridge.cli.chat.tooling import Equipment
from lmbridge.core.acting import ActResult, CallAnswered, CallProgressed, CallRequested, Fragment, RoundStarted
from lmbridge.core.events import Finished, ReasoningDelta, TextDelta
from lmbridge.core.hub import AnyHub
from lmbridge.core.messages import Message
from lmbridge.core.requests import ChatRequest

ENDS = {
    "rounds": "It was asked as often as it may be; --max-rounds allows more.",
    "length": "The answer was cut: it is as long as it may be.",
    "filtered": "The answer was kept back by a filter.",
    "invalid_call": "It called a tool wrongly, and again.",
    "loop": "It went round in circles.",
}
"""Why a run ended, for people, where it was not with an answer."""


class Acting:
    """One run.

    Args:
        screen: makes what the words of a round are shown on.
        watch: is told when words come.

    Attributes:
        turns: what the conversation gained, whatever became of the run: each call among it has its result.
        finish: how it ended, with the tokens of all rounds; None before it has.
        words: of the answer that was being written when the run was left.
    """

    def __init__(
        self, tools: Equipment, screen: Callable[[], AbstractContextManager[Screen | None]], watch: Stopwatch
    ) -> None:
        self._tools, self._screen, self._watch = tools, screen, watch
        self._stack = ExitStack()
        self._shown: Screen | None = None
        self._line: Callable[[str], None] | None = None
        self.turns: list[Message] = []
        self.words = ""
        self.finish: Finished | None = None

    async def run(self, hub: AnyHub, request: ChatRequest) -> ActResult:
        """Ask, and let it work. Why it ended is told, where that was not with an answer.

        Raises:
            BridgeError: as `Model.act`. Cancelled: Ctrl-C at a question.
        """
        try:
            model = await hub.model(request.model)
            result = await model.act(
                request.turns,
                self._tools.boxes,
                sampling=request.sampling,
                approve=self._tools.approve,
                schema=request.schema,
                on_message=self._on_message,
                on_round_start=self._on_round,
                on_prediction_fragment=self._on_fragment,
                on_tool_call=self._on_call,
                on_tool_progress=self._on_progress,
                on_tool_result=self._on_result,
                max_rounds=self._tools.max_rounds,
                task=request.task,
            )
        finally:
            self._close()
        self.finish = Finished("stop" if result.stop == "answered" else result.stop, result.tokens)
        self._watch.feed(self.finish)
        if result.stop != "answered":
            render.note(render.printable(ENDS.get(result.stop, "It was stopped.") + f" {result.detail}"), "yellow")
        return result

    def _on_round(self, started: RoundStarted) -> None:
        self._close()
        self._shown = self._stack.enter_context(self._screen())

    def _close(self) -> None:
        self._stack.close()
        self._shown = self._line = None

    def _on_message(self, message: Message) -> None:
        self.turns.append(message)
        self.words = ""

    def _on_fragment(self, fragment: Fragment) -> None:
        self._watch.feed(ReasoningDelta("") if fragment.reasoning else TextDelta(""))
        if not fragment.reasoning:
            self.words += fragment.content
        if self._shown is not None:
            feed = self._shown.feed_reasoning if fragment.reasoning else self._shown.feed
            feed(fragment.content)

    def _on_call(self, request: CallRequested) -> None:
        self._close()
        if self._tools.approve is None:
            render.note(f"→ {brief(request)}", "cyan", hang=2)

    def _on_progress(self, told: CallProgressed) -> None:
        """One line that changes, gone with the next thing that happens; nothing where nobody looks."""
        if not render.can_redraw(sys.stderr):
            return
        if self._line is None:
            self._line = self._stack.enter_context(render.changing_line())
        share = "" if told.fraction is None else f"{render.bar(told.fraction)} {told.fraction:4.0%} "
        self._line(f"{share}{render.printable(' '.join(f'{told.call.name} {told.text}'.split()))}")

    def _on_result(self, answered: CallAnswered) -> None:
        self._close()
        text = " ".join(answered.result.text.split())
        mark = "✗" if answered.result.is_error else "✓"
        shown = text if len(text) <= 100 else f"{text[:99]}…"
        render.note(render.printable(f"{mark} {answered.call.name}: {shown}"), "dim", hang=2)
