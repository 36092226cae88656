from __future__ import annotations

import json

import pytest

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter
from lmbridge.core.messages import Message, Tool
from lmbridge.core.requests import ChatRequest, EmbedRequest, NamedTool, Sampling, Schema
from lmbridge.wire.openai.requests import ChatBody, decode_chat_body, decode_embedding_body
from lmbridge.wire.openai.to_chat import _SAID, to_chat, to_embed

HELLO = {"role": "user", "content": "?"}


def decoded(**more: object) -> ChatRequest:
    return to_chat(decode_chat_body(json.dumps({"model": "m", "messages": [HELLO], **more}).encode()))


def vectors(**more: object) -> EmbedRequest:
    return to_embed(decode_embedding_body(json.dumps({"model": "m", **more}).encode()))


def test_what_nobody_asked_for_is_not_there() -> None:
    assert decoded() == ChatRequest("m", (Message("user", "?"),))


def test_every_way_of_sampling_is_told() -> None:
    given = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "min_p": 0.1,
        "seed": 7,
        "frequency_penalty": 0.1,
        "presence_penalty": 0.2,
        "repeat_penalty": 1.1,
        "logit_bias": {"5": 1, "6": False},
    }
    got = decoded(**given, max_completion_tokens=9, stop="END", logprobs=True, top_logprobs=3)
    assert got.sampling == Sampling(
        **{**given, "logit_bias": {"5": 1.0, "6": 0.0}},  # type: ignore[arg-type]
        max_tokens=9,
        stop=("END",),
        logprobs=3,
    )
    assert got.extra == {}
    assert decoded(stop=["a", "b"], logprobs=True, seed=-1).sampling == Sampling(stop=("a", "b"), logprobs=0)


def test_tools_and_shapes_are_told() -> None:
    function = {"name": "one", "parameters": {"type": "object"}, "strict": True}
    got = decoded(
        tools=[{"type": "function", "function": function}, {"type": "function", "function": {"name": "two"}}],
        tool_choice={"type": "function", "function": {"name": "one"}},
        parallel_tool_calls=False,
        response_format={"type": "json_object"},
        reasoning_effort="low",
    )
    assert got.tools == (Tool("one", "", {"type": "object"}, strict=True), Tool("two"))
    assert (got.tool_choice, got.parallel_tool_calls) == (NamedTool("one"), False)
    assert (got.schema, got.reasoning_effort) == (Schema(), "low")


def test_what_core_has_no_word_for_goes_along_by_its_name() -> None:
    assert decoded(grammar="x", mirostat=1, reasoning_format="none").extra == {
        "grammar": "x",
        "mirostat": 1,
        "reasoning_format": "none",
    }


def test_what_asks_for_nothing_and_what_is_for_the_bridge_stays_here() -> None:
    harmless = {"store": False, "verbosity": "medium", "n": 1, "modalities": ["text"], "stream": True}
    ours = {"ttl": 5, "truncation": "auto", "user": "x", "metadata": {"a": "b"}, "service_tier": "auto"}
    got = decoded(**harmless, **ours, stream_options={"include_usage": True})
    assert (got.extra, got.truncate) == ({}, True)


def test_every_field_that_is_said_is_one_of_a_chat_s_body() -> None:
    fields = {name for name in _SAID if "." not in name}
    assert fields <= set(ChatBody.__struct_fields__)


@pytest.mark.parametrize(("more", "name"), [({"n": 2}, "n"), ({"logit_bias": [[5, 1.0]]}, "logit_bias")])
def test_what_cannot_be_told_is_refused_by_name(more: dict[str, object], name: str) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        decoded(**more)
    assert caught.value.name == name


def test_texts_that_want_vectors_are_told() -> None:
    assert vectors(input="x", dimensions=3) == EmbedRequest("m", ("x",), 3)
    assert vectors(input=["x", "y"]) == EmbedRequest("m", ("x", "y"))


@pytest.mark.parametrize("given", [[1, 2], [[1], [2]]])
def test_tokens_that_want_vectors_are_refused(given: object) -> None:
    with pytest.raises(InvalidRequest, match="no tokens"):
        vectors(input=given)


def test_a_way_of_scaling_vectors_is_refused() -> None:
    with pytest.raises(UnsupportedParameter, match="embd_normalize"):
        vectors(input="x", embd_normalize=2)
