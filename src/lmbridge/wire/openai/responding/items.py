"""Items and messages: what a conversation is made of, in this language and in ours.

An item is a message, a thought, a call or its result; several of them are one turn of the assistant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter
from lmbridge.core.messages import ImagePart, Message, Part, Role, TextPart, ToolCall
from lmbridge.wire.openai.responding.tools import shown_name


class Piece(Struct):
    """A part of an item, of any kind; fields that we do not know may come along, as clients send back answers."""

    type: str = "input_text"
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None


class Item(Struct):
    """An item of any kind. Without a type it is a message."""

    type: str | None = None
    id: str | None = None
    role: str | None = None
    content: str | list[Piece] | None = None
    summary: list[Piece] | None = None
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: str | None = None
    output: str | list[Piece] | None = None


_ROLES: Final[dict[str, Role]] = {"user": "user", "system": "system", "developer": "system"}
"""Few models know a developer; to all others he is the system."""
_KNOWN: Final = ("message", "reasoning", "function_call", "function_call_output")


# ---- into messages


class _Speech:
    """The assistant's turn that is being put together."""

    def __init__(self) -> None:
        self.reasoning: list[str] = []
        self.content: str | None = None
        self.calls: list[ToolCall] = []

    def close(self) -> Message | None:
        """The turn; None when it is empty. Thoughts without an answer are of no use to a model."""
        if self.content is None and not self.calls:
            return None
        reasoning = "\n".join(self.reasoning) or None
        return Message("assistant", self.content, reasoning=reasoning, tool_calls=tuple(self.calls))


class _Listener:
    """Puts items together into messages."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._speech = _Speech()

    def take(self, where: str, item: Item) -> None:
        """The next item.

        Raises:
            InvalidRequest, UnsupportedParameter: `param` names it.
        """
        kind = item.type or ("item_reference" if item.role is None and item.id is not None else "message")
        match kind:
            case "message" if item.role == "assistant":
                self._say(where, item)
            case "message":
                self.close()
                self.messages.append(_message(where, item))
            case "reasoning":
                if self._speech.content is not None or self._speech.calls:
                    self.close()
                self._speech.reasoning.append(_thoughts(item))
            case "function_call":
                self._speech.calls.append(_call(where, item))
            case "function_call_output":
                self.close()
                self.messages.append(_result(where, item))
            case "item_reference":
                raise UnsupportedParameter(
                    where,
                    "Items cannot be named by their id.",
                    hint="Send the item itself, or go on with `previous_response_id`.",
                )
            case _:
                raise UnsupportedParameter(
                    f"{where}.type",
                    f"Items of the kind {kind[:100]!r} do not exist here.",
                    hint=f"Send {', '.join(_KNOWN)}.",
                )

    def _say(self, where: str, item: Item) -> None:
        if self._speech.content is not None or self._speech.calls:
            self.close()
        content = _content(where, item.content, "")
        if not isinstance(content, str):
            raise InvalidRequest("The assistant cannot have shown pictures.", param=f"{where}.content")
        self._speech.content = content

    def close(self) -> None:
        """The assistant's turn ends."""
        turn, self._speech = self._speech.close(), _Speech()
        if turn is not None:
            self.messages.append(turn)


def to_messages(given: str | Sequence[Item]) -> tuple[Message, ...]:
    """The messages that the items of `input` mean.

    Raises:
        InvalidRequest, UnsupportedParameter: an item that is wrong or not known; `param` names it.
    """
    if isinstance(given, str):
        return (Message("user", given),)
    listener = _Listener()
    for position, item in enumerate(given):
        listener.take(f"input[{position}]", item)
    listener.close()
    return tuple(listener.messages)


def check_results(before: Sequence[Message], messages: Sequence[Message]) -> None:
    """Make sure that every result belongs to a call: a model is confused by one that does not.

    Args:
        before: the conversation so far. messages: what is added to it.

    Raises:
        InvalidRequest: naming the first one that does not.
    """
    called = {call.id for message in before for call in message.tool_calls}
    for message in messages:
        called.update(call.id for call in message.tool_calls)
        if message.role == "tool" and message.tool_call_id not in called:
            raise InvalidRequest(
                f"No call was made that {(message.tool_call_id or '')[:100]!r} could be the result of.",
                hint="Send the `function_call` item before its output, or `previous_response_id`.",
                param="input",
            )


def _message(where: str, item: Item) -> Message:
    role = _ROLES.get(item.role or "")
    if role is None:
        raise InvalidRequest(
            f"`{where}.role` is {(item.role or '')[:100]!r}.",
            hint="Send user, assistant, system or developer.",
            param=f"{where}.role",
        )
    return Message(role, _content(where, item.content))


def _content(where: str, given: str | Sequence[Piece] | None, glue: str = "\n") -> str | tuple[Part, ...]:
    """Text alone becomes one text: many templates know nothing else."""
    if given is None:
        raise InvalidRequest(f"`{where}.content` is missing.", param=f"{where}.content")
    if isinstance(given, str):
        return given
    parts = tuple(_part(f"{where}.content[{position}]", piece) for position, piece in enumerate(given))
    texts = [part.text for part in parts if isinstance(part, TextPart)]
    return glue.join(texts) if len(texts) == len(parts) else parts


def _part(where: str, piece: Piece) -> Part:
    match piece:
        case Piece(type="input_text" | "output_text" | "text", text=str(text)):
            return TextPart(text)
        case Piece(type="refusal", refusal=str(refusal)):
            return TextPart(refusal)
        case Piece(type="input_image", image_url=str(url)) if url[:11].lower().startswith("data:image/"):
            return ImagePart(url)
        case Piece(type="input_image", image_url=str()):
            raise InvalidRequest(
                f"`{where}.image_url` must be a `data:image/…;base64,…` URL; addresses are not fetched.",
                hint="Send the picture itself, in base64.",
                param=f"{where}.image_url",
            )
        case Piece(type="input_image" | "input_file"):
            raise UnsupportedParameter(
                f"{where}.type",
                "Files are not stored here.",
                hint="Send a picture as a data URL, a file as its text.",
            )
        case Piece(type="input_text" | "output_text" | "text" | "refusal"):
            raise InvalidRequest(f"`{where}.text` is missing.", param=f"{where}.text")
        case _:
            raise UnsupportedParameter(
                f"{where}.type",
                f"Parts of the kind {piece.type[:100]!r} do not exist here.",
                hint="Send input_text, input_image, output_text or refusal.",
            )


def _thoughts(item: Item) -> str:
    """Both ways to tell them: whole, or summarised. Those that OpenAI encrypted are nobody's here."""
    pieces = item.content if isinstance(item.content, list) and item.content else item.summary
    return "\n".join(piece.text for piece in pieces or () if piece.text)


def _call(where: str, item: Item) -> ToolCall:
    if not item.call_id or not item.name:
        missing = "name" if item.call_id else "call_id"
        raise InvalidRequest(f"`{where}.{missing}` is missing.", param=f"{where}.{missing}")
    return ToolCall(item.call_id, shown_name(item.name, item.namespace), item.arguments or "{}")


def _result(where: str, item: Item) -> Message:
    if not item.call_id:
        raise InvalidRequest(f"`{where}.call_id` is missing.", param=f"{where}.call_id")
    if item.output is None:
        raise InvalidRequest(f"`{where}.output` is missing.", param=f"{where}.output")
    return Message("tool", _content(where, item.output), tool_call_id=item.call_id)


# ---- out of messages


def input_items(turn: str, messages: Sequence[Message]) -> list[dict[str, object]]:
    """The items that messages came from, as `GET /v1/responses/{id}/input_items` lists them.

    Args:
        turn: id of the response, of which the ids of the items are made.
    """
    return [
        {"id": f"{prefix}_{turn.removeprefix('resp_')}_{number}", **item}
        for number, (prefix, item) in enumerate(each for message in messages for each in _items(message))
    ]


def _items(message: Message) -> list[tuple[str, dict[str, object]]]:
    if message.role == "tool":
        result = {"type": "function_call_output", "call_id": message.tool_call_id, "status": "completed"}
        return [("fco", {**result, "output": message.text})]
    items: list[tuple[str, dict[str, object]]] = []
    if message.reasoning:
        thought = {"type": "reasoning_text", "text": message.reasoning}
        items.append(("rs", {"type": "reasoning", "summary": [], "content": [thought]}))
    if message.content is not None:
        said = {"type": "message", "status": "completed", "role": message.role}
        items.append(("msg", {**said, "content": _pieces(message)}))
    for call in message.tool_calls:
        made = {"type": "function_call", "status": "completed", "call_id": call.id}
        items.append(("fc", {**made, "name": call.name, "arguments": call.arguments}))
    return items


def _pieces(message: Message) -> list[dict[str, object]]:
    if message.role == "assistant":
        return [{"type": "output_text", "text": message.text, "annotations": [], "logprobs": []}]
    parts = message.content if isinstance(message.content, tuple) else (TextPart(message.text),)
    return [
        {"type": "input_text", "text": part.text}
        if isinstance(part, TextPart)
        else {"type": "input_image", "image_url": part.url, "detail": "auto"}
        for part in parts
    ]
