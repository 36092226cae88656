"""A tool to answer with, for runtimes whose schemas leave no room for calls.

Who asks for tools and for a shape of the answer wants either: a call, or an answer of that shape. A grammar that
knows the shape alone rules out every call. So the shape becomes one more tool, the model has to call one, and
what it calls that tool with is its answer.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from lmbridge.core.events import Event, Finished, TextDelta, ToolCallDelta
from lmbridge.core.messages import Tool
from lmbridge.core.requests import ChatRequest

DESCRIPTION: Final = "Gives the final answer. Call it when no other function has to be called first."


def wants_either(request: ChatRequest) -> bool:
    """Whether the answer may be a call, or has a shape."""
    return bool(request.tools) and request.schema is not None and request.tool_choice == "auto"


def with_answer_tool(request: ChatRequest) -> tuple[ChatRequest, str]:
    """*request* with the shape of its answer as a tool, and the name of that tool."""
    names = {tool.name for tool in request.tools}
    name = "final_answer"
    while name in names:
        name += "_"
    schema = request.schema.schema if request.schema is not None else None
    tool = Tool(name, DESCRIPTION, schema or {"type": "object"}, strict=True)
    asked = replace(
        request, tools=(*request.tools, tool), tool_choice="required", parallel_tool_calls=False, schema=None
    )
    return asked, name


class AnswerTool:
    """Feed it every event of the answer to such a request: a call of that tool becomes the words it stands for."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._answers: int | None = None  # the number of the call that is the answer

    def feed(self, event: Event) -> list[Event]:
        """The events that *event* becomes."""
        match event:
            case ToolCallDelta(call, _, self._name, index=0):
                self._answers = call
                return [TextDelta(event.arguments)] if event.arguments else []
            case ToolCallDelta(self._answers, index=0):
                return [TextDelta(event.arguments)]
            case Finished("tool_calls", usage, timings, 0) if self._answers is not None:
                return [Finished("stop", usage, timings)]
            case _:
                return [event]
