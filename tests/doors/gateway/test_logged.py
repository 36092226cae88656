"""What a request leaves in the log, and what it does not."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.doors.gateway.asking import LOG, SESSION, Running, running, until
from tests.fakes.openai_server import FakeOpenAI

from lmbridge.doors.gateway import GatewaySettings
from lmbridge.hub.keys import KeyRing
from lmbridge.hub.request_log import Line, newest_first
from lmbridge.providers.openai import OpenAIProvider

CHAT = "/v1/chat/completions"
CANARY = "canary-in-the-coal-mine"
HELLO = {"model": "fake-chat", "messages": [{"role": "user", "content": CANARY}]}


def lines(folder: Path) -> list[Line]:
    """What is in the log, in the order in which it happened."""
    return list(newest_first(folder / LOG))[::-1]


async def test_an_answer_leaves_one_line_with_its_figures(provider: OpenAIProvider, tmp_path: Path) -> None:
    before = datetime.now(UTC)
    async with running([provider], tmp_path) as up:
        await up.post(CHAT, HELLO)
        await up.post(CHAT, {**HELLO, "stream": True, "stream_options": {"include_usage": True}})
        await up.post("/v1/embeddings", {"model": "fake-embed", "input": CANARY})
    whole, stream, vectors = lines(tmp_path)
    for line in (whole, stream):
        assert (line.method, line.path, line.status) == ("POST", CHAT, 200)
        assert (line.door, line.route, line.provider, line.model) == ("openai", "chat", "fake", "fake-chat")
        assert line.prompt_tokens > 0
        assert line.completion_tokens > 0
        assert before <= line.time <= datetime.now(UTC)
        assert (line.error, line.cancelled, line.key) == ("", False, "")
        assert line.total_s > 0
    assert whole.first_event_s is None
    assert stream.first_event_s is not None
    assert 0 < stream.first_event_s <= stream.total_s
    assert (vectors.route, vectors.model) == ("embedding", "fake-embed")


async def test_a_refused_request_leaves_its_code_and_the_name_that_was_asked_for(
    provider: OpenAIProvider, tmp_path: Path
) -> None:
    async with running([provider], tmp_path) as up:
        await up.get("/chat/completions")
        await up.post(CHAT, {**HELLO, "model": "nobody" + "x" * 500})
        await up.post(CHAT, {**HELLO, "surprise": 1})
        await up.post(CHAT, {**HELLO, "model": "fault:error-event", "stream": True})
        await up.get("/health", {"host": "evil.example"})
    found = lines(tmp_path)
    assert [(line.status, line.error) for line in found] == [
        (404, "route_not_found"),
        (404, "model_not_found"),
        (400, "unsupported_parameter"),
        (404, "model_not_found"),
        (403, "forbidden"),
    ]
    assert found[1].model.startswith("nobodyx")
    assert len(found[1].model) == 200


async def test_a_stream_that_breaks_says_why(
    upstream: FakeOpenAI, provider: OpenAIProvider, tmp_path: Path
) -> None:
    upstream.models = [{"id": "fault:cut"}]
    async with running([provider], tmp_path) as up:
        await up.post(CHAT, {**HELLO, "model": "fault:cut", "stream": True})
    (line,) = lines(tmp_path)
    assert (line.status, line.error, line.model) == (200, "broken_answer", "fault:cut")
    assert not line.cancelled


async def test_a_caller_who_leaves_is_told_from_one_who_was_refused(
    upstream: FakeOpenAI, provider: OpenAIProvider, tmp_path: Path
) -> None:
    upstream.models = [{"id": "fault:mute"}]
    async with running([provider], tmp_path) as up:
        reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
        body = json.dumps({**HELLO, "model": "fault:mute"}).encode()
        writer.write(
            f"POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1:{up.port}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        await until(lambda: bool(upstream.requests) and len(up.hub.activity.turns) == 1)
        writer.close()
        await until(lambda: not up.hub.activity.turns)
    (line,) = lines(tmp_path)
    assert (line.status, line.cancelled, line.error, line.model) == (0, True, "", "fault:mute")
    assert reader is not None


async def test_who_asked_is_told_by_the_name_of_his_key(provider: OpenAIProvider, tmp_path: Path) -> None:
    key = KeyRing(tmp_path / "keys.json").create("laptop")
    async with running([provider], tmp_path) as up:
        await up.post(CHAT, HELLO, {"x-api-key": key})
        await up.get("/v1/models", {"authorization": f"Bearer {SESSION}"})
        await up.get("/v1/models", {"authorization": "Bearer lmb-nobody"})
    assert [(line.status, line.key) for line in lines(tmp_path)] == [
        (200, "laptop"),
        (200, "(session)"),
        (401, ""),
    ]
    written = (tmp_path / LOG).read_text()
    for secret in (key, SESSION, "lmb-nobody"):
        assert secret not in written


@pytest.mark.parametrize("path", ["/health", "/", "/openapi.json", "/metrics", "/api/lmbridge/status"])
async def test_who_only_looks_at_the_gateway_does_not_fill_the_log(
    provider: OpenAIProvider, tmp_path: Path, path: str
) -> None:
    async with running([provider], tmp_path) as up:
        assert (await up.get(path)).status == 200
        assert (await up.post(path, {})).status == 405
    assert [line.error for line in lines(tmp_path)] == ["method_not_allowed"]


async def test_no_word_of_a_prompt_an_answer_or_a_query_is_in_the_log(
    upstream: FakeOpenAI, provider: OpenAIProvider, tmp_path: Path
) -> None:
    upstream.models = [*upstream.models, {"id": "fault:context"}, {"id": "fault:error-event"}]  # type: ignore[misc]
    async with running([provider], tmp_path) as up:
        answer = await up.post(f"{CHAT}?secret={CANARY}", HELLO)
        await up.post(CHAT, {**HELLO, "stream": True})
        await up.post(CHAT, {**HELLO, CANARY: CANARY})
        await up.post(CHAT, {**HELLO, "temperature": CANARY})
        await up.post(CHAT, {**HELLO, "user": CANARY}, {"x-canary": CANARY, "user-agent": CANARY})
        await up.post(CHAT, CANARY.encode())
        for fault in ("fault:context", "fault:error-event"):
            await up.post(CHAT, {**HELLO, "model": fault, "stream": True})
        await up.post("/v1/embeddings", {"model": "fake-embed", "input": [CANARY]})
        await up.post("/v1/completions", {"model": "fake-chat", "prompt": CANARY})
        await up.get("/v1/models", {"authorization": f"Bearer {CANARY}"})
    written = (tmp_path / LOG).read_text()
    assert len(written.splitlines()) == 11
    assert CANARY not in written
    said = answer.json["choices"][0]["message"]["content"]  # type: ignore[index]
    assert said
    assert said not in written


async def test_the_log_can_be_switched_off(provider: OpenAIProvider, tmp_path: Path) -> None:
    async with running([provider], tmp_path, GatewaySettings(port=0, log=False)) as up:
        await up.post(CHAT, HELLO)
    assert not (tmp_path / LOG).exists()


async def test_lines_are_written_while_the_gateway_runs(door: Running, tmp_path: Path) -> None:
    await door.post(CHAT, HELLO)
    await until(lambda: len(lines(tmp_path)) == 1)
