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


class InvalidName(Struct, frozen=True, tag="invalid_name"):
    """A call of a tool that does not exist.

    Attributes:
        arguments: an object; absent where the model wrote none.
    """

    tool_name: str
    arguments: Raw | UnsetType = UNSET


class ToolCallFailure(Struct, frozen=True, tag="tool_call.failure"):
    """A call that nobody can make."""

    reason: str
    metadata: InvalidName


class ErrorEvent(Struct, frozen=True, tag="error"):
    """What went wrong; the end follows all the same."""

    error: ErrorObject


class Thoughts(Struct, frozen=True, tag="reasoning"):
    """What was thought, in the whole answer."""

    content: str


class Words(Struct, frozen=True, tag="message"):
    """What was said, in the whole answer."""

    content: str


class InvalidToolCall(Struct, frozen=True, tag="invalid_tool_call"):
    """A call that nobody could make, in the whole answer."""

    reason: str
    metadata: InvalidName


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
    output: tuple[Thoughts | Words | InvalidToolCall, ...]
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
