from __future__ import annotations

import json
from base64 import b64encode
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter
from lmbridge.core.messages import ImagePart, Message, TextPart, Tool, ToolCall
from lmbridge.core.models import ModelInfo
from lmbridge.core.requests import ChatRequest, Sampling, Schema
from lmbridge.wire.ollama.chat import chat_request, generate_request
from lmbridge.wire.ollama.requests import decode_chat, decode_generate

MODEL = ModelInfo("m", "p")
PICTURE = b64encode(b"\x89PNG\r\n\x1a\n...").decode()
SEEN = ImagePart(f"data:image/png;base64,{PICTURE}")


def chat(*messages: dict[str, object], model: ModelInfo = MODEL, **given: object) -> ChatRequest:
    body = decode_chat(json.dumps({"model": "m", "messages": messages, **given}).encode())
    return chat_request(body, "m", model)


def generate(model: ModelInfo = MODEL, **given: object) -> ChatRequest:
    return generate_request(decode_generate(json.dumps({"model": "m", **given}).encode()), "m", model)


def call(name: str, arguments: object = {}, **more: object) -> dict[str, object]:
    return {"function": {"name": name, "arguments": arguments}, **more}


def test_a_conversation_is_the_same_in_core_s_words() -> None:
    asked = chat(
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Hello.", "thinking": "A greeting."},
        {"role": "user", "content": None},
    )
    assert asked == ChatRequest(
        "m",
        (
            Message("system", "Be brief."),
            Message("user", "hi"),
            Message("assistant", "Hello.", reasoning="A greeting."),
            Message("user", ""),
        ),
    )


def test_options_become_sampling_and_what_is_carried_along() -> None:
    asked = chat({"role": "user", "content": "hi"}, options={"top_k": 3, "typical_p": 0.5}, truncate=True)
    assert asked.sampling == Sampling(top_k=3)
    assert asked.extra == {"typical_p": 0.5}
    assert asked.truncate


def test_what_does_not_fit_is_cut_only_for_who_asks() -> None:
    assert not chat(truncate=False).truncate
    assert not chat().truncate


def test_pictures_come_before_the_text_of_their_turn() -> None:
    (turn,) = chat({"role": "user", "content": "What is it?", "images": [PICTURE, PICTURE]}).turns
    assert turn.content == (SEEN, SEEN, TextPart("What is it?"))
    (alone,) = chat({"role": "user", "images": [PICTURE]}).turns
    assert alone.content == (SEEN,)


def test_a_picture_that_is_none_is_named_by_its_place() -> None:
    with pytest.raises(InvalidRequest) as caught:
        chat({"role": "user", "content": "hi"}, {"role": "user", "images": [PICTURE, "?"]})
    assert caught.value.param == "messages[1].images[1]"


def test_results_of_tools_find_their_calls_by_id_by_name_and_by_order() -> None:
    turns = chat(
        {"role": "assistant", "tool_calls": [call("a", {"x": 1}), call("b"), call("a"), call("c", id="mine")]},
        {"role": "tool", "content": "b!", "tool_name": "b"},
        {"role": "tool", "content": "a!", "tool_name": "a"},
        {"role": "tool", "content": "c!", "tool_call_id": "mine"},
        {"role": "tool", "content": "a again"},
    ).turns
    first, second, third, fourth = turns[0].tool_calls
    assert (first.name, first.arguments, turns[0].content) == ("a", '{"x":1}', None)
    assert fourth == ToolCall("mine", "c", "{}")
    assert [turn.tool_call_id for turn in turns[1:]] == [second.id, first.id, "mine", third.id]
    assert [turn.name for turn in turns[1:]] == ["b", "a", None, None]
    assert len({first.id, second.id, third.id, fourth.id}) == 4


def test_a_result_without_a_call_is_a_result_all_the_same() -> None:
    named, nameless = chat({"role": "tool", "content": "1", "tool_call_id": "gone"}, {"role": "tool"}).turns
    assert named.tool_call_id == "gone"
    assert nameless.tool_call_id


def test_a_last_turn_of_the_assistant_is_continued() -> None:
    user, said = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "Once"}
    asked = chat(user, said, options={"typical_p": 0.5})
    assert asked.extra == {"typical_p": 0.5, "continue_final_message": True, "add_generation_prompt": False}
    assert chat(said, user).extra == {}


def test_an_answer_with_calls_may_have_words_as_well() -> None:
    (turn,) = chat({"role": "assistant", "content": "Let me see.", "tool_calls": [call("a")]}).turns
    assert turn.content == "Let me see."


def test_tools_keep_their_schemas() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [
        {"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": schema}},
        {"function": {"name": "now", "strict": True}},
    ]
    assert chat(tools=tools).tools == (
        Tool("weather", "The weather.", schema),
        Tool("now", strict=True),
    )


def test_types_that_a_client_wrote_as_one_text_are_taken_apart() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer, string"}, "b": True, "c": {}}}
    (tool,) = chat(tools=[{"function": {"name": "f", "parameters": schema}}]).tools
    assert tool.parameters["properties"] == {"a": {"type": ["integer", "string"]}, "b": True, "c": {}}


@pytest.mark.parametrize(("given", "meant"), [(None, {}), ([1], [1])])
def test_properties_that_are_null_are_none(given: object, meant: object) -> None:
    schema = {"type": "object", "properties": given}
    (tool,) = chat(tools=[{"function": {"name": "f", "parameters": schema}}]).tools
    assert tool.parameters == {"type": "object", "properties": meant}


@pytest.mark.parametrize(
    ("given", "meant"),
    [("json", Schema()), ({"type": "object"}, Schema({"type": "object"})), ("", None), (None, None)],
)
def test_a_format_is_the_schema_of_the_answer(given: object, meant: Schema | None) -> None:
    assert chat(format=given).schema == meant


@pytest.mark.parametrize(
    ("think", "effort"), [(True, None), (False, "none"), ("low", "low"), ("high", "high"), (None, None)]
)
@pytest.mark.parametrize("thinks", [True, None])
def test_thinking_is_an_effort(think: object, effort: str | None, thinks: bool | None) -> None:
    assert chat(think=think, model=ModelInfo("m", "p", reasoning=thinks)).reasoning_effort == effort


@pytest.mark.parametrize("think", [False, None])
def test_a_model_that_does_not_think_need_not_be_told_so(think: object) -> None:
    assert chat(think=think, model=ModelInfo("m", "p", reasoning=False)).reasoning_effort is None


@pytest.mark.parametrize("think", [True, "low"])
def test_thoughts_of_a_model_without_are_refused(think: object) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        chat(think=think, model=ModelInfo("m", "p", reasoning=False))
    assert caught.value.param == "think"


def test_a_generation_is_a_conversation_of_one_turn() -> None:
    asked = generate(prompt="hi", system="Be brief.", images=[PICTURE], format="json", options={"seed": 1})
    assert asked.turns == (Message("system", "Be brief."), Message("user", (SEEN, TextPart("hi"))))
    assert asked.schema == Schema()
    assert asked.sampling == Sampling(seed=1)
    assert generate(prompt="hi").turns == (Message("user", "hi"),)
    assert generate(images=[PICTURE]).turns == (Message("user", (SEEN,)),)


WORDS = st.text(max_size=9)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
CALLS = st.builds(call, WORDS, st.dictionaries(WORDS, VALUES, max_size=2), id=WORDS)
TURNS = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"])},
    optional={
        "content": WORDS,
        "thinking": WORDS,
        "images": st.lists(st.sampled_from([PICTURE, "", "!"]), max_size=2),
        "tool_calls": st.lists(CALLS, max_size=2),
        "tool_name": WORDS,
        "tool_call_id": WORDS,
    },
)
TOOLS = st.fixed_dictionaries({"name": WORDS}, optional={"parameters": st.dictionaries(WORDS, VALUES, max_size=2)})


@given(
    st.lists(TURNS, max_size=5),
    st.lists(TOOLS, max_size=2),
    st.sampled_from([None, True, False, "high"]),
    st.sampled_from(["json", "", {"type": "object"}]) | st.dictionaries(WORDS, VALUES, max_size=2),
)
def test_any_conversation_is_understood_or_refused(
    turns: list[dict[str, object]], tools: list[object], think: object, shape: object
) -> None:
    wished = {"tools": [{"type": "function", "function": tool} for tool in tools], "think": think, "format": shape}
    for model in (MODEL, ModelInfo("m", "p", vision=True, reasoning=False)):
        with suppress(InvalidRequest):
            assert len(chat(*turns, model=model, **wished).turns) == len(turns)
