from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter
from lmbridge.wire.anthropic import requests
from lmbridge.wire.anthropic.blocks import TextBlock, ToolResultBlock
from lmbridge.wire.anthropic.fields import IGNORED, REFUSED, TRANSLATED
from lmbridge.wire.anthropic.requests import (
    CountTokensBody,
    MessagesBody,
    decode_count_body,
    decode_messages_body,
)

HELLO = {"role": "user", "content": "Hello"}
TOOL = {"name": "weather", "input_schema": {"type": "object"}}


def body(**more: object) -> bytes:
    return json.dumps({"model": "m", "max_tokens": 9, "messages": [HELLO], **more}).encode()


def count(**more: object) -> bytes:
    return json.dumps({"model": "m", "messages": [HELLO], **more}).encode()


def refused(data: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        decode_messages_body(data)
    return caught.value


def test_the_least_there_can_be_is_taken() -> None:
    decoded = decode_messages_body(body())
    assert (decoded.model, decoded.max_tokens, decoded.streamed) == ("m", 9, False)
    assert decode_messages_body(body(stream=True)).streamed


def test_what_claude_code_sends_is_taken() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    decoded = decode_messages_body(
        body(
            system=[{"type": "text", "text": "Be brief.", **mark}],
            messages=[{"role": "user", "content": [{"type": "text", "text": "Hello", **mark}]}],
            tools=[{**TOOL, "description": "d", **mark, "eager_input_streaming": True}],
            metadata={"user_id": "u"},
            thinking={"type": "adaptive"},
            context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            output_config={"effort": "high"},
            stream=True,
        )
    )
    assert decoded.messages[0].content == [TextBlock("Hello")]


def test_blocks_may_hold_what_earlier_answers_held() -> None:
    block = {
        "type": "tool_result",
        "tool_use_id": "a",
        "content": [{"type": "text", "text": "x", "citations": []}],
    }
    decoded = decode_messages_body(body(messages=[{"role": "user", "content": [block], "id": "msg_1"}]))
    assert decoded.messages[0].content == [ToolResultBlock("a", [TextBlock("x")])]


@pytest.mark.parametrize("name", [field.name for field in IGNORED if field.name in MessagesBody.__struct_fields__])
def test_a_field_that_changes_nothing_is_taken(name: str) -> None:
    decode_messages_body(body(**{name: "auto"}))


@pytest.mark.parametrize("name", [field.name for field in REFUSED])
def test_a_field_that_would_be_missed_is_refused_by_name(name: str) -> None:
    error = refused(body(**{name: {"x": 1}}))
    assert isinstance(error, UnsupportedParameter)
    assert error.param == name
    decode_messages_body(body(**{name: None}))


def test_a_fallback_that_changes_no_model_is_taken() -> None:
    decode_messages_body(body(fallbacks="default"))


def test_every_field_of_a_table_is_one_of_the_body_or_of_a_part_of_it() -> None:
    tops = [entry.name for entry in (*IGNORED, *REFUSED, *TRANSLATED) if entry.name.isidentifier()]
    assert set(tops) - {"citations"} <= set(MessagesBody.__struct_fields__)
    assert len(tops) == len(set(tops))


def test_every_field_that_takes_anything_is_in_a_table() -> None:
    tables = {entry.name for entry in (*IGNORED, *REFUSED)}
    anything = {f.name for f in requests.msgspec.structs.fields(MessagesBody) if f.type is object}
    assert anything <= tables


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"made_up": 1}, "made_up"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": None}, "max_tokens"),
        ({"temperature": 1.5}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "messages[0].content[0].type"),
        ({"tools": [{**TOOL, "made_up": 1}]}, "tools[0].made_up"),
        ({"tools": [{"name": "x"}]}, "tools[0].input_schema"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"output_config": {"task_budget": 1}}, "output_config.task_budget"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tool_choice": {"type": "tool", "name": "x"}}, "tool_choice.name"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "x"}}, "tool_choice.name"),
    ],
)
def test_a_mistake_is_refused_and_its_place_is_named(change: dict[str, object], param: str) -> None:
    assert refused(body(**change)).param == param


def test_the_tools_are_named_to_who_chose_another() -> None:
    assert "weather" in refused(body(tools=[TOOL], tool_choice={"type": "tool", "name": "x"})).hint


def test_max_tokens_must_be_there() -> None:
    assert refused(json.dumps({"model": "m", "messages": [HELLO]}).encode()).param == "max_tokens"


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 5},
        {"type": "bash_20250124", "name": "bash"},
        {"type": "mcp_toolset", "mcp_server_name": "x"},
    ],
)
def test_a_tool_of_anthropics_own_is_refused_by_its_kind(tool: dict[str, object]) -> None:
    error = refused(body(tools=[TOOL, tool]))
    assert isinstance(error, UnsupportedParameter)
    assert error.param == "tools[1]"
    assert str(tool["type"]) in error.message
    assert "input_schema" in error.hint


def test_a_mistake_beside_tools_that_are_known_is_told_as_it_is() -> None:
    assert refused(body(tools=[TOOL, {**TOOL, "type": "custom"}], made_up=1)).param == "made_up"


def test_a_tool_that_only_code_may_call_is_refused() -> None:
    decode_messages_body(body(tools=[{**TOOL, "allowed_callers": ["direct", "code_execution_20250825"]}]))
    error = refused(body(tools=[{**TOOL, "allowed_callers": ["code_execution_20250825"]}]))
    assert error.param == "tools[0].allowed_callers"


def test_the_shape_of_the_answer_may_be_given_once() -> None:
    shape = {"type": "json_schema", "schema": {"type": "object"}}
    decode_messages_body(body(output_format=shape, output_config={"effort": "low"}))
    assert refused(body(output_format=shape, output_config={"format": shape})).param == "output_format"


@pytest.mark.parametrize(
    ("thinking", "shown"),
    [
        (None, True),
        ({"type": "adaptive"}, True),
        ({"type": "between_tools"}, True),
        ({"type": "enabled", "budget_tokens": 1024, "display": "summarized"}, True),
        ({"type": "enabled", "budget_tokens": 1024, "display": "omitted"}, False),
        ({"type": "adaptive", "display": "omitted"}, False),
        ({"type": "disabled"}, False),
    ],
)
def test_thinking_is_shown_unless_the_caller_says_otherwise(thinking: object, shown: bool) -> None:
    assert decode_messages_body(body(thinking=thinking)).shows_thinking is shown


def test_counting_takes_what_a_prompt_is_made_of_and_nothing_else() -> None:
    decoded = decode_count_body(count(system="s", tools=[TOOL], thinking={"type": "disabled"}, speed="fast"))
    assert isinstance(decoded, CountTokensBody)
    with pytest.raises(UnsupportedParameter) as caught:
        decode_count_body(count(max_tokens=9))
    assert caught.value.param == "max_tokens"


@given(st.binary())
def test_what_is_not_a_request_is_refused_and_nothing_worse(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decode_messages_body(data)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["type", "text", "name", "input"]), inner),
        max_leaves=10,
    ),
    st.sampled_from(sorted(MessagesBody.__struct_fields__)),
)
def test_any_value_in_any_field_is_taken_or_refused(value: object, name: str) -> None:
    with suppress(InvalidRequest):
        decode_messages_body(body(**{name: value}))
