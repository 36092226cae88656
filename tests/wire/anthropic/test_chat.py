from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.errors import InvalidRequest
from lmbridge.core.messages import Message, Tool
from lmbridge.core.requests import ChatRequest, NamedTool, Sampling, Schema
from lmbridge.wire.anthropic.chat import begun, to_chat
from lmbridge.wire.anthropic.requests import decode_count_body, decode_messages_body

TOOL = {"name": "weather", "input_schema": {"type": "object"}}
HELLO = {"role": "user", "content": "Hello"}


def chat(**more: object) -> ChatRequest:
    body = {"model": "m", "max_tokens": 9, "messages": [HELLO], **more}
    return to_chat(decode_messages_body(json.dumps(body).encode()))


def test_sampling_is_carried() -> None:
    asked = chat(temperature=0.5, top_p=0.9, top_k=3, stop_sequences=["x", "y"])
    assert asked == ChatRequest(
        "m",
        (Message("user", "Hello"),),
        sampling=Sampling(temperature=0.5, top_p=0.9, top_k=3, max_tokens=9, stop=("x", "y")),
    )


def test_to_count_needs_no_sampling() -> None:
    asked = to_chat(decode_count_body(json.dumps({"messages": [HELLO]}).encode()))
    assert asked == ChatRequest("", (Message("user", "Hello"),))


def test_tools_are_carried_with_their_examples() -> None:
    (tool,) = chat(tools=[{**TOOL, "description": "d", "strict": True, "input_examples": [{"a": "é"}]}]).tools
    assert tool == Tool("weather", 'd\n\nExample of its input: {"a": "é"}', {"type": "object"}, strict=True)
    assert chat(tools=[TOOL]).tools == (Tool("weather", "", {"type": "object"}),)


@pytest.mark.parametrize(
    ("choice", "means"),
    [
        (None, ("auto", None)),
        ({"type": "none"}, ("none", None)),
        ({"type": "auto"}, ("auto", None)),
        ({"type": "auto", "disable_parallel_tool_use": True}, ("auto", False)),
        ({"type": "any", "disable_parallel_tool_use": False}, ("required", True)),
        ({"type": "tool", "name": "weather"}, (NamedTool("weather"), None)),
    ],
)
def test_a_tool_choice_is_carried(choice: object, means: object) -> None:
    asked = chat(tools=[TOOL], tool_choice=choice)
    assert (asked.tool_choice, asked.parallel_tool_calls) == means


@pytest.mark.parametrize(
    ("given", "effort"),
    [
        ({}, None),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}}, "none"),
        ({"thinking": {"type": "adaptive"}}, None),
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4097}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 16385}}, "high"),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}, "output_config": {"effort": "medium"}}, "medium"),
        ({"output_config": {"effort": "max"}}, "high"),
    ],
)
def test_thinking_becomes_an_effort(given: dict[str, object], effort: str | None) -> None:
    assert chat(**given).reasoning_effort == effort


@pytest.mark.parametrize("where", ["output_format", "output_config"])
def test_the_shape_of_an_answer_is_carried(where: str) -> None:
    shape = {"type": "json_schema", "schema": {"type": "object"}}
    asked = chat(**{where: shape if where == "output_format" else {"format": shape}})
    assert asked.schema == Schema({"type": "object"})


def test_a_last_turn_of_the_assistant_is_to_be_continued() -> None:
    asked = chat(messages=[HELLO, {"role": "assistant", "content": "Well,"}])
    assert asked.extra == {"continue_final_message": True, "add_generation_prompt": False}
    assert begun(asked) == "Well,"
    assert (chat().extra, begun(chat())) == ({}, "")


WORDS = st.text(max_size=9)
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
NAMES = st.sampled_from(["one", "two"])
BLOCKS = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": WORDS}),
    st.just(PICTURE),
    st.fixed_dictionaries({"type": st.just("thinking"), "thinking": WORDS, "signature": WORDS}),
    st.fixed_dictionaries({"type": st.just("tool_use"), "id": NAMES, "name": NAMES, "input": st.just({"a": [1]})}),
    st.fixed_dictionaries(
        {"type": st.just("tool_result"), "tool_use_id": NAMES},
        optional={"content": WORDS | st.just([PICTURE]), "is_error": st.booleans()},
    ),
)
TURNS = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "system"]),
        "content": WORDS | st.lists(BLOCKS, max_size=4),
    }
)


@given(st.lists(TURNS, max_size=5), WORDS | st.lists(BLOCKS, max_size=2))
def test_any_conversation_is_understood_or_refused(turns: list[object], system: object) -> None:
    with suppress(InvalidRequest):
        asked = chat(messages=turns, system=system, tools=[TOOL])
        assert asked.turns
        begun(asked)
