"""The native chat of a model that uses tools here: several rounds in one answer, and the calls between them.

Each call is told when it begins, with its arguments at once, and when it ends; then the model reads and talks
again. In the whole answer everything stands in its order.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET

from lmbridge.core.events import Answer, Event, Started
from lmbridge.core.messages import ImagePart, Part, TextPart, ToolCall
from lmbridge.core.tools import ToolResult
from lmbridge.core.turns import Facts
from lmbridge.wire.lmstudio.serving.answers import NativeChatEncoder, cost, written_arguments
from lmbridge.wire.lmstudio.serving.events import (
    CalledTool,
    ChatResult,
    InvalidArguments,
    InvalidName,
    InvalidToolCall,
    ProviderInfo,
    Thoughts,
    ToolCallArguments,
    ToolCallFailure,
    ToolCallStart,
    ToolCallSuccess,
    Words,
    frame,
)

_encode: Final = msgspec.json.Encoder().encode


class ActingChatEncoder(NativeChatEncoder):
    """One answer of a model with tools. `feed` takes the events of all rounds, one after the other."""

    def feed(self, event: Event) -> bytes:
        """The next event of the round."""
        if isinstance(event, Started) and self._reading == "done":
            self._reading, self._load_began = "before", None
        return super().feed(event)

    def calling(self, tool: str, arguments: dict[str, object], whose: ProviderInfo) -> bytes:
        """A tool is called."""
        start, told = ToolCallStart(tool, whose), ToolCallArguments(tool, arguments, whose)
        return self._between() + frame(start) + frame(told)

    def called(self, tool: str, arguments: dict[str, object], result: ToolResult, whose: ProviderInfo) -> bytes:
        """What came of it."""
        output = output_of(result)
        self._items.append(CalledTool(tool, arguments, output, whose))
        return frame(ToolCallSuccess(tool, arguments, output, whose))

    def invalid(self, call: ToolCall, why: str, whose: ProviderInfo | None) -> bytes:
        """A call that cannot be made: of a tool that is not there, or with wrong arguments.

        Args:
            whose: of a tool that is there.
        """
        given = written_arguments(call)
        about: InvalidName | InvalidArguments = (
            InvalidName(call.name, given) if whose is None else InvalidArguments(call.name, given, whose)
        )
        between = self._between()
        self._items.append(InvalidToolCall(why, about))
        return between + frame(ToolCallFailure(why, about))

    def _between(self) -> bytes:
        """What ends before a call begins."""
        told = self._begin() + self._finish_reading() + self._end_part()
        self._so_far()
        return told

    def _result(self, answer: Answer, facts: Facts) -> ChatResult:
        output = self._so_far()
        thought = "".join(item.content for item in output if isinstance(item, Thoughts))
        text = "".join(item.content for item in output if isinstance(item, Words))
        return ChatResult(facts.name, output, cost(answer.finish.usage, facts, thought, text), self._id or UNSET)


def output_of(result: ToolResult) -> str:
    """A result as LM Studio tells it: the content parts of MCP, as JSON text."""
    parts = (TextPart(result.content),) if isinstance(result.content, str) else result.content
    return _encode([_part(part) for part in parts]).decode()


def _part(part: Part) -> dict[str, str]:
    if isinstance(part, ImagePart):
        kind, _, data = part.url.removeprefix("data:").partition(";base64,")
        return {"type": "image", "data": data, "mimeType": kind}
    return {"type": "text", "text": part.text}
