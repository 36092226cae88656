"""What this project believes of how LM Studio's models answer; see `test_lmstudio.py` for the rest."""

from __future__ import annotations

import json
import re

import pytest
from tests.contract.lmstudio import EVERY, NEWER, NEWER_FAKE, OLDER_FAKE, Body, Studio, error_of

PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks a word up.",
        "parameters": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    },
}


# ---- chat completions


@NEWER
async def test_a_whole_answer_has_empty_tool_calls_and_reasoning(studio: Studio) -> None:
    body = (await studio.said("Say hello.")).json
    assert re.fullmatch(r"chatcmpl-[0-9a-z]{20,22}", body["id"])
    choice = body["choices"][0]
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["tool_calls"] == []
    assert isinstance(choice["message"]["reasoning_content"], str)
    assert choice["finish_reason"] in ("stop", "length")
    assert set(body["usage"]) >= {"prompt_tokens", "completion_tokens", "total_tokens"}
    assert body["stats"] == {}


@EVERY
async def test_a_stream_is_data_lines_that_end_with_done(studio: Studio) -> None:
    reply = await studio.said("Say hello.", stream=True, stream_options={"include_usage": True})
    assert reply.headers["content-type"].startswith("text/event-stream")
    names = {name for name, _ in reply.events}
    chunks = [data for _, data in reply.events]
    assert names == {""}
    assert chunks[-1] == "[DONE]"
    assert chunks[-2]["choices"] == []
    assert chunks[-2]["usage"]["completion_tokens"] > 0
    assert chunks[-3]["choices"][0]["finish_reason"] in ("stop", "length")
    assert all(chunk["object"] == "chat.completion.chunk" for chunk in chunks[:-1])


@NEWER_FAKE
async def test_a_tool_call_comes_in_pieces_by_its_index(studio: Studio) -> None:
    whole = (await studio.said("the word", tools=[TOOL], max_tokens=200)).json["choices"][0]
    assert whole["finish_reason"] == "tool_calls"
    call = whole["message"]["tool_calls"][0]
    assert call["function"]["name"] == "look_up"
    assert json.loads(call["function"]["arguments"]) == {"text": "the word"}
    events = (await studio.said("the word", tools=[TOOL], max_tokens=200, stream=True)).events[:-1]
    deltas = [data["choices"][0]["delta"] for _, data in events]
    pieces = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert pieces[0]["function"] == {"name": "look_up", "arguments": ""}
    assert "id" not in pieces[1]
    joined = "".join(piece["function"]["arguments"] for piece in pieces)
    assert json.loads(joined) == {"text": "the word"}


@NEWER_FAKE
async def test_thoughts_are_apart_from_the_answer_unless_the_setting_is_off(studio: Studio) -> None:
    assert studio.fake is not None
    thinker = "qwen/qwen3-1.7b"
    message = (await studio.said("hi", model=thinker)).json["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("Let me think. ", "You said: hi ")
    studio.fake.separate_reasoning = False
    message = (await studio.said("hi", model=thinker)).json["choices"][0]["message"]
    assert message["content"] == "<think>Let me think. </think>You said: hi "


@NEWER_FAKE
async def test_at_the_limit_one_token_too_few_is_counted(studio: Studio) -> None:
    body = (await studio.said("count to 40", max_tokens=7)).json
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 6


@EVERY
@pytest.mark.parametrize(
    ("fields", "fragment"),
    [
        ({"tool_choice": {"type": "function"}, "tools": [TOOL]}, "Invalid tool_choice type: 'object'"),
        ({"response_format": {"type": "json_object"}}, "'response_format.type' must be 'json_schema' or 'text'"),
        ({"messages": [{"role": "assistant"}]}, "must be a string or an array of objects"),
        ({"messages": None}, "'messages' field is required"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://h/x.png"}}]}
                ]
            },
            "'url' field must be a base64 encoded image.",
        ),
    ],
    ids=["tool-choice", "json-object", "no-content", "no-messages", "image-url"],
)
async def test_what_it_does_not_take_is_a_string_error(studio: Studio, fields: Body, fragment: str) -> None:
    reply = await studio.said("hi", **fields)
    assert reply.status == 400
    assert fragment in reply.json["error"]


@NEWER_FAKE
async def test_a_picture_is_taken_as_a_data_url_by_a_model_that_sees(studio: Studio) -> None:
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    messages = [{"role": "user", "content": parts}]
    seen = await studio.said("", messages=messages, model="google/gemma-3-4b")
    assert "1 images" in seen.json["choices"][0]["message"]["content"]
    assert (await studio.said("", messages=messages)).status == 400


@EVERY
async def test_a_schema_shapes_the_answer(studio: Studio) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    format = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}
    reply = await studio.said("Answer with ok true.", response_format=format, max_tokens=400)
    message = reply.json["choices"][0]["message"]
    assert isinstance(json.loads(message["content"])["ok"], bool)


@EVERY
async def test_unknown_fields_are_ignored_and_one_choice_is_given(studio: Studio) -> None:
    reply = await studio.said("Say hello.", n=2, logprobs=True, store=True, frobnicate=1)
    assert reply.status == 200
    assert len(reply.json["choices"]) == 1
    assert reply.json["choices"][0]["logprobs"] is None


@EVERY
async def test_what_is_no_json_is_refused(studio: Studio) -> None:
    reply = await studio.ask("POST /v1/chat/completions", b'{"model": ')
    assert reply.status == 400


# ---- too long


@NEWER_FAKE
async def test_a_prompt_that_is_too_long_is_told_differently_by_each_route(studio: Studio) -> None:
    assert studio.fake is not None
    studio.fake.hold(studio.chat, context_length=16)
    long = "word " * 40
    completion = await studio.said(long)
    assert completion.status == 400
    assert "greater than the context length" in completion.json["error"]
    for route in ("POST /v1/responses", "POST /api/v1/chat"):
        reply = await studio.ask(route, {"model": studio.chat, "input": long})
        assert reply.status == 500
        assert (error_of(reply)["type"], error_of(reply)["code"]) == ("internal_error", "unknown")
        assert "greater than the context length" in error_of(reply)["message"]
    body = {"model": studio.chat, "max_tokens": 9, "messages": [{"role": "user", "content": long}]}
    anthropic = await studio.ask("POST /v1/messages", body)
    assert (anthropic.status, error_of(anthropic)["type"]) == (500, "api_error")


# ---- completions and embeddings


@EVERY
async def test_a_completion_has_text_and_no_messages(studio: Studio) -> None:
    body = {"model": studio.chat, "prompt": "Once upon a time", "max_tokens": 8}
    reply = (await studio.ask("POST /v1/completions", body)).json
    assert reply["id"].startswith("cmpl-")
    assert reply["object"] == "text_completion"
    assert isinstance(reply["choices"][0]["text"], str)
    streamed = await studio.ask("POST /v1/completions", {**body, "stream": True})
    assert streamed.events[-1][1] == "[DONE]"


@EVERY
async def test_embeddings_are_numbers_whatever_was_asked_and_cost_nothing(studio: Studio) -> None:
    body = {"model": studio.embedding, "input": ["one", "two"], "encoding_format": "base64"}
    reply = (await studio.ask("POST /v1/embeddings", body)).json
    assert [each["index"] for each in reply["data"]] == [0, 1]
    assert all(isinstance(number, float) for number in reply["data"][0]["embedding"])
    assert reply["usage"] == {"prompt_tokens": 0, "total_tokens": 0}


@EVERY
async def test_a_chat_model_makes_no_embeddings(studio: Studio) -> None:
    reply = await studio.ask("POST /v1/embeddings", {"model": studio.chat, "input": "x"})
    assert reply.status == 400
    assert "is not embedding" in reply.json["error"]


@EVERY
async def test_the_older_routes_tell_why_an_answer_ended_and_what_made_it(studio: Studio) -> None:
    body = {"model": studio.chat, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 16}
    reply = (await studio.ask("POST /api/v0/chat/completions", body)).json
    assert reply["stats"]["stop_reason"] in ("eosFound", "maxPredictedTokensReached")
    assert reply["model_info"]["context_length"] > 0
    assert reply["runtime"]["name"]


# ---- native chat


@NEWER
async def test_a_native_answer_is_kept_and_followed_up(studio: Studio) -> None:
    first = (await studio.ask("POST /api/v1/chat", {"model": studio.chat, "input": "Say hello."})).json
    assert re.fullmatch(r"resp_[0-9a-f]{48}", first["response_id"])
    assert first["model_instance_id"].startswith(studio.chat)
    assert {item["type"] for item in first["output"]} <= {"message", "reasoning"}
    assert first["stats"]["total_output_tokens"] > 0
    follow = {"model": studio.chat, "input": "Again.", "previous_response_id": first["response_id"]}
    assert (await studio.ask("POST /api/v1/chat", follow)).status == 200
    crossed = await studio.ask("POST /v1/responses", follow)
    assert crossed.status == 200


@NEWER
async def test_what_is_not_stored_has_no_id(studio: Studio) -> None:
    reply = await studio.ask("POST /api/v1/chat", {"model": studio.chat, "input": "Say hello.", "store": False})
    assert "response_id" not in reply.json


@NEWER
async def test_an_unknown_earlier_answer_is_refused_by_both_kinds(studio: Studio) -> None:
    body = {"model": studio.chat, "input": "hi", "previous_response_id": f"resp_{'0' * 48}"}
    native = await studio.ask("POST /api/v1/chat", body)
    assert (native.status, error_of(native)["code"]) == (400, "invalid_value")
    assert "30 days" in error_of(native)["message"]
    openai = await studio.ask("POST /v1/responses", body)
    assert (openai.status, error_of(openai)["code"]) == (400, "previous_response_not_found")


@NEWER_FAKE
async def test_the_native_stream_tells_of_the_load_the_prompt_and_the_answer(studio: Studio) -> None:
    body = {"model": "qwen/qwen3-1.7b", "input": "hi", "stream": True}
    events = (await studio.ask("POST /api/v1/chat", body)).events
    assert all(name == data["type"] for name, data in events)
    order = list(dict.fromkeys(name for name, _ in events))
    assert order == [
        "chat.start",
        "model_load.start",
        "model_load.progress",
        "model_load.end",
        "prompt_processing.start",
        "prompt_processing.progress",
        "prompt_processing.end",
        "reasoning.start",
        "reasoning.delta",
        "reasoning.end",
        "message.start",
        "message.delta",
        "message.end",
        "chat.end",
    ]
    result = events[-1][1]["result"]
    assert [item["type"] for item in result["output"]] == ["reasoning", "message"]
    assert result["stats"]["model_load_time_seconds"] > 0


@NEWER
async def test_the_native_stream_always_ends_with_the_whole_answer(studio: Studio) -> None:
    body = {"model": studio.chat, "input": "Say hello.", "stream": True}
    events = (await studio.ask("POST /api/v1/chat", body)).events
    assert events[0][0] == "chat.start"
    assert events[-1][0] == "chat.end"
    said = "".join(data["content"] for name, data in events if name == "message.delta")
    assert said == "".join(
        item["content"] for item in events[-1][1]["result"]["output"] if item["type"] == "message"
    )


@NEWER_FAKE
async def test_the_native_chat_takes_parts_and_settings_of_thinking(studio: Studio) -> None:
    parts = [{"type": "message", "content": "look"}, {"type": "image", "data_url": PIXEL}]
    seen = await studio.ask("POST /api/v1/chat", {"model": "google/gemma-3-4b", "input": parts})
    assert "1 images" in seen.json["output"][0]["content"]
    body = {"model": "qwen/qwen3-1.7b", "input": "hi"}
    off = await studio.ask("POST /api/v1/chat", {**body, "reasoning": "off"})
    assert [item["type"] for item in off.json["output"]] == ["message"]
    refused = await studio.ask("POST /api/v1/chat", {**body, "reasoning": "high"})
    assert (refused.status, error_of(refused)["param"]) == (400, "reasoning")


@NEWER_FAKE
async def test_the_native_chat_uses_tools_of_the_server_where_it_may(studio: Studio) -> None:
    assert studio.fake is not None
    body = {"model": studio.chat, "input": "hi", "integrations": ["mcp/x"]}
    assert (await studio.ask("POST /api/v1/chat", body)).status == 403
    studio.fake.plugins = True
    item = (await studio.ask("POST /api/v1/chat", body)).json["output"][0]
    assert (item["type"], item["tool"], item["arguments"]) == ("tool_call", "echo", {"text": "hi"})
    assert json.loads(item["output"]) == [{"type": "text", "text": "echo hi"}]
    assert item["provider_info"] == {"type": "plugin", "plugin_id": "mcp/x"}
    remote = {"type": "ephemeral_mcp", "server_label": "far", "server_url": "https://h/mcp"}
    wrong = {**body, "input": "bad tool", "integrations": [remote], "stream": True}
    events = (await studio.ask("POST /api/v1/chat", wrong)).events
    failure = next(data for name, data in events if name == "tool_call.failure")
    assert failure["metadata"]["provider_info"] == {"type": "ephemeral_mcp", "server_label": "far"}
    assert [name for name, _ in events if name.startswith("tool_call")] == [
        "tool_call.start",
        "tool_call.arguments",
        "tool_call.failure",
    ]
    assert events[-1][1]["result"]["output"][0]["type"] == "invalid_tool_call"


# ---- responses


@EVERY
async def test_a_response_has_items_and_a_usage(studio: Studio) -> None:
    reply = (await studio.ask("POST /v1/responses", {"model": studio.chat, "input": "Say hello."})).json
    assert re.fullmatch(r"resp_[0-9a-f]{48}", reply["id"])
    assert (reply["object"], reply["status"]) == ("response", "completed")
    message = next(item for item in reply["output"] if item["type"] == "message")
    assert message["content"][0]["type"] == "output_text"
    assert reply["usage"]["output_tokens"] > 0
    assert reply["top_p"] is False or isinstance(reply["top_p"], float | int)


@EVERY
async def test_a_response_that_was_cut_says_that_it_is_complete(studio: Studio) -> None:
    body = {"model": studio.chat, "input": "count to 50", "max_output_tokens": 3}
    reply = (await studio.ask("POST /v1/responses", body)).json
    assert (reply["status"], reply["incomplete_details"]) == ("completed", None)


@EVERY
async def test_the_events_of_a_response_end_with_the_whole_of_it(studio: Studio) -> None:
    body = {"model": studio.chat, "input": "Say hello.", "stream": True}
    events = (await studio.ask("POST /v1/responses", body)).events
    assert events[0][0] == "response.created"
    assert events[-1][0] == "response.completed"
    said = "".join(data["delta"] for name, data in events if name == "response.output_text.delta")
    items = events[-1][1]["response"]["output"]
    assert said == next(item for item in items if item["type"] == "message")["content"][0]["text"]


@NEWER_FAKE
async def test_a_response_calls_tools_and_hears_what_they_gave(studio: Studio) -> None:
    tool = {"type": "function", **TOOL["function"]}
    first = (await studio.ask("POST /v1/responses", {"model": studio.chat, "input": "hi", "tools": [tool]})).json
    call = first["output"][0]
    assert (call["type"], call["name"]) == ("function_call", "look_up")
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "42"}
    follow = {"model": studio.chat, "input": [result], "previous_response_id": first["id"], "tools": [tool]}
    second = (await studio.ask("POST /v1/responses", follow)).json
    assert second["output"][0]["content"][0]["text"] == "The tool said: 42 "


@EVERY
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": ["hi"]}, "input"),
        ({"input": []}, "input"),
        ({"tools": [{"type": "function", "name": "x", "parameters": {}}]}, "tools.0"),
        ({"tools": [{"type": "frob"}]}, "tools.0.type"),
        ({"text": {}}, "text.format"),
    ],
    ids=["strings", "empty", "no-schema", "unknown-tool", "no-format"],
)
async def test_what_responses_do_not_take_is_an_error_object(studio: Studio, fields: Body, param: str) -> None:
    reply = await studio.ask("POST /v1/responses", {"model": studio.chat, "input": "hi", **fields})
    assert reply.status == 400
    assert error_of(reply)["type"] == "invalid_request_error"
    assert error_of(reply)["param"] == param


# ---- messages


@NEWER
async def test_messages_speak_anthropics_language(studio: Studio) -> None:
    body = {"model": studio.chat, "max_tokens": 16, "messages": [{"role": "user", "content": "Say hello."}]}
    reply = (await studio.ask("POST /v1/messages", body)).json
    assert (reply["type"], reply["role"]) == ("message", "assistant")
    assert reply["stop_reason"] in ("end_turn", "max_tokens")
    events = (await studio.ask("POST /v1/messages", {**body, "stream": True})).events
    assert (events[0][0], events[-1][0]) == ("message_start", "message_stop")
    wrong = await studio.ask("POST /v1/messages", {**body, "messages": [{"role": "frob", "content": "x"}]})
    assert wrong.status == 400
    assert "request.messages.0.role" in error_of(wrong)["message"]


@OLDER_FAKE
async def test_before_0_4_1_there_are_no_messages(studio: Studio) -> None:
    assert "Unexpected endpoint" in (await studio.ask("POST /v1/messages", {})).json["error"]
