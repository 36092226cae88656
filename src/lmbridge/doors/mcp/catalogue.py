"""The tools that the MCP server offers, as hosts see them. Plain JSON: made without the `mcp` package.

Source: https://modelcontextprotocol.io/specification/2025-11-25/server/tools
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from lmbridge.doors.mcp import shapes

JSON = dict[str, object]
NULL: Final = {"type": "null"}


class Offered(Struct, frozen=True):
    """A tool.

    Attributes:
        asks: what it takes. gives: what comes back.
        changes: it changes which models are in memory, so it is there only for who asks for that.
        ends: it takes something away. again: doing it twice is doing it once.
        outside: what it is given may leave this machine, where a provider of models is elsewhere.
    """

    name: str
    title: str
    description: str
    asks: type[shapes.Arguments]
    gives: type[shapes.Result]
    changes: bool = False
    ends: bool = False
    again: bool = False
    outside: bool = False


TOOLS: Final = (
    Offered(
        "chat",
        "Ask a model",
        "Ask a language model that runs here, in one prompt or with the conversation before it. With `schema`, "
        "the answer is JSON that follows it.",
        shapes.Chat,
        shapes.Chatted,
        outside=True,
    ),
    Offered(
        "complete",
        "One prompt, one text",
        "Give a language model that runs here one prompt, and get its text back.",
        shapes.Complete,
        shapes.Completed,
        outside=True,
    ),
    Offered(
        "embed",
        "Vectors for texts",
        "Turn texts into vectors whose nearness is likeness in meaning.",
        shapes.Embed,
        shapes.Embedded,
        again=True,
        outside=True,
    ),
    Offered(
        "list_models",
        "Which models there are",
        "List the models that can be asked, loaded or not, with what is known of them.",
        shapes.List,
        shapes.Models,
        again=True,
    ),
    Offered(
        "status",
        "What works now",
        "Tell which providers of models can be reached and which models are in memory.",
        shapes.Nothing,
        shapes.Status,
        again=True,
    ),
    Offered(
        "load_model",
        "Load a model",
        "Load a model into memory, so that the next answer begins at once. Asking a model loads it too.",
        shapes.Load,
        shapes.InMemory,
        changes=True,
        again=True,
    ),
    Offered(
        "unload_model",
        "Unload a model",
        "Give a model's memory back. One that is answering somebody stays.",
        shapes.Unload,
        shapes.InMemory,
        changes=True,
        ends=True,
    ),
)
BY_NAME: Final = {tool.name: tool for tool in TOOLS}


def offered(*, manage: bool) -> list[JSON]:
    """The tools as `tools/list` shows them.

    Args:
        manage: those that change which models are in memory, too.
    """
    return [_shown(tool) for tool in TOOLS if manage or not tool.changes]


def schema(shape: type[Struct]) -> JSON:
    """The JSON schema of a struct, as plainly as can be: nothing to be looked up elsewhere in it, and no `null`
    where leaving it out does."""
    (root,), parts = msgspec.json.schema_components([shape], ref_template="{name}")
    return _plain(root, parts)


def _shown(tool: Offered) -> JSON:
    return {
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "inputSchema": schema(tool.asks),
        "outputSchema": schema(tool.gives),
        "annotations": {
            "title": tool.title,
            "readOnlyHint": not tool.changes,
            "destructiveHint": tool.ends,
            "idempotentHint": tool.again,
            "openWorldHint": tool.outside,
        },
    }


def _plain(node: JSON, parts: dict[str, JSON]) -> JSON:
    if isinstance(name := node.get("$ref"), str):
        # What our docstrings say of a struct is not for models.
        return _plain({key: value for key, value in parts[name].items() if key != "description"}, parts)
    choices = node.get("anyOf")
    if isinstance(choices, list) and NULL in choices:
        left = [choice for choice in choices if choice != NULL]
        rest = {key: value for key, value in node.items() if key not in ("anyOf", "default")}
        return _plain({**rest, **left[0]} if len(left) == 1 else {**rest, "anyOf": left}, parts)
    return {key: _within(key, value, parts) for key, value in node.items() if not _left_out(key, value)}


def _left_out(key: str, value: object) -> bool:
    """Whether a keyword says nothing: the names of our classes, and a word of OpenAPI alone."""
    return (key == "title" and isinstance(value, str)) or key == "discriminator"


def _within(key: str, value: object, parts: dict[str, JSON]) -> object:
    """What stands under a keyword: a schema, several, or a value that is none."""
    if key == "properties" and isinstance(value, dict):
        return {name: _plain(one, parts) for name, one in value.items()}
    if isinstance(value, dict):
        return _plain(value, parts)
    if isinstance(value, list):
        return [_plain(one, parts) if isinstance(one, dict) else one for one in value]
    return value
