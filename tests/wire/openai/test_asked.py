from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.errors import InvalidRequest
from lmbridge.core.messages import ImagePart, Message, TextPart, Tool, ToolCall
from lmbridge.core.requests import ChatRequest, NamedTool, Schema
from lmbridge.wire.openai.asked import asked
from lmbridge.wire.openai.requests import AudioContent, ChatBody, ChatMessage, decode_chat_body

SHAPE = {"type": "object"}
CLOCK = {"type": "function", "function": {"name": "clock", "description": "Time.", "parameters": SHAPE}}
NAMED = {"type": "function", "function": {"name": "clock"}}
HELLO = {"role": "user", "content": "?"}


def decoded(**more: object) -> ChatRequest:
    body = {"model": "m", "messages": [HELLO], **more}
    return asked(decode_chat_body(json.dumps(body).encode()))


def test_what_nobody_asked_for_is_not_there() -> None:
    assert decoded() == ChatRequest("m", (Message("user", "?"),))


def test_the_conversation_is_told_in_cores_words() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    got = decoded(
        messages=[
            {"role": "user", "name": "Anna", "content": [{"type": "text", "text": "This:"}, picture]},
            {"role": "assistant", "reasoning_content": "Hm.", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "noon"},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        ]
    )
    assert got.turns == (
        Message("user", (TextPart("This:"), ImagePart("data:image/png;base64,AA==")), "Anna"),
        Message("assistant", None, reasoning="Hm.", tool_calls=(ToolCall("c1", "clock", "{}"),)),
        Message("tool", "noon", tool_call_id="c1"),
        Message("assistant", (TextPart("No."),)),
    )


def test_no_part_is_left_out_in_silence() -> None:
    with pytest.raises(TypeError):
        asked(ChatBody(messages=[ChatMessage("user", [AudioContent()])]))


def test_tools_and_a_choice_among_them_are_told() -> None:
    other = {"type": "function", "function": {"name": "other"}}
    got = decoded(tools=[CLOCK, other], parallel_tool_calls=False)
    assert got.tools == (Tool("clock", "Time.", SHAPE), Tool("other"))
    assert (got.tool_choice, got.parallel_tool_calls) == ("auto", False)
    assert decoded(tools=[CLOCK], tool_choice="required").tool_choice == "required"
    assert decoded(tools=[CLOCK], tool_choice=NAMED).tool_choice == NamedTool("clock")


def test_the_shape_of_the_answer_is_told() -> None:
    named = {"type": "json_schema", "json_schema": {"name": "n", "schema": SHAPE}}
    assert decoded(response_format=named).schema == Schema(SHAPE, "n")
    assert decoded(response_format={"type": "json_object"}).schema == Schema()
    assert decoded(response_format={"type": "text"}).schema is None


def test_the_limit_of_the_answer_is_told_by_whichever_name() -> None:
    assert decoded(max_tokens=5).sampling.max_tokens == 5
    assert decoded(max_completion_tokens=6, max_tokens=5).sampling.max_tokens == 6
    assert decoded(n_predict=7).sampling.max_tokens == 7
    assert decoded(max_tokens=-1).sampling.max_tokens is None


def test_what_the_prompt_and_the_thoughts_depend_on_is_told() -> None:
    got = decoded(reasoning_format="none", chat_template_kwargs={"a": 1}, reasoning_effort="low")
    assert got.extra == {"reasoning_format": "none", "chat_template_kwargs": {"a": 1}}
    assert got.reasoning_effort == "low"


def test_who_wants_old_turns_dropped_says_so() -> None:
    assert decoded(truncation="auto").truncate
    assert not decoded(truncation="disabled").truncate


WORDS = st.text(max_size=9)
PARTS = st.sampled_from(["text", "refusal", "image_url", "input_audio", "file"]).flatmap(
    lambda kind: st.fixed_dictionaries(
        {"type": st.just(kind), kind: WORDS | st.just({"url": "data:image/png;base64,AA=="}) | st.none()}
    )
)
TURNS = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool"])},
    optional={
        "content": WORDS | st.lists(PARTS, max_size=3) | st.none(),
        "name": WORDS,
        "reasoning_content": WORDS,
        "tool_call_id": WORDS,
        "tool_calls": st.lists(
            st.fixed_dictionaries(
                {"id": WORDS, "function": st.fixed_dictionaries({"name": WORDS}, optional={"arguments": WORDS})}
            ),
            max_size=2,
        ),
    },
)


@given(st.lists(TURNS, max_size=5), st.sampled_from(["auto", "none", "required", NAMED, None]), st.booleans())
def test_any_conversation_is_understood_or_refused(turns: list[object], choice: object, shaped: bool) -> None:
    shape = {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SHAPE}}}
    with suppress(InvalidRequest):
        got = decoded(messages=turns, tools=[CLOCK], tool_choice=choice, **(shape if shaped else {}))
        assert len(got.turns) == len(turns)
