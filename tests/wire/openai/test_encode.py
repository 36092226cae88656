from __future__ import annotations

import json

from lmbridge.core.messages import ImagePart, Message, TextPart, Tool, ToolCall
from lmbridge.core.requests import ChatRequest, EmbedRequest, NamedTool, Sampling, Schema
from lmbridge.wire.openai.encode import encode_chat, encode_embed
from lmbridge.wire.openai.requests import decode_chat_body, decode_embedding_body

PICTURE = "data:image/png;base64,aGk="
EVERYTHING = ChatRequest(
    "m",
    (
        Message("system", "s", name="n"),
        Message("user", (TextPart("see"), ImagePart(PICTURE))),
        Message("assistant", None, reasoning="hm", tool_calls=(ToolCall("c", "add", '{"a":1}'),)),
        Message("tool", "2", tool_call_id="c"),
    ),
    tools=(Tool("add", "Adds.", {"type": "object"}, strict=True), Tool("bare")),
    tool_choice=NamedTool("add"),
    parallel_tool_calls=False,
    schema=Schema({"type": "object"}, "shape"),
    sampling=Sampling(
        temperature=0.0, top_p=0.9, top_k=5, min_p=0.1, max_tokens=7, stop=("x",), seed=0, frequency_penalty=0.1,
        presence_penalty=0.2, repeat_penalty=1.1, logprobs=2, logit_bias={"5": 1.0},
    ),
    reasoning_effort="low",
    extra={"cache_prompt": True},
)  # fmt: skip


def test_a_plain_request_says_nothing_more_than_it_must() -> None:
    assert encode_chat(ChatRequest("name", "hi"), "m", stream=False) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
    }


def test_a_streamed_request_asks_for_the_token_counts() -> None:
    body = encode_chat(ChatRequest("name", "hi"), "m")
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})


def test_everything_that_can_be_asked_is_written() -> None:
    assert encode_chat(EVERYTHING, "x", stream=False) == {
        "model": "x",
        "messages": [
            {"role": "system", "content": "s", "name": "n"},
            {
                "role": "user",
                "content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": PICTURE}}],
            },
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "hm",
                "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
                ],
            },
            {"role": "tool", "content": "2", "tool_call_id": "c"},
        ],
        "temperature": 0.0,
        "top_p": 0.9,
        "top_k": 5,
        "min_p": 0.1,
        "max_tokens": 7,
        "seed": 0,
        "frequency_penalty": 0.1,
        "presence_penalty": 0.2,
        "repeat_penalty": 1.1,
        "logit_bias": {"5": 1.0},
        "stop": ["x"],
        "logprobs": True,
        "top_logprobs": 2,
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "add",
                    "description": "Adds.",
                    "parameters": {"type": "object"},
                    "strict": True,
                },
            },
            {"type": "function", "function": {"name": "bare", "parameters": {"type": "object", "properties": {}}}},
        ],
        "tool_choice": {"type": "function", "function": {"name": "add"}},
        "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "shape", "schema": {"type": "object"}, "strict": True},
        },
        "reasoning_effort": "low",
        "cache_prompt": True,
    }


def test_what_we_write_is_what_we_read() -> None:
    body = decode_chat_body(json.dumps(encode_chat(EVERYTHING, "x")).encode())
    assert body.has_images
    assert body.seeded
    assert body.wants_usage
    decode_embedding_body(json.dumps(encode_embed(EmbedRequest("e", ("a", "b"), 5), "x")).encode())


def test_a_tool_choice_is_written_only_with_tools_and_only_if_it_says_something() -> None:
    assert "tool_choice" not in encode_chat(ChatRequest("", "hi", tool_choice="required"), "m")
    tools = (Tool("a"),)
    assert "tool_choice" not in encode_chat(ChatRequest("", "hi", tools), "m")
    assert encode_chat(ChatRequest("", "hi", tools, "required"), "m")["tool_choice"] == "required"
    assert "parallel_tool_calls" not in encode_chat(ChatRequest("", "hi", tools), "m")


def test_any_object_may_be_asked_for_and_logprobs_without_alternatives() -> None:
    body = encode_chat(ChatRequest("", "hi", schema=Schema(), sampling=Sampling(logprobs=0)), "m")
    assert body["response_format"] == {"type": "json_object"}
    assert body["logprobs"] is True
    assert "top_logprobs" not in body


def test_extra_fields_win() -> None:
    assert encode_chat(ChatRequest("", "hi", extra={"stream_options": {}}), "m")["stream_options"] == {}


def test_texts_to_embed_are_written_in_their_order() -> None:
    assert encode_embed(EmbedRequest("e", ("b", "a")), "x") == {
        "model": "x",
        "input": ["b", "a"],
        "encoding_format": "float",
    }
    assert encode_embed(EmbedRequest("e", ("b",), 5), "x")["dimensions"] == 5
