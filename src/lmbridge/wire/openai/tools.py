"""What an OpenAI body asks of tools, in core's words, and in words that every server understands."""

from __future__ import annotations

from collections.abc import Mapping

from lmbridge.core.messages import Tool
from lmbridge.core.requests import ChatRequest, NamedTool, Schema, ToolChoice
from lmbridge.wire.openai.requests import ChatBody, ChosenTool, JSONObjectFormat, JSONSchemaFormat


def asked_of_tools(body: ChatBody) -> ChatRequest:
    """What the answer to *body* has to be held to: tools, choice and shape. Its messages are left out."""
    extra: dict[str, object] = {}
    if body.reasoning_format is not None:
        extra["reasoning_format"] = body.reasoning_format
    return ChatRequest(
        body.model,
        (),
        tools=tuple(
            Tool(each.function.name, each.function.description or "", each.function.parameters or {})
            for each in body.tools or ()
        ),
        tool_choice=_choice(body),
        parallel_tool_calls=body.parallel_tool_calls,
        schema=_schema(body),
        extra=extra,
    )


def _choice(body: ChatBody) -> ToolChoice | NamedTool:
    choice = body.tool_choice
    return NamedTool(choice.function.name) if isinstance(choice, ChosenTool) else choice or "auto"


def _schema(body: ChatBody) -> Schema | None:
    match body.response_format:
        case JSONObjectFormat(schema):
            return Schema(schema)
        case JSONSchemaFormat(named):
            return Schema(named.schema, named.name)
        case _:
            return None


def with_plain_choice(body: Mapping[str, object]) -> Mapping[str, object]:
    """*body* with a tool choice that means the same to every server; the same object if it is so already.

    Many servers know only the words (LM Studio), take a name for `auto` (llama.cpp's), or do not look at the
    choice at all (Ollama): so a name becomes `required` with that tool alone, and `none` no tools.
    """
    choice, tools = body.get("tool_choice"), body.get("tools")
    if not isinstance(tools, list):
        return body
    if choice == "none":
        return {name: value for name, value in body.items() if name not in _OF_TOOLS}
    name = _named(choice)
    if name is None:
        return body
    return {**body, "tools": [tool for tool in tools if _named(tool) == name], "tool_choice": "required"}


_OF_TOOLS = ("tools", "tool_choice", "parallel_tool_calls")


def _named(given: object) -> object:
    """The function that a tool, or a choice of one, names."""
    function = given.get("function") if isinstance(given, Mapping) else None
    return function.get("name") if isinstance(function, Mapping) else None
