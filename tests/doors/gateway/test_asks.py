from __future__ import annotations

import json

import pytest

from lmbridge.core.models import LoadOptions
from lmbridge.doors.gateway.asks import ask_chat, ask_completion, ask_embedding
from lmbridge.doors.gateway.relay import Ask
from lmbridge.wire.openai.requests import decode_chat_body, decode_completion_body, decode_embedding_body

TOOL = {"type": "function", "function": {"name": "clock"}}


def chat(*, truncates: bool = False, **more: object) -> Ask:
    raw = json.dumps({"model": "m", "messages": [{"role": "user", "content": "?"}], **more}).encode()
    return ask_chat(raw, decode_chat_body(raw), truncates=truncates)


def completion(**more: object) -> Ask:
    raw = json.dumps({"model": "m", "prompt": "a", **more}).encode()
    return ask_completion(raw, decode_completion_body(raw))


def test_a_chat_that_is_none_of_our_business_is_not_looked_at() -> None:
    plain = chat(stream=True, seed=3)
    assert (plain.model, plain.stream, plain.alone, plain.apart) == ("m", True, True, True)
    assert (plain.chat, plain.in_form, plain.ours, plain.options) == (None, False, (), LoadOptions())
    assert not chat(reasoning_format="none").apart


def test_a_chat_with_tools_is_held_to_them() -> None:
    assert chat(tools=[TOOL]).in_form
    assert chat(tools=[TOOL]).chat is not None
    assert not chat(tools=[TOOL], tool_choice="none").in_form
    assert chat(tools=[TOOL], tool_choice="none").chat is None
    for unholdable in ({"n": 2}, {"logprobs": True}):
        asked = chat(tools=[TOOL], **unholdable)
        assert (asked.in_form, asked.chat is None) == (False, False)


def test_a_chat_that_may_be_trimmed_is_counted() -> None:
    for trimmed in (chat(truncation="auto"), chat(truncates=True)):
        assert trimmed.chat is not None
    assert chat(truncation="disabled").chat is None


@pytest.mark.parametrize("field", [{"ttl": 60}, {"truncation": "disabled"}])
def test_what_is_for_the_bridge_alone_is_kept_from_the_provider(field: dict[str, object]) -> None:
    assert set(field) <= set(chat(**field).ours)
    assert chat(**field).options.ttl == field.get("ttl")


def test_prompts_and_choices_are_counted() -> None:
    assert (completion().each, completion().choices) == (1, 1)
    assert (completion(prompt=["a", "b"], n=3).each, completion(prompt=["a", "b"], n=3).choices) == (3, 6)
    assert completion(prompt=[1, 2]).choices == 1
    assert completion(ttl=5).options.ttl == 5


def test_vectors_are_asked_for_in_either_encoding() -> None:
    raw = json.dumps({"model": "m", "input": "a", "encoding_format": "base64", "ttl": 5}).encode()
    asked = ask_embedding(raw, decode_embedding_body(raw))
    assert (asked.base64, asked.options.ttl) == (True, 5)
