from __future__ import annotations

import pytest
from msgspec.structs import replace

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter
from lmbridge.core.messages import Message, Tool
from lmbridge.core.requests import ChatRequest, NamedTool, Sampling, Schema
from lmbridge.wire.anthropic.asking.fields import CARRIED
from lmbridge.wire.anthropic.asking.models import Abilities
from lmbridge.wire.anthropic.asking.requests import encode_count, encode_messages

HELLO = ChatRequest("", "Hello")
ONE = Tool("one", "Does it.", {"properties": {"a": {"type": "string"}}})
TOOLED = replace(HELLO, tools=(ONE,))
TURN = {"role": "user", "content": [{"type": "text", "text": "Hello"}]}
SCHEMA: dict[str, object] = {"type": "object", "properties": {}}
CLOSED = {**SCHEMA, "additionalProperties": False}
OLDER = Abilities(20_000, (), enabled=True, structured=False)


def body(request: ChatRequest, can: Abilities = Abilities()) -> dict[str, object]:
    return encode_messages(request, "m", can).body


def sampled(**how: object) -> ChatRequest:
    return replace(HELLO, sampling=Sampling(**how))  # type: ignore[arg-type]


def deep() -> dict[str, object]:
    schema: dict[str, object] = {"type": "string"}
    for _ in range(100_000):
        schema = {"type": "array", "items": schema}
    return schema


def test_a_plain_question_is_little() -> None:
    assert body(HELLO) == {"model": "m", "messages": [TURN], "max_tokens": 8192, "stream": True}


def test_instructions_and_sampling_have_their_fields() -> None:
    chat = replace(
        sampled(temperature=0.5, top_p=0.9, top_k=5, max_tokens=7, stop=("END",)),
        messages=(Message("system", "Be brief."), Message("user", "Hello")),
    )
    made = body(chat)
    assert made["system"] == "Be brief."
    assert {k: made[k] for k in ("temperature", "top_p", "top_k", "max_tokens", "stop_sequences")} == {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "max_tokens": 7,
        "stop_sequences": ["END"],
    }


def test_the_limit_is_at_most_what_the_model_can_unless_it_was_asked_for() -> None:
    assert body(HELLO, Abilities(max_tokens=4096))["max_tokens"] == 4096
    assert body(sampled(max_tokens=9999), Abilities(max_tokens=4096))["max_tokens"] == 9999
    assert encode_messages(HELLO, "m", Abilities(), 100).body["max_tokens"] == 100


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", 7),
        ("min_p", 0.1),
        ("frequency_penalty", 0.5),
        ("presence_penalty", -1.0),
        ("repeat_penalty", 1.1),
        ("logprobs", 0),
        ("logit_bias", {"5": 1.0}),
        ("temperature", 1.5),
    ],
)
def test_what_the_api_cannot_honour_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        body(sampled(**{name: value}))
    assert caught.value.name == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("min_p", 0.0),
        ("frequency_penalty", 0),
        ("presence_penalty", 0.0),
        ("repeat_penalty", 1.0),
        ("logit_bias", {}),
        ("top_k", 0),
    ],
)
def test_what_asks_for_nothing_is_left_out(name: str, value: object) -> None:
    assert body(sampled(**{name: value})) == body(HELLO)


def test_what_core_has_no_word_for_is_carried_if_it_is_anthropic_s_and_refused_by_name_else() -> None:
    extra: dict[str, object] = {name: {"type": "x"} for name in CARRIED}
    made = body(replace(HELLO, extra=extra, reasoning_effort="high"))
    assert {name: made[name] for name in CARRIED} == extra
    assert "output_config" not in made
    with pytest.raises(UnsupportedParameter, match="'grammar'"):
        body(replace(HELLO, extra={"grammar": "x", "mirostat": None}))


def test_what_doors_add_for_engines_is_left_out() -> None:
    extra: dict[str, object] = {"continue_final_message": True, "add_generation_prompt": False, "mirostat": None}
    assert body(replace(HELLO, extra={**extra, "reasoning_format": "auto"})) == body(HELLO)
    with pytest.raises(UnsupportedParameter, match="reasoning_format"):
        body(replace(HELLO, extra={"reasoning_format": "none"}))


@pytest.mark.parametrize(
    ("choice", "parallel", "said"),
    [
        ("auto", None, None),
        ("auto", True, None),
        ("auto", False, {"type": "auto", "disable_parallel_tool_use": True}),
        ("none", False, {"type": "none"}),
        ("required", None, {"type": "any"}),
        (NamedTool("one"), False, {"type": "tool", "name": "one", "disable_parallel_tool_use": True}),
    ],
)
def test_which_tools_may_be_called_is_said(choice: str, parallel: bool | None, said: object) -> None:
    made = body(replace(TOOLED, tool_choice=choice, parallel_tool_calls=parallel))
    assert made.get("tool_choice") == said
    assert made["tools"] == [
        {"name": "one", "description": "Does it.", "input_schema": {"type": "object", **ONE.parameters}}
    ]


def test_without_tools_nothing_is_said_of_them() -> None:
    assert body(replace(HELLO, tool_choice="required")) == body(HELLO)


def test_a_strict_tool_is_closed_where_the_model_can_be_held_to_it() -> None:
    strict = replace(HELLO, tools=(Tool("one", "", SCHEMA, strict=True),))
    assert body(strict)["tools"] == [{"name": "one", "input_schema": CLOSED, "strict": True}]
    assert body(strict, Abilities(structured=False))["tools"] == [{"name": "one", "input_schema": SCHEMA}]


def test_a_shape_is_a_format_where_the_model_can_and_else_a_tool() -> None:
    chat = replace(HELLO, schema=Schema(SCHEMA), reasoning_effort="low")
    wanted = {"type": "json_schema", "schema": CLOSED}
    assert body(chat)["output_config"] == {"effort": "low", "format": wanted}
    asked = encode_messages(chat, "m", OLDER)
    assert asked.answer_tool == "final_answer"
    assert asked.body["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    assert "output_config" not in asked.body


def test_a_schema_without_an_end_is_refused() -> None:
    for chat in (
        replace(HELLO, schema=Schema(deep())),
        replace(HELLO, tools=(Tool("one", "", deep(), strict=True),)),
    ):
        with pytest.raises(InvalidRequest, match="nested too deeply"):
            body(chat)


def test_a_budget_of_thinking_is_added_to_the_limit_of_the_answer() -> None:
    made = body(replace(HELLO, reasoning_effort="low"), OLDER)
    assert made["thinking"] == {"type": "enabled", "budget_tokens": 4096}
    assert made["max_tokens"] == 8192 + 4096
    assert body(replace(HELLO, reasoning_effort="high"), OLDER)["max_tokens"] == 8192 + 10_000


def test_after_results_of_tools_nobody_is_asked_for_signed_thoughts() -> None:
    turns = (Message("user", "x"), Message("tool", "1", tool_call_id="c"))
    assert "thinking" not in body(ChatRequest("", turns, (ONE,), reasoning_effort="low"), OLDER)


def test_counted_is_what_a_prompt_is_made_of() -> None:
    extra: dict[str, object] = {"metadata": {"user_id": "x"}, "cache_control": {"type": "ephemeral"}}
    chat = replace(TOOLED, sampling=Sampling(temperature=0.5), extra=extra)
    made = encode_count(chat, "m")
    assert made.keys() == {"model", "messages", "tools", "cache_control"}
