from __future__ import annotations

import pytest
from msgspec.structs import replace

from lmbridge.core.errors import UnsupportedParameter
from lmbridge.core.messages import Tool
from lmbridge.core.requests import ChatRequest, NamedTool, Schema
from lmbridge.wire.anthropic.asking.models import Abilities
from lmbridge.wire.anthropic.asking.shapes import closed, shaped

OBJECT = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
CHAT = ChatRequest("m", "Hello", schema=Schema(OBJECT))
TOOLS = (Tool("one"), Tool("two"))
CANNOT = Abilities(structured=False)


def test_without_a_shape_nothing_changes() -> None:
    plain = ChatRequest("m", "Hello", TOOLS)
    assert shaped(plain, CANNOT) == (plain, "")


@pytest.mark.parametrize("can", [Abilities(), Abilities(structured=True)])
def test_a_model_that_can_follows_the_schema_beside_its_tools(can: Abilities) -> None:
    both = replace(CHAT, tools=TOOLS)
    assert shaped(CHAT, can) == (CHAT, "")
    assert shaped(both, can) == (both, "")


def test_another_model_has_to_call_a_tool_with_its_answer() -> None:
    asked, name = shaped(CHAT, CANNOT)
    assert name == "final_answer"
    assert [tool.parameters for tool in asked.tools] == [OBJECT]
    assert (asked.tool_choice, asked.schema) == ("required", None)


def test_any_json_object_is_what_a_tool_is_called_with() -> None:
    asked, name = shaped(replace(CHAT, schema=Schema()), Abilities(structured=True))
    assert (name, asked.tools[0].parameters) == ("final_answer", {"type": "object"})


def test_a_tool_may_be_called_instead_of_answering() -> None:
    asked, _ = shaped(replace(CHAT, tools=TOOLS), CANNOT)
    assert [tool.name for tool in asked.tools] == ["one", "two", "final_answer"]


def test_where_no_tool_may_be_called_only_the_answer_is_offered() -> None:
    asked, _ = shaped(replace(CHAT, tools=TOOLS, tool_choice="none"), CANNOT)
    assert [tool.name for tool in asked.tools] == ["final_answer"]


@pytest.mark.parametrize("choice", ["required", NamedTool("one")])
def test_where_a_tool_has_to_be_called_the_answer_has_no_shape(choice: str) -> None:
    asked, name = shaped(replace(CHAT, tools=TOOLS, tool_choice=choice), CANNOT)
    assert (asked.schema, name, asked.tools) == (None, "", TOOLS)


def test_a_tool_is_called_with_objects_alone() -> None:
    with pytest.raises(UnsupportedParameter, match="always an object"):
        shaped(replace(CHAT, schema=Schema({"type": "array"})), CANNOT)


def test_objects_are_closed_wherever_they_are_unless_they_say_otherwise() -> None:
    thing: dict[str, object] = {"type": "object"}
    shut: dict[str, object] = {"type": "object", "additionalProperties": False}
    free: dict[str, object] = {"type": "object", "additionalProperties": {"type": "string"}}
    schema = {
        "properties": {"a": thing, "b": free, "c": True},
        "$defs": {"d": {"anyOf": [thing, {"type": "null"}]}},
        "items": {"type": "array", "prefixItems": [thing]},
        "enum": [thing],
    }
    assert closed(schema) == {
        "properties": {"a": shut, "b": free, "c": True},
        "$defs": {"d": {"anyOf": [shut, {"type": "null"}]}},
        "items": {"type": "array", "prefixItems": [shut]},
        "enum": [thing],
        "additionalProperties": False,
    }
    assert closed({"properties": 7, "anyOf": 7}) == {"properties": 7, "anyOf": 7, "additionalProperties": False}
