from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter
from lmbridge.core.messages import ImagePart, Message, TextPart
from lmbridge.core.models import LoadOptions, ModelInfo
from lmbridge.core.requests import Sampling
from lmbridge.wire.lmstudio.serving.asked import (
    EphemeralAsked,
    NativeChatBody,
    PluginAsked,
    decode_chat,
    decode_download,
    decode_load,
    decode_unload,
)

MODEL = ModelInfo("m", "p", reasoning=True)
PIXEL = "data:image/png;base64,AA=="


def body(**fields: object) -> bytes:
    return json.dumps(fields).encode()


# ---- chat


def test_a_question_is_text_or_parts_by_either_name() -> None:
    assert decode_chat(body(model="m", input="hi")).question == Message("user", "hi")
    for kind in ("message", "text"):
        asked = decode_chat(body(model="m", input=[{"type": kind, "content": "hi"}]))
        assert asked.question == Message("user", "hi")
    items = [{"type": "message", "content": "look"}, {"type": "image", "data_url": PIXEL}]
    asked = decode_chat(body(model="m", input=items))
    assert asked.question == Message("user", (TextPart("look"), ImagePart(PIXEL)))


@pytest.mark.parametrize("given", ["", [], [{"type": "text", "text": "x"}], [{"type": "frob"}], ["x"], 3])
def test_a_question_of_no_known_form_is_refused(given: object) -> None:
    with pytest.raises(InvalidRequest) as failed:
        decode_chat(body(model="m", input=given))
    assert (failed.value.param, failed.value.flaw) == ("input", "forms")


def test_a_picture_must_be_in_the_request_itself() -> None:
    asked = decode_chat(body(model="m", input=[{"type": "image", "data_url": "http://h/x.png"}]))
    with pytest.raises(InvalidRequest, match="not fetched"):
        _ = asked.question


def test_the_whole_conversation_becomes_a_request() -> None:
    fields = {"temperature": 0.5, "top_p": 0.9, "top_k": 20, "min_p": 0.1, "repeat_penalty": 1.1}
    asked = decode_chat(body(model="m", input="And now?", max_output_tokens=9, context_length=4096, **fields))
    earlier = (Message("user", "hi"), Message("assistant", "hello"))
    request = asked.request(MODEL, "Be brief.", earlier)
    assert request.model == "p:m"
    assert request.turns == (Message("system", "Be brief."), *earlier, Message("user", "And now?"))
    assert request.sampling == Sampling(max_tokens=9, **fields)
    assert asked.options == LoadOptions(4096)


def test_a_new_system_prompt_takes_the_place_of_the_old_one() -> None:
    asked = decode_chat(body(model="m", input="hi", system_prompt="Be long."))
    assert asked.request(MODEL, "Be brief.", ()).turns == (Message("system", "Be long."), Message("user", "hi"))
    assert decode_chat(body(model="m", input="hi")).request(MODEL, "", ()).turns == (Message("user", "hi"),)


@pytest.mark.parametrize(
    ("asked", "effort"), [(None, None), ("off", "none"), ("on", None), ("low", "low"), ("high", "high")]
)
def test_thinking_is_an_effort(asked: str | None, effort: str | None) -> None:
    request = decode_chat(body(model="m", input="hi", reasoning=asked)).request(MODEL, "", ())
    assert request.reasoning_effort == effort


def test_thinking_is_refused_where_the_model_cannot() -> None:
    plain = ModelInfo("m", "p", reasoning=False)
    off = decode_chat(body(model="m", input="hi", reasoning="off")).request(plain, "", ())
    assert off.reasoning_effort is None
    with pytest.raises(InvalidRequest, match="'high'") as failed:
        decode_chat(body(model="m", input="hi", reasoning="high")).request(plain, "", ())
    assert failed.value.param == "reasoning"


def test_servers_of_tools_are_named_in_three_ways() -> None:
    assert decode_chat(body(model="m", input="hi", integrations=[])).servers == []
    plugin = {"type": "plugin", "id": "mcp/y", "allowed_tools": ["a"]}
    remote = {
        "type": "ephemeral_mcp",
        "server_label": "z",
        "server_url": "https://h/mcp",
        "headers": {"k": "s3cret"},
    }
    asked = decode_chat(body(model="m", input="hi", integrations=["mcp/x", plugin, remote]))
    ephemeral = EphemeralAsked("z", "https://h/mcp", None, {"k": "s3cret"})
    assert asked.servers == [PluginAsked("mcp/x"), PluginAsked("mcp/y", ["a"]), ephemeral]
    assert "s3cret" not in repr(asked)


@pytest.mark.parametrize(
    "wanted",
    [
        [3],
        [""],
        "mcp/x",
        [{"type": "plugin"}],
        [{"type": "ephemeral_mcp", "server_url": "https://h"}],
        [{"type": "plugin", "id": "mcp/x", "more": 1}],
        ["mcp/x"] * 17,
    ],
)
def test_servers_of_no_known_form_are_refused(wanted: object) -> None:
    with pytest.raises(InvalidRequest) as failed:
        decode_chat(body(model="m", input="hi", integrations=wanted))
    assert (failed.value.param, failed.value.flaw) == ("integrations", "forms")


def test_a_server_is_wanted_once() -> None:
    asked = decode_chat(body(model="m", input="hi", integrations=["mcp/x", {"type": "plugin", "id": "mcp/x"}]))
    with pytest.raises(InvalidRequest, match="'mcp/x' is among the integrations twice"):
        _ = asked.servers


@pytest.mark.parametrize("field", ["ttl", "stop", "messages", "seed", "tools"])
def test_fields_of_the_other_chats_are_not_known_to_this_one(field: str) -> None:
    with pytest.raises(InvalidRequest, match=f"'{field}'"):
        decode_chat(body(model="m", input="hi", **{field: []}))


# ---- models


def test_a_load_stays_until_somebody_unloads_it() -> None:
    asked = decode_load(body(model="m", context_length=8192, parallel=2, echo_load_config=True))
    assert asked.options == LoadOptions(8192, 2, ttl=0.0)
    assert asked.echo_load_config


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("flash_attention", True, False),
        ("offload_kv_cache_to_gpu", True, False),
        ("num_experts", None, 4),
        ("eval_batch_size", None, 512),
    ],
)
def test_what_a_load_cannot_be_told_is_refused_unless_it_is_so_anyway(
    field: str, good: object, bad: object
) -> None:
    assert decode_load(body(model="m", **{field: good})).options == LoadOptions(ttl=0.0)
    with pytest.raises(UnsupportedParameter, match=f"'{field}'"):
        decode_load(body(model="m", **{field: bad}))


def test_an_instance_is_unloaded_by_its_name() -> None:
    assert decode_unload(body(instance_id="m:2")).instance_id == "m:2"


@pytest.mark.parametrize("decode", [decode_load, decode_unload, decode_download, decode_chat])
def test_a_name_is_neither_empty_nor_endless(decode: object) -> None:
    assert callable(decode)
    field = "instance_id" if decode is decode_unload else "model"
    more = {"input": "hi"} if decode is decode_chat else {}
    for name in ("", "x" * 513):
        with pytest.raises(InvalidRequest) as failed:
            decode(body(**{field: name}, **more))
        assert failed.value.param == field


def test_a_download_is_named_as_the_hub_does() -> None:
    assert decode_download(body(model="openai/gpt-oss-20b")).name == "openai/gpt-oss-20b"
    link = "https://huggingface.co/owner/Repo-GGUF"
    assert decode_download(body(model=f"{link}/")).name == "owner/Repo-GGUF"
    assert decode_download(body(model=link, quantization="Q4_K_M")).name == "owner/Repo-GGUF@Q4_K_M"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": "owner/repo", "quantization": "Q4_K_M"}, "quantization"),
        ({"model": "https://example.org/owner/repo"}, "model"),
        ({"model": "https://huggingface.co/owner/repo/blob/main/x.gguf"}, "model"),
        ({"model": "http://huggingface.co/owner/repo"}, "model"),
    ],
)
def test_only_links_to_a_repository_are_taken_and_only_they_take_a_quantization(
    fields: dict[str, object], param: str
) -> None:
    with pytest.raises(InvalidRequest) as failed:
        decode_download(body(**fields))
    assert failed.value.param == param


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "content", "data_url", "text", "message"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_what_is_no_body_is_refused_and_nothing_worse(data: bytes) -> None:
    for decode in (decode_load, decode_unload, decode_download, decode_chat):
        with pytest.raises(InvalidRequest):
            decode(data)


FIELDS = st.sampled_from(NativeChatBody.__struct_fields__) | st.text(max_size=9)


@given(st.dictionaries(FIELDS, VALUES, max_size=5))
def test_any_values_are_a_question_or_refused(fields: dict[str, object]) -> None:
    for decode in (decode_load, decode_unload, decode_download):
        with suppress(InvalidRequest):
            decode(body(**{"model": "m", **fields}))
    with suppress(InvalidRequest):
        asked = decode_chat(body(**{"model": "m", "input": "x", **fields}))
        assert asked.request(MODEL, "", ()).turns[-1] == asked.question
