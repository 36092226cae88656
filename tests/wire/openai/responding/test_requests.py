from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter
from lmbridge.core.messages import ImagePart, Message, TextPart, ToolCall
from lmbridge.core.models import LoadOptions
from lmbridge.core.requests import ChatRequest, NamedTool, Sampling, Schema
from lmbridge.wire.openai.responding.fields import IGNORED, LOGPROBS, REFUSED
from lmbridge.wire.openai.responding.requests import (
    CountBody,
    Question,
    ResponseBody,
    decode_count_body,
    decode_response_body,
)

CLOCK = {"type": "function", "name": "clock"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


def decoded(**fields: object) -> tuple[ResponseBody, Question]:
    return decode_response_body(json.dumps({"model": "m", "input": "hi", **fields}).encode())


def request(**fields: object) -> ChatRequest:
    return decoded(**fields)[1].after(())


def test_a_plain_request_is_a_plain_request() -> None:
    body, _ = decoded()
    assert request() == ChatRequest("m", (Message("user", "hi"),))
    assert (body.streamed, body.stored, body.options) == (False, True, LoadOptions())


def test_no_model_is_the_default_model() -> None:
    assert request(model=None).model == ""


def test_ways_of_sampling_are_kept() -> None:
    given_ways = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.1,
        "max_output_tokens": 64,
        "stop": ["a", "b"],
        "seed": 7,
        "frequency_penalty": 0.5,
        "presence_penalty": -0.5,
        "repeat_penalty": 1.1,
    }
    assert request(**given_ways).sampling == Sampling(0.5, 0.9, 40, 0.1, 64, ("a", "b"), 7, 0.5, -0.5, 1.1)
    assert request(stop="a").sampling.stop == ("a",)


def test_what_codex_sends_is_understood() -> None:
    body, question = decoded(
        instructions="You are Codex.",
        input=[
            {
                "type": "message",
                "id": "msg_1",
                "role": "developer",
                "content": [{"type": "input_text", "text": "Be careful."}],
            },
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        ],
        tools=[
            {**CLOCK, "strict": False, "parameters": {"type": "object", "properties": {}}},
            {
                "type": "namespace",
                "name": "agents",
                "description": "Others.",
                "tools": [{**CLOCK, "strict": False}],
            },
            {"type": "web_search", "external_web_access": False},
        ],
        tool_choice="auto",
        parallel_tool_calls=False,
        reasoning={"effort": "medium", "summary": "auto"},
        store=False,
        stream=True,
        include=["reasoning.encrypted_content"],
        prompt_cache_key="0199",
        client_metadata={"originator": "codex_cli_rs"},
    )
    assert (body.streamed, body.stored) == (True, False)
    chat = question.after(())
    assert chat.messages == (Message("system", "You are Codex.\n\nBe careful."), Message("user", "hi"))
    assert [tool.name for tool in chat.tools] == ["clock", "agents__clock"]
    assert (chat.parallel_tool_calls, chat.reasoning_effort) == (False, "medium")


def test_what_the_openai_package_may_send_is_understood() -> None:
    request(
        user="u",
        safety_identifier="s",
        service_tier="auto",
        prompt_cache_key="k",
        prompt_cache_retention="24h",
        prompt_cache_options={"mode": "implicit"},
        max_tool_calls=3,
        metadata={"a": "b"},
        stream_options={"include_obfuscation": False},
        background=False,
        top_logprobs=0,
        text={"verbosity": "medium"},
        reasoning={"context": "auto", "mode": "standard", "generate_summary": "concise"},
        truncation="disabled",
        conversation=None,
        prompt=None,
    )


def test_every_include_of_the_tables_is_taken_or_refused_by_name() -> None:
    for field in IGNORED:
        if field.name.startswith("include: "):
            request(include=[field.name.removeprefix("include: ")])
    with pytest.raises(UnsupportedParameter) as caught:
        request(include=["message.output_text.logprobs"])
    assert caught.value.param == LOGPROBS.name
    with pytest.raises(UnsupportedParameter, match="not known"):
        request(include=["everything"])


def test_tools_and_the_choice_of_them_are_kept() -> None:
    chat = request(tools=[CLOCK], tool_choice={"type": "function", "name": "clock"}, parallel_tool_calls=True)
    assert (chat.tool_choice, chat.parallel_tool_calls) == (NamedTool("clock"), True)
    assert request(parallel_tool_calls=True).parallel_tool_calls is None


@pytest.mark.parametrize(
    ("form", "schema"),
    [
        (None, None),
        ({"type": "text"}, None),
        ({"type": "json_object"}, Schema()),
        ({"type": "json_schema", "name": "n", "schema": SCHEMA}, Schema(SCHEMA, "n")),
        ({"type": "json_schema", "schema": SCHEMA, "strict": False}, Schema(SCHEMA, "answer", False)),
    ],
)
def test_the_shape_of_the_answer_is_kept(form: object, schema: Schema | None) -> None:
    assert request(text={"format": form}).schema == schema


def test_truncation_and_a_time_to_live_are_kept() -> None:
    assert request(truncation="auto").truncate
    assert decoded(ttl=60)[0].options == LoadOptions(ttl=60.0)


def test_instructions_come_before_the_conversation_and_are_not_part_of_the_turn() -> None:
    _, question = decoded(instructions="Be kind.")
    before = (Message("user", "a"), Message("assistant", "b"))
    assert question.after(before).messages == (Message("system", "Be kind."), *before, Message("user", "hi"))
    assert question.messages == (Message("user", "hi"),)


def test_an_inherited_system_prompt_gives_way_to_instructions() -> None:
    assert decoded()[1].after((), "Be brief.").messages[0] == Message("system", "Be brief.")
    assert decoded(instructions="Be kind.")[1].after((), "Be brief.").messages[0] == Message("system", "Be kind.")


def test_system_messages_at_the_beginning_become_one_unless_they_hold_pictures() -> None:
    picture = Message("system", (TextPart("see"), ImagePart("data:image/png;base64,AA")))
    _, question = decoded(instructions="a")
    assert question.after((Message("system", "b"),)).messages[0] == Message("system", "a\n\nb")
    assert question.after((picture,)).messages[:2] == (Message("system", "a"), picture)
    later = (Message("user", "x"), Message("system", "b"))
    assert question.after(later).messages[1:3] == later
    alone = [{"role": "system", "content": "a"}, {"role": "developer", "content": "b"}]
    assert request(input=alone).messages == (Message("system", "a\n\nb"),)


def test_the_result_of_a_call_may_follow_the_answer_that_made_it() -> None:
    _, question = decoded(input=[{"type": "function_call_output", "call_id": "c", "output": "1"}])
    called = Message("assistant", None, tool_calls=(ToolCall("c", "clock", "{}"),))
    assert question.after((called,)).messages[-1] == Message("tool", "1", tool_call_id="c")
    with pytest.raises(InvalidRequest):
        question.after(())


@pytest.mark.parametrize("name", [field.name for field in REFUSED if field.name != "personality"])
def test_what_cannot_be_honoured_is_refused_by_name(name: str) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        request(**{name: {"a": 1}})
    assert caught.value.param == name
    request(**{name: None})


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": ["hi"]}, "input[0]"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"truncation": "middle"}, "truncation"),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
        ({"metadata": {"a": "x" * 513}}, "metadata[...]"),
        ({"background": True, "store": False}, "store"),
        ({"background": True, "stream": True}, "stream"),
        ({"text": {"verbosity": "high"}}, "text.verbosity"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
        ({"reasoning": {"context": "current_turn"}}, "reasoning.context"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode"),
        ({"reasoning": {"depth": 1}}, "reasoning.depth"),
        ({"temprature": 1}, "temprature"),
        ({"top_logprobs": 5}, "top_logprobs"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, object], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        request(**fields)
    assert caught.value.param == param


def test_a_count_takes_what_belongs_to_the_prompt_and_nothing_else() -> None:
    body, question = decode_count_body(b'{"model": "m", "input": "hi", "instructions": "a", "text": {}}')
    assert isinstance(body, CountBody)
    assert question.after(()).messages == (Message("system", "a"), Message("user", "hi"))
    for wrong in (b'{"input": "hi", "personality": "friendly"}', b'{"input": "hi", "conversation": "c"}'):
        with pytest.raises(UnsupportedParameter):
            decode_count_body(wrong)
    with pytest.raises(UnsupportedParameter):
        decode_count_body(b'{"input": "hi", "stream": true}')


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_no_body_is_too_strange(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decode_response_body(data)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "role", "content", "format", "schema"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(ResponseBody.__struct_fields__), VALUES, max_size=4))
def test_any_values_are_a_request_or_refused(fields: dict[str, object]) -> None:
    with suppress(InvalidRequest):
        request(**fields)
    with suppress(InvalidRequest):
        decode_count_body(json.dumps({"input": "hi", **fields}).encode())
