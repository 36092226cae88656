"""Messages in the form of OpenAI's API, which programs keep their conversations in, to and from our own.

Carried is what `Message` has words for; anything else is refused by name rather than lost.
(https://platform.openai.com/docs/api-reference/chat/create; llama.cpp and LM Studio add `reasoning_content`.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from lmbridge.core.errors import InvalidRequest
from lmbridge.core.messages import ImagePart, Message, Part, Role, TextPart, ToolCall

_EMPTY: Final[tuple[object, ...]] = (None, [], "", {})


class _Text(Struct, tag="text", tag_field="type", forbid_unknown_fields=True):
    text: str


class _Address(Struct, forbid_unknown_fields=True):
    url: str
    detail: Literal["auto"] | None = None


class _Image(Struct, tag="image_url", tag_field="type", forbid_unknown_fields=True):
    image_url: _Address


class _Function(Struct, forbid_unknown_fields=True):
    name: str
    arguments: str


class _Call(Struct, forbid_unknown_fields=True):
    id: str
    function: _Function
    type: Literal["function"] = "function"


_Parts: TypeAlias = list[_Text | _Image]


class _Message(Struct, forbid_unknown_fields=True):
    role: Role
    content: str | _Parts | None = None
    name: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_Call] = []
    tool_call_id: str | None = None


def from_openai(messages: Sequence[Mapping[str, object]]) -> tuple[Message, ...]:
    """Our messages. Fields that hold nothing (`"refusal": null`) are let pass, whatever they are.

    Raises:
        InvalidRequest: a field or a kind of part that we have no word for, or one of a wrong type; it says which.
    """
    given: object = messages  # whatever a program has kept
    if not isinstance(given, Sequence) or not all(isinstance(message, Mapping) for message in given):
        raise InvalidRequest(
            f"{given!r:.100} is no list of messages.",
            hint='One looks like {"role": "user", "content": "Hello"}.',
            param="messages",
        )
    return tuple(_decoded(number, message) for number, message in enumerate(given))


def _decoded(number: int, message: Mapping[str, object]) -> Message:
    told = {name: value for name, value in message.items() if value not in _EMPTY or name == "content"}
    try:
        found = msgspec.convert(told, _Message)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"messages[{number}] cannot be carried: {error}.", param="messages") from error
    return Message(
        found.role,
        tuple(map(_part, found.content)) if isinstance(found.content, list) else found.content,
        found.name,
        found.reasoning_content,
        tuple(ToolCall(call.id, call.function.name, call.function.arguments) for call in found.tool_calls),
        found.tool_call_id,
    )


def _part(part: _Text | _Image) -> Part:
    if isinstance(part, _Text):
        return TextPart(part.text)
    if not part.image_url.url.startswith("data:"):
        raise InvalidRequest(
            "A picture must be a `data:` URL: no address on the network is fetched.", param="messages"
        )
    return ImagePart(part.image_url.url)


def to_openai(messages: Iterable[Message]) -> list[dict[str, object]]:
    """OpenAI's messages."""
    return [_encoded(message) for message in messages]


def _encoded(message: Message) -> dict[str, object]:
    content = message.content
    told: dict[str, object] = {
        "role": str(message.role),
        "content": [_encoded_part(part) for part in content] if isinstance(content, tuple) else content,
    }
    if message.name is not None:
        told["name"] = message.name
    if message.reasoning is not None:
        told["reasoning_content"] = message.reasoning
    if message.tool_calls:
        told["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        told["tool_call_id"] = message.tool_call_id
    return told


def _encoded_part(part: Part) -> dict[str, object]:
    if isinstance(part, ImagePart):
        return {"type": "image_url", "image_url": {"url": part.url}}
    return {"type": "text", "text": part.text}
