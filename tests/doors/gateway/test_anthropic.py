"""Anthropic's language at the door, over the fake OpenAI server: what is translated there and back, in bytes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from tests.doors.gateway.asking import Running, running, until
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.provider import ScriptedProvider

from lmbridge.core.models import ModelInfo
from lmbridge.doors.gateway import GatewaySettings
from lmbridge.providers.openai import OpenAIProvider

ROUTE = "/v1/messages"
VERSION = {"anthropic-version": "2023-06-01"}
TOOL = {"name": "repeat", "input_schema": {"type": "object", "properties": {"text": {"type": "string"}}}}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}


def ask(said: object = "Hello", **more: object) -> dict[str, object]:
    return {"model": "fake-chat", "max_tokens": 50, "messages": [{"role": "user", "content": said}], **more}


def frames(body: bytes) -> list[dict[str, object]]:
    """The data of each event of a stream."""
    found = body.decode().split("\n\n")
    assert found.pop() == ""
    return [json.loads(frame.partition("\ndata: ")[2]) for frame in found]


async def faulty(door: Running, upstream: FakeOpenAI, fault: str, **more: object) -> tuple[int, bytes]:
    upstream.models = [{"id": f"fault:{fault}", "object": "model"}]
    got = await door.post(ROUTE, {**ask(**more), "model": f"fault:{fault}"})
    return got.status, got.body


async def test_an_answer_is_a_message(door: Running) -> None:
    got = await door.post(f"{ROUTE}?beta=true", ask())
    assert got.status == 200
    message = got.json
    assert str(message.pop("id")).startswith("msg_")
    assert message == {
        "type": "message",
        "role": "assistant",
        "model": "fake-chat",
        "content": [{"type": "text", "text": "You said: Hello "}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 4,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 2,
            "output_tokens": 3,
        },
    }


async def test_thinking_and_calls_are_streamed_as_blocks(door: Running) -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    got = await door.post(ROUTE, ask(tools=[TOOL], thinking=thinking, stream=True))
    assert got.headers["content-type"] == "text/event-stream; charset=utf-8"
    told = frames(got.body)
    starts = [event["content_block"] for event in told if event["type"] == "content_block_start"]
    assert starts == [
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "tool_use", "id": "toolu_call_1", "name": "repeat", "input": {}},
    ]
    deltas = [event["delta"] for event in told if event["type"] == "content_block_delta"]
    assert deltas == [
        {"type": "thinking_delta", "thinking": "Let me "},
        {"type": "thinking_delta", "thinking": "think. "},
        {"type": "signature_delta", "signature": ""},
        {"type": "input_json_delta", "partial_json": '{"tex'},
        {"type": "input_json_delta", "partial_json": 't": "Hello"}'},
    ]
    assert told[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}


async def test_what_reaches_the_provider_is_openais(door: Running, upstream: FakeOpenAI) -> None:
    turns = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "repeat", "input": {}}]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "done"},
                {"type": "text", "text": "no tool: what is this?"},
                PICTURE,
            ],
        },
    ]
    body = {**ask(), "messages": turns, "system": "Be brief.", "tools": [TOOL], "temperature": 0.5}
    assert (await door.post(ROUTE, {**body, "thinking": {"type": "disabled"}, "top_k": 3})).status == 200
    _, sent = upstream.requests[-1]
    call = {"id": "toolu_1", "type": "function", "function": {"name": "repeat", "arguments": "{}"}}
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "done", "tool_call_id": "toolu_1"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "no tool: what is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            ],
        },
    ]
    assert sent["reasoning_effort"] == "none"
    assert (sent["max_tokens"], sent["temperature"], sent["top_k"]) == (50, 0.5, 3)


async def test_thinking_that_was_switched_off_is_not_shown(door: Running) -> None:
    got = await door.post(ROUTE, ask(thinking={"type": "disabled"}))
    assert got.json["content"] == [{"type": "text", "text": "You said: Hello "}]


@pytest.mark.parametrize("fault", ["cut", "torn", "garbage", "no-finish", "error-event"])
async def test_a_stream_that_breaks_ends_with_an_error_event(
    door: Running, upstream: FakeOpenAI, fault: str
) -> None:
    upstream.pace = 0.01
    status, body = await faulty(door, upstream, fault, said="one two three", stream=True)
    assert status == 200
    *_, last = frames(body)
    assert last["type"] == "error"
    assert b"message_stop" not in body
    assert b"event: error\n" in body


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ("context", 400, "invalid_request_error"),
        ("429", 429, "rate_limit_error"),
        ("401", 502, "api_error"),
        ("500", 502, "api_error"),
        ("hangup", 502, "api_error"),
        ("not-http", 502, "api_error"),
    ],
)
async def test_an_error_before_the_first_word_has_its_status_and_anthropics_form(
    door: Running, upstream: FakeOpenAI, fault: str, status: int, kind: str, stream: bool
) -> None:
    got, body = await faulty(door, upstream, fault, stream=stream)
    error = json.loads(body)["error"]
    assert (got, error["type"]) == (status, kind)
    if fault == "context":
        assert error["message"].startswith("prompt is too long: 5000 tokens > 4096 maximum")


@pytest.mark.parametrize(
    ("path", "body", "status", "kind"),
    [
        (ROUTE, b"{", 400, "invalid_request_error"),
        (ROUTE, ask(made_up=1), 400, "invalid_request_error"),
        (ROUTE, {**ask(), "model": "claude-opus"}, 404, "not_found_error"),
        (ROUTE, {**ask(), "model": "fake-embed"}, 400, "invalid_request_error"),
        (f"{ROUTE}/batches", {}, 404, "not_found_error"),
        (f"{ROUTE}/count_tokens", ask(), 400, "invalid_request_error"),
    ],
)
async def test_a_mistake_is_an_error_in_anthropics_form(
    door: Running, path: str, body: object, status: int, kind: str
) -> None:
    got = await door.post(path, body)
    assert (got.status, got.json["type"], got.error["type"]) == (status, "error", kind)


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({"content-type": "text/plain"}, 415, "invalid_request_error"),
        ({"host": "example.org"}, 403, "permission_error"),
        ({"origin": "https://example.org"}, 403, "permission_error"),
    ],
)
async def test_who_may_not_ask_is_told_so_in_anthropics_form(
    door: Running, headers: dict[str, str], status: int, kind: str
) -> None:
    got = await door.post(ROUTE, ask(), headers)
    assert (got.status, got.error["type"]) == (status, kind)
    got = await door.get(ROUTE)
    assert (got.status, got.error["type"]) == (405, "invalid_request_error")


async def test_too_large_a_body_is_an_error_in_anthropics_form(provider: OpenAIProvider, tmp_path: Path) -> None:
    async with running([provider], tmp_path, GatewaySettings(port=0, max_body=100)) as up:
        got = await up.post(ROUTE, ask("x" * 200))
    assert (got.status, got.error["type"]) == (413, "request_too_large")


async def test_a_key_may_come_as_anthropics_clients_send_it(provider: OpenAIProvider, tmp_path: Path) -> None:
    async with running([provider], tmp_path, GatewaySettings(port=0, require_key=True)) as up:
        got = await up.post(ROUTE, ask(), {"x-api-key": "sk-lmb-wrong"})
        assert (got.status, got.error["type"]) == (401, "authentication_error")
        key = up.gateway.keys.create("laptop")
        for header in ({"x-api-key": key}, {"authorization": f"Bearer {key}"}):
            assert (await up.post(ROUTE, ask(), header)).status == 200


async def test_a_provider_that_does_not_count_says_so(door: Running) -> None:
    got = await door.post(f"{ROUTE}/count_tokens", {"model": "fake-chat", "messages": ask()["messages"]})
    assert (got.status, got.code) == (400, "invalid_request")
    assert "does not tell" in str(got.error["message"])


async def test_models_are_listed_in_the_form_of_who_asks(door: Running) -> None:
    listed = (await door.get("/v1/models", VERSION)).json
    assert (listed["first_id"], listed["last_id"], listed["has_more"]) == ("fake-chat", "fake-chat", False)
    one = (await door.get("/v1/models/fake-chat", VERSION)).json
    assert (one["type"], one["id"], one["max_input_tokens"]) == ("model", "fake-chat", 4096)
    missing = await door.get("/v1/models/none", VERSION)
    assert (missing.status, missing.error["type"]) == (404, "not_found_error")
    assert (await door.get("/v1/models")).json["object"] == "list"
    assert (await door.get("/v1/models/none")).error["code"] == "model_not_found"


async def test_answers_are_counted_under_their_door(door: Running) -> None:
    for stream in (False, True):
        await door.post(ROUTE, ask(stream=stream))
    (tally,) = door.hub.activity.tallies
    assert (tally.door, tally.route, tally.requests, tally.in_flight) == ("anthropic", "messages", 2, 0)
    assert tally.completion_tokens == 6


async def test_while_a_model_loads_a_stream_lives(tmp_path: Path) -> None:
    provider = ScriptedProvider([ModelInfo("slow", "scripted")])
    provider.gate.clear()
    async with running([provider], tmp_path, GatewaySettings(port=0, heartbeat_s=0.01)) as up:
        reader, writer = await _open(up, {**ask("one two"), "model": "slow", "stream": True})
        await reader.readuntil(b'event: ping\ndata: {"type":"ping"}\n\n')
        provider.gate.set()
        rest = await reader.readuntil(b"event: message_stop")
        writer.close()
        await writer.wait_closed()
        assert b"event: message_start" in rest
        await until(lambda: not any(tally.in_flight for tally in up.hub.activity.tallies))


async def _open(up: Running, body: dict[str, object]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask, and leave the answer to be read as it comes."""
    data = json.dumps(body)
    head = f"POST {ROUTE} HTTP/1.1\r\nhost: 127.0.0.1:{up.port}\r\ncontent-type: application/json\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
    writer.write(f"{head}content-length: {len(data)}\r\n\r\n{data}".encode())
    return reader, writer
