"""The events of LM Studio's own chat. Each is a frame that has its type twice, as its event and in its data."""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from lmbridge.core.errors import BridgeError
from lmbridge.wire.lmstudio.serving.errors import ErrorObject, describe

_encode: Final = msgspec.json.Encoder().encode


class ChatStart(Struct, frozen=True, tag="chat.start"):
    """Who will answer."""

    model_instance_id: str


class QueueProgress(Struct, frozen=True, tag="queue.progress"):
    """Callers ahead; ours, LM Studio has no such event."""

    position: int


class ModelLoadStart(Struct, frozen=True, tag="model_load.start"):
    """The model is loaded for this request."""

    model_instance_id: str


class ModelLoadProgress(Struct, frozen=True, tag="model_load.progress"):
    """How far the load is, 0 to 1."""

    model_instance_id: str
    progress: float


class ModelLoadEnd(Struct, frozen=True, tag="model_load.end"):
    """The model is there."""

    model_instance_id: str
    load_time_seconds: float


class PromptProcessingStart(Struct, frozen=True, tag="prompt_processing.start"):
    """The prompt is being read."""


class PromptProcessingProgress(Struct, frozen=True, tag="prompt_processing.progress"):
    """How far, 0 to 1; it never goes back."""

    progress: float


class PromptProcessingEnd(Struct, frozen=True, tag="prompt_processing.end"):
    """The prompt has been read."""


class ThoughtsStart(Struct, frozen=True, tag="reasoning.start"):
    """A part of thoughts begins."""


class ThoughtsPiece(Struct, frozen=True, tag="reasoning.delta"):
    """More of it."""

    content: str


class ThoughtsEnd(Struct, frozen=True, tag="reasoning.end"):
    """It ends."""


class WordsStart(Struct, frozen=True, tag="message.start"):
    """A part of the answer begins."""


class WordsPiece(Struct, frozen=True, tag="message.delta"):
    """More of it."""

    content: str


class WordsEnd(Struct, frozen=True, tag="message.end"):
    """It ends."""


class PluginInfo(Struct, frozen=True, tag="plugin"):
    """Whose tool it is: a server of the user's, by its plugin id (`mcp/NAME`)."""

    plugin_id: str


class EphemeralInfo(Struct, frozen=True, tag="ephemeral_mcp"):
    """Whose tool it is: a server that the request named."""

    server_label: str


ProviderInfo: TypeAlias = PluginInfo | EphemeralInfo


class ToolCallStart(Struct, frozen=True, tag="tool_call.start"):
    """A tool is called."""

    tool: str
    provider_info: ProviderInfo


class ToolCallArguments(Struct, frozen=True, tag="tool_call.arguments"):
    """With what: the whole object, not a piece of it."""

    tool: str
    arguments: dict[str, object]
    provider_info: ProviderInfo


class ToolCallSuccess(Struct, frozen=True, tag="tool_call.success"):
    """It was carried out.

    Attributes:
        output: the content parts of MCP as JSON text; what a tool itself calls an error is among them.
    """

    tool: str
    arguments: dict[str, object]
    output: str
    provider_info: ProviderInfo


class InvalidName(Struct, frozen=True, tag="invalid_name"):
    """A call of a tool that does not exist.

    Attributes:
        arguments: an object; absent where the model wrote none.
    """

    tool_name: str
    arguments: Raw | UnsetType = UNSET


class InvalidArguments(Struct, frozen=True, tag="invalid_arguments"):
    """A call with arguments that the tool does not take.

    Attributes:
        arguments: an object; absent where the model wrote none.
    """

    tool_name: str
    arguments: Raw | UnsetType = UNSET
    provider_info: ProviderInfo | UnsetType = UNSET


class ToolCallFailure(Struct, frozen=True, tag="tool_call.failure"):
    """A call that nobody can make."""

    reason: str
    metadata: InvalidName | InvalidArguments


class ErrorEvent(Struct, frozen=True, tag="error"):
    """What went wrong; the end follows all the same."""

    error: ErrorObject


class Thoughts(Struct, frozen=True, tag="reasoning"):
    """What was thought, in the whole answer."""

    content: str


class Words(Struct, frozen=True, tag="message"):
    """What was said, in the whole answer."""

    content: str


class CalledTool(Struct, frozen=True, tag="tool_call"):
    """A call that was carried out, in the whole answer."""

    tool: str
    arguments: dict[str, object]
    output: str
    provider_info: ProviderInfo


class InvalidToolCall(Struct, frozen=True, tag="invalid_tool_call"):
    """A call that nobody could make, in the whole answer."""

    reason: str
    metadata: InvalidName | InvalidArguments


OutputItem: TypeAlias = Thoughts | Words | CalledTool | InvalidToolCall
"""What an answer is made of, in the order in which it came."""


class Stats(Struct, frozen=True):
    """What an answer cost. What nobody counted is 0: LM Studio's clients insist on numbers.

    Attributes:
        model_load_time_seconds: only if this request loaded the model.
    """

    input_tokens: int = 0
    total_output_tokens: int = 0
    reasoning_output_tokens: int = 0
    tokens_per_second: float = 0.0
    time_to_first_token_seconds: float = 0.0
    model_load_time_seconds: float | UnsetType = UNSET


class ChatResult(Struct, frozen=True):
    """A whole answer.

    Attributes:
        response_id: to go on from it; absent where nothing is stored.
    """

    model_instance_id: str
    output: tuple[OutputItem, ...]
    stats: Stats
    response_id: str | UnsetType = UNSET


class ChatEnd(Struct, frozen=True, tag="chat.end"):
    """Always the last event: the whole answer, or what there is of it."""

    result: ChatResult


ChatEvent: TypeAlias = (
    ChatStart
    | QueueProgress
    | ModelLoadStart
    | ModelLoadProgress
    | ModelLoadEnd
    | PromptProcessingStart
    | PromptProcessingProgress
    | PromptProcessingEnd
    | ThoughtsStart
    | ThoughtsPiece
    | ThoughtsEnd
    | WordsStart
    | WordsPiece
    | WordsEnd
    | ToolCallStart
    | ToolCallArguments
    | ToolCallSuccess
    | ToolCallFailure
    | ErrorEvent
    | ChatEnd
)
EVENTS: Final = ChatEvent.__args__
"""All of them, in the order in which they come."""


def frame(event: ChatEvent) -> bytes:
    """An event as it is sent."""
    return b"event: %b\ndata: %b\n\n" % (str(event.__struct_config__.tag).encode(), _encode(event))


def error_event(error: BridgeError, *, quirks: bool = False) -> bytes:
    """An error as the last event of a stream of which nothing else is known."""
    return frame(ErrorEvent(describe(error, quirks=quirks)))


def before_content(kind: type[ThoughtsPiece] | type[WordsPiece]) -> bytes:
    """A frame of words up to these words, which are the last of its fields: made once, as they are many."""
    return frame(kind(""))[: -len(b'""}\n\n')]
