"""What Ollama's requests ask, in core's words."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from lmbridge.core.errors import UnsupportedParameter
from lmbridge.core.messages import ImagePart, Message, Part, TextPart, Tool, ToolCall
from lmbridge.core.models import ModelInfo
from lmbridge.core.requests import ChatRequest, Sampling, Schema
from lmbridge.wire.ollama.continued import CONTINUED, begun
from lmbridge.wire.ollama.pictures import data_url
from lmbridge.wire.ollama.requests import ChatBody, ChatMessage, FunctionDefinition, GenerateBody


def chat_request(body: ChatBody, name: str, model: ModelInfo) -> ChatRequest:
    """A chat in core's words.

    Args:
        name: of the model, as it is known here. model: what the name means.

    Raises:
        InvalidRequest: a picture that is none. UnsupportedParameter: thoughts of a model without.
    """
    turns = _Turns()
    messages = [turns.message(position, turn) for position, turn in enumerate(body.messages or ())]
    tools = tuple(_tool(tool.function) for tool in body.tools or ())
    return _request(body, name, model, messages, tools)


def generate_request(body: GenerateBody, name: str, model: ModelInfo) -> ChatRequest:
    """A generation in core's words: a conversation of one turn, with the system's before it.

    Args:
        name: of the model, as it is known here. model: what the name means.

    Raises:
        InvalidRequest: a picture that is none. UnsupportedParameter: thoughts of a model without.
    """
    messages = [Message("system", body.system)] if body.system else []
    messages.append(Message("user", _content(body.prompt or "", body.images, "images")))
    return _request(body, name, model, messages)


def _request(
    body: ChatBody | GenerateBody,
    name: str,
    model: ModelInfo,
    messages: Sequence[Message],
    tools: tuple[Tool, ...] = (),
) -> ChatRequest:
    options = body.options
    asked = ChatRequest(
        name,
        tuple(messages),
        tools=tools,
        schema=_schema(body.format),
        sampling=options.sampling if options is not None else Sampling(),
        reasoning_effort=_effort(body.think, model),
        extra=options.extra if options is not None else {},
        truncate=body.truncate is True,
    )
    return replace(asked, extra={**asked.extra, **CONTINUED}) if begun(asked) else asked


def _schema(wanted: str | dict[str, object] | None) -> Schema | None:
    if not wanted:
        return None
    return Schema(wanted if isinstance(wanted, dict) else None)


def _effort(think: bool | str | None, model: ModelInfo) -> str | None:
    """How much the model is to think; None for as much as it does by itself."""
    if model.reasoning is False:
        if think:
            raise UnsupportedParameter("think", f"{model.id!r} does not think.")
        return None
    return None if think is None or think is True else think or "none"


class _Turns:
    """The turns of a conversation, one after the other: results of tools must find their calls."""

    def __init__(self) -> None:
        self._made = 0
        self._open: list[ToolCall] = []

    def message(self, position: int, turn: ChatMessage) -> Message:
        """One turn in core's words."""
        calls = tuple(
            self._call(call.id, call.function.name, call.function.arguments) for call in turn.tool_calls or ()
        )
        self._open += calls
        said = turn.content if turn.content is not None or calls else ""
        return Message(
            turn.role,
            said if said is None else _content(said, turn.images, f"messages[{position}].images"),
            name=turn.tool_name if turn.role == "tool" else None,
            reasoning=turn.thinking or None,
            tool_calls=calls,
            tool_call_id=self._answered(turn) if turn.role == "tool" else None,
        )

    def _call(self, given: str | None, name: str, arguments: dict[str, object]) -> ToolCall:
        return ToolCall(given or self._new_id(), name, msgspec.json.encode(arguments).decode())

    def _new_id(self) -> str:
        # Some chat templates insist on nine letters and digits.
        self._made += 1
        return f"call{self._made:05}"

    def _answered(self, turn: ChatMessage) -> str:
        """The id of the call that a result belongs to; Ollama's clients name the tool at most."""
        wanted, name = turn.tool_call_id, turn.tool_name
        for call in self._open:
            if wanted in (None, call.id) and name in (None, call.name):
                self._open.remove(call)
                return call.id
        return wanted or self._new_id()


def _content(text: str, images: Sequence[str] | None, param: str) -> str | tuple[Part, ...]:
    """Text, or pictures and then the text, as Ollama shows them to the model."""
    if not images:
        return text
    pictures = tuple(ImagePart(data_url(each, f"{param}[{at}]")) for at, each in enumerate(images))
    return (*pictures, TextPart(text)) if text else pictures


def _tool(function: FunctionDefinition) -> Tool:
    return Tool(
        function.name,
        function.description or "",
        _mended(function.parameters or {}),
        strict=function.strict is True,
    )


def _mended(schema: dict[str, object]) -> dict[str, object]:
    """*schema* as JSON schema has it: Ollama's Go client writes no properties as `null`, and its Python client the
    types of a union as one text, `"integer, string"` (its `_utils.convert_function_to_tool`)."""
    properties = schema.get("properties", ())
    if properties is None:
        return {**schema, "properties": {}}
    if not isinstance(properties, dict):
        return schema
    return {**schema, "properties": {name: _split_type(each) for name, each in properties.items()}}


def _split_type(schema: object) -> object:
    kind = schema.get("type") if isinstance(schema, dict) else None
    if isinstance(schema, dict) and isinstance(kind, str) and ", " in kind:
        return {**schema, "type": kind.split(", ")}
    return schema
