from __future__ import annotations

import pytest

from lmbridge.core.messages import Tool
from lmbridge.core.requests import ChatRequest
from lmbridge.wire.openai.tools import with_plain_choice, with_tools_of

CLOCK = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object"}}}
OTHER = {"type": "function", "function": {"name": "other"}}
NAMED = {"type": "function", "function": {"name": "clock"}}


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


def test_other_tools_take_the_place_of_a_shape() -> None:
    chat = ChatRequest("m", "?", tools=(Tool("clock", parameters={"type": "object"}),))
    assert with_tools_of({"n": 1, "tools": [OTHER], "response_format": {"type": "json_object"}}, chat) == {
        "n": 1,
        "tools": [CLOCK],
        "tool_choice": "required",
        "parallel_tool_calls": False,
    }
