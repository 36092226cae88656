"""The shape of an answer: by `output_config.format` where a model can, else by a tool that it has to call.

(https://platform.claude.com/docs/en/build-with-claude/structured-outputs)
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from lmbridge.core.errors import UnsupportedParameter
from lmbridge.core.requests import ChatRequest
from lmbridge.wire.anthropic.asking.models import Abilities
from lmbridge.wire.tool_calls import with_answer_tool

_NAMED: Final = ("properties", "$defs", "definitions", "patternProperties")
_LISTED: Final = ("anyOf", "allOf", "oneOf", "prefixItems")
_SINGLE: Final = ("items", "not")


def shaped(request: ChatRequest, can: Abilities) -> tuple[ChatRequest, str]:
    """The request with the shape of its answer said such that the model understands it.

    Returns:
        the request, and the name of the tool whose call is the answer, "" where there is none.

    Raises:
        UnsupportedParameter: a model that answers by a tool alone, and a shape that is no object.
    """
    schema = request.schema
    if schema is None:
        return request, ""
    if request.tools and request.tool_choice not in ("auto", "none"):
        return replace(request, schema=None), ""  # the answer has to be a call
    if schema.schema is not None and can.structured is not False:
        return request, ""
    if schema.schema and schema.schema.get("type") != "object":
        raise UnsupportedParameter(
            "response_format",
            "This model follows a schema only in what it calls a tool with, which is always an object.",
            hint='Give the schema the type "object".',
        )
    if request.tool_choice == "none":
        request = replace(request, tools=(), tool_choice="auto")
    return with_answer_tool(request)


def closed(schema: dict[str, object]) -> dict[str, object]:
    """*schema* with objects that have no other fields than those it names, unless it says something itself.

    The API takes no schema in which that is left open.
    """
    made = dict(schema)
    for name in _NAMED:
        if isinstance(inner := made.get(name), dict):
            made[name] = {key: _closed(value) for key, value in inner.items()}
    for name in _LISTED:
        if isinstance(inner := made.get(name), list):
            made[name] = [_closed(value) for value in inner]
    for name in _SINGLE:
        if name in made:
            made[name] = _closed(made[name])
    if made.get("type") == "object" or "properties" in made:
        made.setdefault("additionalProperties", False)
    return made


def _closed(value: object) -> object:
    return closed(value) if isinstance(value, dict) else value
