"""One form for every answer: thoughts apart from words, and both apart from calls."""

from __future__ import annotations

from lmbridge.core.events import Event, TextDelta
from lmbridge.core.requests import ChatRequest
from lmbridge.wire.thoughts import Thoughts
from lmbridge.wire.tool_calls.answer_tool import AnswerTool
from lmbridge.wire.tool_calls.calls import ToolCalls


class NormalForm:
    """Feed it every event of one answer to *request*, then `close()` it.

    Thoughts stay where they are if the request asks for that itself (llama.cpp's `reasoning_format: none`).

    Args:
        answer_tool: the tool whose call is the answer, see `answer_tool`; "" for none.
    """

    def __init__(self, request: ChatRequest, *, answer_tool: str = "") -> None:
        structured = request.schema is not None or "response_format" in request.extra
        apart = request.extra.get("reasoning_format") != "none"
        self._thoughts = Thoughts("", structured=structured, may_be_empty=True) if apart else None
        self._calls = ToolCalls(
            request.tools,
            request.tool_choice,
            parallel=request.parallel_tool_calls is not False,
            structured=structured,
        )
        self._answer = AnswerTool(answer_tool) if answer_tool else None
        self._plain = False  # words that come now are words

    def feed(self, event: Event) -> list[Event]:
        """The events that *event* becomes.

        Raises:
            BrokenAnswer: see `ToolCalls`.
        """
        if self._plain and type(event) is TextDelta:
            return [event]  # most events of most answers
        apart = [event] if self._thoughts is None else self._thoughts.feed(event)
        called = [done for each in apart for done in self._calls.feed(each)]
        self._plain = self._answer is None and self._calls.idle and (self._thoughts is None or self._thoughts.over)
        if self._answer is None:
            return called
        return [done for each in called for done in self._answer.feed(each)]

    def close(self) -> list[Event]:
        """The events have ended; what was kept back, if they did so without a `Finished`."""
        return self._calls.close()
