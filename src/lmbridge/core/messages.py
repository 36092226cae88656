"""What is said: messages, the parts they are made of, tools and their calls."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct


class MessageRole(StrEnum):
    """Who says it, for those who like names better than strings: `MessageRole.USER == "user"`."""

    SYSTEM = "system"
    DEVELOPER = "developer"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


if TYPE_CHECKING:
    Role: TypeAlias = Literal["system", "developer", "user", "assistant", "tool"] | MessageRole
else:
    # Each role is both, but a decoder knows one kind of string at a time.
    Role = Literal["system", "developer", "user", "assistant", "tool"]


class TextPart(Struct, frozen=True, tag="text"):
    """Text inside a message of several parts."""

    text: str


class ImagePart(Struct, frozen=True, tag="image"):
    """A picture inside a message.

    Attributes:
        url: a `data:` URL holding the picture (PNG, JPEG, WebP, GIF; base64). Addresses on the
            network are not fetched: the hub makes no request that a caller dictates.
    """

    url: str


Part: TypeAlias = TextPart | ImagePart


class ToolCall(Struct, frozen=True, tag="tool_call"):
    """A call the model wants made.

    Attributes:
        id: names the call; the result message repeats it as `tool_call_id`.
        arguments: JSON as the model wrote it; parsing it is the caller's decision.
    """

    id: str
    name: str
    arguments: str


class Message(Struct, frozen=True, omit_defaults=True):
    """One turn of a conversation.

    Attributes:
        content: text, or parts when there are pictures; None for an assistant turn of calls only.
        reasoning: what the model thought before it answered, apart from the answer.
        tool_calls: calls of an assistant turn.
        tool_call_id: for role `tool`, the call this answers.
    """

    role: Role
    content: str | tuple[Part, ...] | None = None
    name: str | None = None
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """The words of the message, pictures left out."""
        if isinstance(self.content, tuple):
            return "".join(part.text for part in self.content if isinstance(part, TextPart))
        return self.content or ""


ChatMessage: TypeAlias = Message
"""The word that users of the manager (`lmbridge.LMStudioManager`) have for a message."""


class Tool(Struct, frozen=True):
    """A function the model may call.

    Attributes:
        parameters: JSON schema of its arguments, an object schema.
        strict: the arguments must follow the schema exactly.
    """

    name: str
    description: str = ""
    parameters: dict[str, object] = {}
    strict: bool = False
