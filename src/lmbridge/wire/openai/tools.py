"""Tools in an OpenAI body, said such that every server does what is meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lmbridge.core.requests import ChatRequest
from lmbridge.wire.openai.encode import encode_tool

_OF_TOOLS: Final = ("tools", "tool_choice", "parallel_tool_calls")


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


def _named(given: object) -> object:
    """The function that a tool, or a choice of one, names."""
    function = given.get("function") if isinstance(given, Mapping) else None
    return function.get("name") if isinstance(function, Mapping) else None


def with_tools_of(body: Mapping[str, object], chat: ChatRequest) -> Mapping[str, object]:
    """*body* with the tools of *chat*, one of which has to be called, and no shape of its answer."""
    kept = {name: value for name, value in body.items() if name != "response_format"}
    tools = [encode_tool(tool) for tool in chat.tools]
    return {**kept, "tools": tools, "tool_choice": "required", "parallel_tool_calls": False}
