from __future__ import annotations

import json

import pytest

from lmbridge.core.messages import Tool
from lmbridge.core.requests import ChatRequest, NamedTool, Schema
from lmbridge.wire.openai.requests import decode_chat_body
from lmbridge.wire.openai.tools import asked_of_tools, with_plain_choice

SHAPE = {"type": "object"}
CLOCK = {"type": "function", "function": {"name": "clock", "description": "Time.", "parameters": SHAPE}}
OTHER = {"type": "function", "function": {"name": "other"}}
NAMED = {"type": "function", "function": {"name": "clock"}}


def asked(**more: object) -> ChatRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "?"}], **more}
    return asked_of_tools(decode_chat_body(json.dumps(body).encode()))


def test_tools_are_told_in_cores_words() -> None:
    got = asked(tools=[CLOCK, OTHER], parallel_tool_calls=False)
    assert got.tools == (Tool("clock", "Time.", SHAPE), Tool("other"))
    assert (got.tool_choice, got.parallel_tool_calls, got.schema, got.extra) == ("auto", False, None, {})


def test_a_choice_is_a_word_or_a_tool() -> None:
    assert asked(tools=[CLOCK], tool_choice="required").tool_choice == "required"
    assert asked(tools=[CLOCK], tool_choice=NAMED).tool_choice == NamedTool("clock")
    assert asked().tool_choice == "auto"


def test_the_shape_of_the_answer_is_told() -> None:
    named = {"type": "json_schema", "json_schema": {"name": "n", "schema": SHAPE}}
    assert asked(response_format=named).schema == Schema(SHAPE, "n")
    assert asked(response_format={"type": "json_object"}).schema == Schema()
    assert asked(response_format={"type": "text"}).schema is None


def test_where_thoughts_are_wanted_is_told() -> None:
    assert asked(reasoning_format="none").extra == {"reasoning_format": "none"}


@pytest.mark.parametrize(
    "body", [{}, {"tools": [CLOCK]}, {"tools": [CLOCK], "tool_choice": "required"}, {"tool_choice": "none"}]
)
def test_a_choice_that_every_server_understands_stays_as_it_is(body: dict[str, object]) -> None:
    assert with_plain_choice(body) is body


def test_a_named_tool_becomes_the_only_one() -> None:
    body = {"tools": [CLOCK, OTHER, 7], "tool_choice": NAMED, "n": 1}
    assert with_plain_choice(body) == {"tools": [CLOCK], "tool_choice": "required", "n": 1}


def test_no_tool_is_shown_to_who_must_call_none() -> None:
    body = {"tools": [CLOCK], "tool_choice": "none", "parallel_tool_calls": True, "n": 1}
    assert with_plain_choice(body) == {"n": 1}
