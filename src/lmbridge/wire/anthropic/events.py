"""What Anthropic's clients are answered: a message, and the events of one that is streamed.

(https://platform.claude.com/docs/en/api/messages, https://platform.claude.com/docs/en/build-with-claude/streaming)
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec import Struct

StopReason: TypeAlias = Literal["end_turn", "max_tokens", "tool_use", "refusal"]


class MessageUsage(Struct, frozen=True):
    """What was counted; zeros where a provider does not count.

    Attributes:
        input_tokens: of the prompt, less what came from the cache.
    """

    input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    output_tokens: int = 0


class SaidText(Struct, frozen=True, tag="text"):
    """Words."""

    text: str = ""


class SaidThinking(Struct, frozen=True, tag="thinking"):
    """What the model thought. Nothing here signs it, and nothing here checks that."""

    thinking: str = ""
    signature: str = ""


class SaidToolUse(Struct, frozen=True, tag="tool_use"):
    """A call that the model wants made."""

    id: str
    name: str
    input: dict[str, object] = {}


Said: TypeAlias = SaidText | SaidThinking | SaidToolUse


class MessageObject(Struct, frozen=True, tag="message", kw_only=True):
    """An answer.

    Attributes:
        stop_sequence: always null: engines do not tell which text ended an answer.
    """

    id: str
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[Said] = []
    stop_reason: StopReason | None = None
    stop_sequence: None = None
    usage: MessageUsage = MessageUsage()


class MessageStart(Struct, frozen=True, tag="message_start"):
    """The first event."""

    message: MessageObject


class ContentBlockStart(Struct, frozen=True, tag="content_block_start"):
    """A block begins, empty."""

    index: int
    content_block: Said


class PieceOfText(Struct, frozen=True, tag="text_delta"):
    """More words."""

    text: str


class PieceOfThinking(Struct, frozen=True, tag="thinking_delta"):
    """More of what the model thinks."""

    thinking: str


class PieceOfInput(Struct, frozen=True, tag="input_json_delta"):
    """More of the JSON text of a call's input."""

    partial_json: str


class PieceOfSignature(Struct, frozen=True, tag="signature_delta"):
    """Ends a block of thinking; always empty."""

    signature: str


class ContentBlockDelta(Struct, frozen=True, tag="content_block_delta"):
    """More of the block."""

    index: int
    delta: PieceOfText | PieceOfThinking | PieceOfInput | PieceOfSignature


class ContentBlockStop(Struct, frozen=True, tag="content_block_stop"):
    """The block is complete."""

    index: int


class MessageEnd(Struct, frozen=True):
    """Why the answer ended."""

    stop_reason: StopReason
    stop_sequence: None = None


class MessageDelta(Struct, frozen=True, tag="message_delta"):
    """The end, with what was counted."""

    delta: MessageEnd
    usage: MessageUsage


class MessageStop(Struct, frozen=True, tag="message_stop"):
    """The last event."""


class Ping(Struct, frozen=True, tag="ping"):
    """A sign of life, at any place."""


EVENTS: Final = (
    MessageStart,
    ContentBlockStart,
    ContentBlockDelta,
    ContentBlockStop,
    MessageDelta,
    MessageStop,
    Ping,
)


class TokenCount(Struct, frozen=True):
    """The answer of `POST /v1/messages/count_tokens`."""

    input_tokens: int
