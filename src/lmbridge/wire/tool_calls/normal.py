"""One form for every answer: thoughts apart from words, and both apart from calls."""

from __future__ import annotations

from lmbridge.core.events import Event
from lmbridge.core.requests import ChatRequest
from lmbridge.wire.thoughts import Thoughts
from lmbridge.wire.tool_calls.calls import ToolCalls


class NormalForm:
    """Feed it every event of one answer to *request*, then `close()` it.

    Thoughts stay where they are if the request asks for that itself (llama.cpp's `reasoning_format: none`).
    """

    def __init__(self, request: ChatRequest) -> None:
        structured = request.schema is not None or "response_format" in request.extra
        apart = request.extra.get("reasoning_format") != "none"
        self._thoughts = Thoughts("", structured=structured, may_be_empty=True) if apart else None
        self._calls = ToolCalls(
            request.tools,
            request.tool_choice,
            parallel=request.parallel_tool_calls is not False,
            structured=structured,
        )

    def feed(self, event: Event) -> list[Event]:
        """The events that *event* becomes.

        Raises:
            BrokenAnswer: see `ToolCalls`.
        """
        if self._thoughts is None:
            return self._calls.feed(event)
        return [done for apart in self._thoughts.feed(event) for done in self._calls.feed(apart)]

    def close(self) -> list[Event]:
        """The events have ended; what was kept back, if they did so without a `Finished`."""
        return self._calls.close()
