from __future__ import annotations

import json
import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter
from lmbridge.wire.openai.fields import CHAT_REFUSED, COMPLETION_REFUSED, IGNORED
from lmbridge.wire.openai.requests import (
    ChatBody,
    CompletionBody,
    EmbeddingBody,
    decode_chat_body,
    decode_completion_body,
    decode_embedding_body,
)

USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
CHOICE = {"type": "function", "function": {"name": "x"}}
PART = "messages[0].content[0]"
PICTURE = "data:image/png;base64,aGk="


def chat(**fields: object) -> ChatBody:
    return decode_chat_body(json.dumps({"messages": [USER], **fields}).encode())


def completion(**fields: object) -> CompletionBody:
    return decode_completion_body(json.dumps({"prompt": "hi", **fields}).encode())


def embedding(**fields: object) -> EmbeddingBody:
    return decode_embedding_body(json.dumps({"input": "hi", **fields}).encode())


def part(**fields: object) -> list[dict[str, object]]:
    return [{"role": "user", "content": [fields]}]


def picture(url: str) -> list[dict[str, object]]:
    return part(type="image_url", image_url={"url": url})


def test_a_small_request_is_understood() -> None:
    body = chat(model="m", stream=True, temperature=0.5, max_tokens=5, stop=["a"], seed=7)
    assert (body.model, body.streamed, body.temperature, body.stop) == ("m", True, 0.5, ["a"])
    assert body.messages[0].content == "hi"
    assert body.seeded
    assert not body.wants_usage
    assert not body.has_images


def test_what_is_not_asked_for_is_not_there() -> None:
    body = chat()
    assert (body.model, body.streamed, body.seeded, body.tools, body.max_tokens) == ("", False, False, None, None)


def test_null_is_the_same_as_nothing() -> None:
    fields = {name: None for name in ChatBody.__struct_fields__ if name not in ("messages", "model")}
    assert chat(**fields) == chat()
    fields = {name: None for name in CompletionBody.__struct_fields__ if name not in ("prompt", "model")}
    assert completion(**fields) == completion()


def test_a_random_seed_is_no_seed() -> None:
    assert not chat(seed=-1).seeded
    assert chat(seed=0).seeded


def test_everything_the_engine_adds_is_understood() -> None:
    body = chat(
        top_k=40, min_p=0.1, typical_p=1.0, repeat_penalty=1.1, repeat_last_n=-1, dry_multiplier=0.8, dry_base=1.7,
        dry_allowed_length=2, dry_penalty_last_n=-1, dry_sequence_breakers=["\n"], xtc_probability=0.5,
        xtc_threshold=0.1, mirostat=2, mirostat_tau=5.0, mirostat_eta=0.1, grammar='root ::= "a"', json_schema={},
        cache_prompt=True, n_probs=3, return_progress=True, reasoning_format="auto",
        chat_template_kwargs={"enable_thinking": False}, timings_per_token=True, samplers=["top_k"],
        ignore_eos=True, lora=[{"id": 0, "scale": 0.5}], dynatemp_range=0.1, top_n_sigma=1.0, n_predict=5,
        reasoning_budget_tokens=-1, continue_final_message=True, t_max_predict_ms=100,
    )  # fmt: skip
    assert body.mirostat == 2


def test_logit_bias_has_its_three_forms() -> None:
    for form in ({"5": 1.5, "word": False}, [[5, 1.5], ["word", False]], {"15043": -100}):
        assert chat(logit_bias=form).logit_bias is not None


def test_tools_choices_and_formats_are_understood() -> None:
    named = {"type": "function", "function": {"name": "add"}}
    for choice in ("auto", "none", "required", named):
        assert chat(tools=[TOOL], tool_choice=choice, parallel_tool_calls=False).tools is not None
    assert chat(tool_choice="none").tool_choice == "none"
    schema = {"name": "a", "schema": {"type": "object"}, "strict": True}
    for form in ({"type": "text"}, {"type": "json_object"}, {"type": "json_schema", "json_schema": schema}):
        assert chat(response_format=form).response_format is not None


def test_a_conversation_with_every_role_is_understood() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    answer = {
        "role": "assistant",
        "content": None,
        "tool_calls": [call],
        "refusal": None,
        "annotations": [],
        "audio": None,
    }
    picture = [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}},
    ]
    body = chat(
        messages=[
            {"role": "system", "content": "s"},
            {"role": "developer", "content": [{"type": "text", "text": "d"}]},
            {"role": "user", "content": picture, "name": "ann"},
            answer,
            {"role": "tool", "content": "5", "tool_call_id": "c"},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}], "reasoning_content": "hm"},
        ]
    )
    assert body.has_images


def test_usage_in_a_stream_is_asked_for_by_its_option() -> None:
    assert chat(stream=True, stream_options={"include_usage": True, "include_obfuscation": False}).wants_usage
    assert not chat(stream_options={}).wants_usage


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": "hi"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [USER, {"role": "user", "content": [{"type": "text"}]}]}, "messages[1].content[0].text"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": part(type="zzz")}, "messages[0].content[0].type"),
        ({"messages": picture("https://x/y.png")}, f"{PART}.image_url.url"),
        ({"messages": picture("file:///etc/passwd")}, f"{PART}.image_url.url"),
        ({"messages": picture("data:text/html,x")}, f"{PART}.image_url.url"),
        ({"messages": part(type="image_url", image_url=PICTURE)}, "messages[0].content[0].image_url"),
        ({"model": 5}, "model"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"top_p": 1.1}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 17}, "n"),
        ({"n": 1.5}, "n"),
        ({"stream": "yes"}, "stream"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -2}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"max_tokens": 2**40}, "max_tokens"),
        ({"n_predict": 5, "max_tokens": 5}, "n_predict"),
        ({"n_predict": 5, "max_completion_tokens": 5}, "n_predict"),
        ({"frequency_penalty": 3}, "frequency_penalty"),
        ({"presence_penalty": -3}, "presence_penalty"),
        ({"stop": ["x"] * 65}, "stop"),
        ({"stop": 5}, "stop"),
        ({"seed": 1.5}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"logprobs": 3}, "logprobs"),
        ({"logit_bias": {"5": "much"}}, "logit_bias[...]"),
        ({"tools": [{"type": "custom"}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tool_choice": "sometimes"}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": CHOICE}, "tool_choice.function.name"),
        ({"tools": [TOOL], "tool_choice": CHOICE}, "tool_choice.function.name"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"mirostat": 3}, "mirostat"),
        ({"reasoning_format": "loud"}, "reasoning_format"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_by_its_name(fields: dict[str, object], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        chat(**fields)
    assert caught.value.param == param
    assert not isinstance(caught.value, UnsupportedParameter)
    assert re.split(r"[.\[]", param)[0] in caught.value.message


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"frobnicate": 1}, "frobnicate"),
        ({"stream_options": {"frobnicate": 1}}, "stream_options.frobnicate"),
        ({"tools": [TOOL, {**TOOL, "frobnicate": 1}]}, "tools[1].frobnicate"),
        ({"response_format": {"type": "json_object", "x": 1}}, "response_format.x"),
        ({"store": True}, "store"),
        ({"audio": {"voice": "alloy"}}, "audio"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
        ({"functions": []}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        ({"verbosity": "low"}, "verbosity"),
        ({"id_slot": 0}, "id_slot"),
        ({"messages": part(type="input_audio", input_audio={"data": ""})}, f"{PART}.input_audio"),
        ({"messages": part(type="file", file={"file_id": "x"})}, "messages[0].content[0].file"),
        ({"messages": [{"role": "assistant", "function_call": {"name": "f"}}]}, "messages[0].function_call"),
        ({"messages": [{"role": "assistant", "content": "x", "audio": {"id": "a"}}]}, "messages[0].audio"),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused_by_its_name(fields: dict[str, object], name: str) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        chat(**fields)
    assert (caught.value.name, caught.value.param) == (name, name)
    assert repr(name) in caught.value.message


def test_refused_fields_may_ask_for_nothing_special() -> None:
    chat(store=False, verbosity="medium", modalities=["text"])
    completion(echo=False, best_of=1)
    for bad in ({"store": 0}, {"store": "false"}):
        with pytest.raises(UnsupportedParameter):
            chat(**bad)


def test_every_field_of_the_tables_is_a_field_of_a_body() -> None:
    assert {field.name for field in CHAT_REFUSED} <= set(ChatBody.__struct_fields__)
    assert {field.name for field in COMPLETION_REFUSED} <= set(CompletionBody.__struct_fields__)
    top = {field.name for field in IGNORED if "." not in field.name}
    assert top <= set(ChatBody.__struct_fields__)
    for name in top:
        chat(**{name: {} if name in ("metadata", "prompt_cache_options") else "x"})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"{}",
        b"\xff\xfe",
        b'{"model": "\xff"}',
        b'{"metadata": ' + b"[" * 100_000,
        b"\0",
    ],
)
def test_what_is_no_request_at_all_is_refused(body: bytes) -> None:
    for decode in (decode_chat_body, decode_completion_body, decode_embedding_body):
        with pytest.raises(InvalidRequest):
            decode(body)


@given(st.binary())
def test_any_bytes_are_a_request_or_an_invalid_one(body: bytes) -> None:
    for decode in (decode_chat_body, decode_completion_body, decode_embedding_body):
        with suppress(InvalidRequest):
            decode(body)


VALUES = (
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.lists(st.integers()) | st.just({})
)


@given(st.dictionaries(st.sampled_from(ChatBody.__struct_fields__), VALUES))
def test_any_values_are_a_request_or_an_invalid_one(fields: dict[str, object]) -> None:
    with suppress(InvalidRequest):
        chat(**fields)
    with suppress(InvalidRequest):
        completion(**fields)


def test_a_prompt_has_its_four_forms() -> None:
    for form in ("hi", ["a", "b"], [1, 2], [[1], [2, 3]], ""):
        assert completion(prompt=form, logprobs=3).prompt == form


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ["a", 1]}, "prompt[1]"),
        ({"prompt": []}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": {}}, "prompt"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"suffix": "x"}, "suffix"),
        ({"echo": True}, "echo"),
        ({"best_of": 2}, "best_of"),
        ({"messages": []}, "messages"),
    ],
)
def test_a_wrong_completion_request_is_refused_by_name(fields: dict[str, object], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        completion(**fields)
    assert caught.value.param == param


def test_inputs_have_their_four_forms_and_are_counted() -> None:
    for form, count in (("hi", 1), (["a", "b"], 2), ([1, 2], 1), ([[1], [2, 3], [4]], 3)):
        assert embedding(input=form, model="e", encoding_format="base64", user="x", dimensions=5).inputs == count


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": []}, "input"),
        ({"input": ["a", 1]}, "input[1]"),
        ({"input": 5}, "input"),
        ({"dimensions": 0}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"stream": True}, "stream"),
    ],
)
def test_a_wrong_embeddings_request_is_refused_by_name(fields: dict[str, object], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        embedding(**fields)
    assert caught.value.param == param


def test_errors_speak_of_json_and_not_of_python() -> None:
    with pytest.raises(InvalidRequest, match=r"`max_tokens`: Expected an integer or null, got a string\."):
        chat(max_tokens="5")
    with pytest.raises(InvalidRequest, match=r"The body: Expected an object, got a list\."):
        decode_chat_body(b"[]")
