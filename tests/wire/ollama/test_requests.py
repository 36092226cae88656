from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter
from lmbridge.wire.fields import Refused
from lmbridge.wire.ollama import fields
from lmbridge.wire.ollama.requests import (
    ChatBody,
    EmbedBody,
    GenerateBody,
    decode_chat,
    decode_embed,
    decode_embeddings,
    decode_generate,
    decode_pull,
    decode_show,
)

USER = {"role": "user", "content": "hi"}
DECODERS = {
    "chat": decode_chat,
    "generate": decode_generate,
    "embed": decode_embed,
    "embeddings": decode_embeddings,
    "show": decode_show,
    "pull": decode_pull,
}
TABLES = {
    "chat": fields.CHAT_REFUSED,
    "generate": fields.GENERATE_REFUSED,
    "show": fields.SHOW_REFUSED,
    "pull": fields.PULL_REFUSED,
}


def chat(**given: object) -> ChatBody:
    return decode_chat(json.dumps({"model": "m", "messages": [USER], **given}).encode())


def generate(**given: object) -> GenerateBody:
    return decode_generate(json.dumps({"model": "m", "prompt": "hi", **given}).encode())


def embed(**given: object) -> EmbedBody:
    return decode_embed(json.dumps({"model": "m", "input": "hi", **given}).encode())


def test_a_small_chat_is_understood_and_streamed_unless_that_is_not_wanted() -> None:
    body = chat()
    assert (body.model, body.streamed, body.empty, body.unloads) == ("m", True, False, False)
    assert body.messages is not None
    assert (body.messages[0].role, body.messages[0].content) == ("user", "hi")
    assert chat(stream=True).streamed
    assert not chat(stream=False).streamed


def test_a_chat_without_messages_only_loads_and_one_without_time_to_live_unloads() -> None:
    assert chat(messages=[]).empty
    assert decode_chat(b'{"model": "m"}').empty
    assert chat(messages=[], keep_alive=0).unloads
    assert chat(keep_alive="0s").unloads
    assert not chat(keep_alive=-1).unloads


def test_a_generation_without_a_prompt_only_loads() -> None:
    assert generate(prompt="").empty
    assert decode_generate(b'{"model": "m"}').empty
    assert not generate(prompt="", images=["aGk="]).empty
    assert not generate().empty


def test_what_is_to_be_embedded_is_one_text_or_many() -> None:
    assert embed().texts == ("hi",)
    assert embed(input=["a", ""]).texts == ("a", "")
    assert embed(input="").texts == ()
    assert embed(input=[]).texts == ()
    assert decode_embed(b'{"model": "m"}').texts == ()
    assert decode_embeddings(b'{"model": "m", "prompt": "hi"}').texts == ("hi",)
    assert decode_embeddings(b'{"model": "m", "prompt": ""}').texts == ()


@pytest.mark.parametrize("word", ["model", "name"])
def test_a_model_to_show_or_pull_has_either_of_two_fields(word: str) -> None:
    assert decode_show(json.dumps({word: "m", "verbose": True, "options": {}}).encode()) == "m"
    assert decode_pull(json.dumps({word: "m"}).encode()) == ("m", True)
    assert decode_pull(json.dumps({word: "m", "stream": False, "insecure": False}).encode()) == ("m", False)


@pytest.mark.parametrize("decode", [decode_show, decode_pull])
def test_without_a_name_there_is_nothing_to_show_or_pull(decode: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(b'{"model": ""}')  # type: ignore[operator]
    assert caught.value.param == "model"


@pytest.mark.parametrize(
    ("route", "field"),
    [(route, field) for route, table in TABLES.items() for field in table],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_what_cannot_be_had_is_refused_by_name_unless_it_asks_for_nothing(route: str, field: Refused) -> None:
    wanted: object = {"context": [1], "options": {"a": 1}}.get(field.name, "something")
    with pytest.raises(UnsupportedParameter) as caught:
        DECODERS[route](json.dumps({"model": "m", field.name: wanted}).encode())
    assert caught.value.param == field.name
    for value in (*field.unless, None):
        DECODERS[route](json.dumps({"model": "m", field.name: value}).encode())


def test_an_empty_context_asks_for_nothing() -> None:
    assert generate(context=[]).context is None


@pytest.mark.parametrize("route", DECODERS)
def test_an_unknown_field_is_refused_by_name(route: str) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        DECODERS[route](b'{"model": "m", "surprise": 1}')
    assert caught.value.param == "surprise"


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"options": {"surprise": 1}}, "options.surprise"),
        ({"options": {"temperature": "hot"}}, "options.temperature"),
        ({"options": {"num_ctx": 0}}, "options.num_ctx"),
        ({"options": {"num_predict": 0}}, "options.num_predict"),
        ({"keep_alive": "soon"}, "keep_alive"),
        ({"format": "yaml"}, "format"),
        ({"think": "a lot"}, "think"),
        ({"messages": [{"role": "robot"}]}, "messages[0].role"),
        ({"messages": [{**USER, "surprise": 1}]}, "messages[0].surprise"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function.name"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(given: dict[str, object], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        chat(**given)
    assert caught.value.param == param


@pytest.mark.parametrize("wanted", ["", "json", {"type": "object"}, None])
def test_a_format_is_json_or_a_schema(wanted: object) -> None:
    assert chat(format=wanted).format == wanted
    assert generate(format=wanted).format == wanted


def test_the_format_of_a_generation_is_checked_as_well() -> None:
    with pytest.raises(InvalidRequest, match="format"):
        generate(format="yaml")


@pytest.mark.parametrize("level", [True, False, "low", "medium", "high", None])
def test_thinking_is_on_off_or_has_a_level(level: object) -> None:
    assert chat(think=level).think == level


@given(
    st.sampled_from(list(DECODERS)),
    st.binary(max_size=80)
    | st.dictionaries(
        st.sampled_from([*ChatBody.__struct_fields__, *GenerateBody.__struct_fields__, "input", "name"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
            max_leaves=8,
        ),
        max_size=5,
    ).map(lambda body: json.dumps(body).encode()),
)
def test_any_body_is_understood_or_refused(route: str, body: bytes) -> None:
    with suppress(InvalidRequest):
        DECODERS[route](body)
