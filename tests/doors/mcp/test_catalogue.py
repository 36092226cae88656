from __future__ import annotations

from collections.abc import Iterator

import pytest
from jsonschema import Draft202012Validator
from mcp_types import Tool

from lmbridge.doors.mcp.catalogue import BY_NAME, TOOLS, offered, schema
from lmbridge.doors.mcp.shapes import Chat, Chatted


def within(node: object) -> Iterator[tuple[str, object]]:
    """Every key of a schema with its value, however deep."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield key, value
            yield from within(value)
    elif isinstance(node, list):
        for one in node:
            yield from within(one)


@pytest.mark.parametrize("tool", offered(manage=True), ids=lambda tool: tool["name"])
def test_every_tool_is_one_for_the_package_and_its_schemas_are_valid(tool: dict[str, object]) -> None:
    checked = Tool.model_validate(tool)
    for found in (checked.input_schema, checked.output_schema):
        assert found is not None
        Draft202012Validator.check_schema(found)
        assert found["type"] == "object", "hosts of earlier versions take no other"


def test_a_schema_stands_by_itself_and_has_no_null() -> None:
    found = schema(Chat)
    keys = dict(within(found))
    assert not {"$ref", "$defs", "title", "discriminator"} & keys.keys()
    assert ("type", "null") not in [(k, v) for k, v in within(found) if isinstance(v, str)]


def test_an_argument_that_nobody_knows_is_refused_by_the_schema_too() -> None:
    assert schema(Chat)["additionalProperties"] is False


def test_what_is_told_only_at_times_need_not_be_there() -> None:
    assert schema(Chatted)["required"] == ["text", "model", "provider", "finish_reason"]


def test_without_manage_nothing_that_changes_models_is_offered() -> None:
    plain = {tool["name"] for tool in offered(manage=False)}
    assert plain == {tool.name for tool in TOOLS if not tool.changes}
    assert {"load_model", "unload_model"} == BY_NAME.keys() - plain
