"""Anthropic's clients before a provider that speaks their language itself: requests pass as they are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import anthropic
import pytest
from tests.doors.gateway.asking import LOG, Running, running
from tests.fakes.anthropic_server import FakeAnthropic, fake_anthropic
from tests.fakes.byte_server import ByteServer, Handle, answer, read_request

from lmbridge.core.provider import ProviderContext
from lmbridge.hub.request_log import newest_first
from lmbridge.providers.anthropic import AnthropicProvider

HELLO = [{"role": "user", "content": "hello"}]
ASKED: dict[str, object] = {"model": "fake-claude", "max_tokens": 99, "messages": HELLO}
FAULTS = ("401", "403", "404", "413", "429", "500", "529", "context", "hangup")
BROKEN = ("cut", "reset", "torn", "half-letter", "garbage", "wrong-types", "error-event", "no-stop", "no-reason")


def provider(url: str, folder: Path) -> AnthropicProvider:
    return AnthropicProvider.create({"url": url, "key": "sesame"}, ProviderContext(folder, "claude"))


@pytest.fixture
async def upstream() -> AsyncIterator[FakeAnthropic]:
    async with fake_anthropic(key="sesame") as server:
        assert isinstance(server.models, list)
        server.models = [*server.models, *({"id": f"fault:{name}"} for name in (*FAULTS, *BROKEN, "unstreamed"))]
        server.page = 100
        yield server


@pytest.fixture
async def door(upstream: FakeAnthropic, tmp_path: Path) -> AsyncIterator[Running]:
    async with running([provider(upstream.url, tmp_path)], tmp_path) as up:
        yield up


@pytest.fixture
async def client(door: Running) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=door.url, api_key="none", max_retries=0) as one:
        yield one


async def test_what_only_such_a_server_understands_reaches_it(
    client: anthropic.AsyncAnthropic, upstream: FakeAnthropic
) -> None:
    remember = {"type": "ephemeral"}
    tools = [{"name": "one", "input_schema": {"type": "object"}, "cache_control": remember}]
    first = await client.messages.create(
        model="fake-claude",
        max_tokens=99,
        system=[{"type": "text", "text": "Be brief.", "cache_control": remember}],  # type: ignore[typeddict-item]
        messages=HELLO,  # type: ignore[arg-type]
        tools=tools,  # type: ignore[arg-type]
        thinking={"type": "adaptive"},
        extra_headers={"anthropic-beta": "news-2026-01-01"},
    )
    assert [block.type for block in first.content] == ["thinking", "tool_use"]
    assert upstream.last["system"] == [{"type": "text", "text": "Be brief.", "cache_control": remember}]
    assert upstream.last["tools"] == tools
    assert upstream.headers["anthropic-beta"] == "news-2026-01-01"
    assert upstream.headers["x-api-key"] == "sesame"
    result = {"type": "tool_result", "tool_use_id": first.content[1].id, "content": "no tool"}  # type: ignore[union-attr]
    said = [block.model_dump(exclude_none=True) for block in first.content]
    turns = [*HELLO, {"role": "assistant", "content": said}, {"role": "user", "content": [result]}]
    async with client.messages.stream(
        model="fake-claude",
        max_tokens=99,
        messages=turns,  # type: ignore[arg-type]
        tools=tools,  # type: ignore[arg-type]
        thinking={"type": "adaptive"},
    ) as stream:
        final = await stream.get_final_message()
    assert upstream.last["messages"] == turns
    assert final.content[0].signature == "signed"  # type: ignore[union-attr]
    assert final.content[1].text == "You said: no tool "  # type: ignore[union-attr]
    assert final.usage.cache_read_input_tokens == 2


async def test_a_model_by_its_full_name_is_asked_by_its_own(door: Running, upstream: FakeAnthropic) -> None:
    got = await door.post("/v1/messages", {**ASKED, "model": "claude:fake-claude"})
    assert got.status == 200
    assert upstream.last["model"] == "fake-claude"


async def test_tokens_are_in_the_log(upstream: FakeAnthropic, tmp_path: Path) -> None:
    async with running([provider(upstream.url, tmp_path)], tmp_path) as door:
        for streamed in (False, True):
            await door.post("/v1/messages", {**ASKED, "stream": streamed})
    stream, whole = newest_first(tmp_path / LOG)
    for line in (stream, whole):
        assert (line.prompt_tokens, line.completion_tokens, line.error) == (6, 3, "")
    assert stream.first_event_s is not None
    assert whole.first_event_s is None


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ("401", 502, "api_error"),
        ("403", 502, "api_error"),
        ("404", 404, "not_found_error"),
        ("413", 413, "request_too_large"),
        ("429", 429, "rate_limit_error"),
        ("500", 502, "api_error"),
        ("529", 503, "overloaded_error"),
        ("context", 400, "invalid_request_error"),
        ("hangup", 502, "api_error"),
    ],
)
async def test_what_it_refuses_has_a_status_and_our_form(
    door: Running, fault: str, status: int, kind: str, streamed: bool
) -> None:
    got = await door.post("/v1/messages", {**ASKED, "model": f"fault:{fault}", "stream": streamed})
    assert (got.status, got.error["type"]) == (status, kind)
    assert "details" in got.error
    assert b"sesame" not in got.body


@pytest.mark.parametrize("fault", BROKEN)
async def test_a_stream_that_breaks_ends_with_an_error(door: Running, fault: str) -> None:
    got = await door.post("/v1/messages", {**ASKED, "model": f"fault:{fault}", "stream": True})
    assert got.status == 200
    frames = got.body.decode().removesuffix("\n\n").split("\n\n")
    assert frames[0].startswith("event: message_start\n")
    assert frames[-1].startswith("event: error\n")
    assert "message_stop" not in got.body.decode()
    assert json.loads(frames[-1].partition("data: ")[2])["error"]["type"] in ("api_error", "overloaded_error")


async def test_something_else_than_a_stream_is_an_error(door: Running) -> None:
    got = await door.post("/v1/messages", {**ASKED, "model": "fault:unstreamed", "stream": True})
    assert (got.status, got.code) == (502, "broken_answer")


@pytest.mark.parametrize(
    ("kind", "body", "streamed"),
    [
        ("application/json", b'{"type": "message"}', False),
        ("application/json", b'{"content": [], "stop_reason": "end_turn", "news": "\xe2\x82"}', False),
        ("text/event-stream", b'data: {"type": "ping", "news": "\xe2\x82"}\n\n', True),
        ("text/event-stream", b"data: " + b"x" * (17 * 2**20), True),
        ("text/event-stream", b"", True),
    ],
)
async def test_a_hostile_answer_never_reaches_a_client(
    tmp_path: Path, kind: str, body: bytes, streamed: bool
) -> None:
    listed = b'{"data": [{"id": "m"}]}'
    replies = {b"GET": answer(listed), b"POST": answer(body, f"content-type: {kind}")}

    async with (
        ByteServer(_by_method(replies)) as server,
        running([provider(server.url, tmp_path)], tmp_path) as door,
    ):
        got = await door.post("/v1/messages", {**ASKED, "model": "m", "stream": streamed})
        assert (got.status, got.code) == (502, "broken_answer")


def _by_method(replies: dict[bytes, bytes]) -> Handle:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, _ = await read_request(reader)
            writer.write(replies[head.partition(b" ")[0]])
            await writer.drain()

    return handle


async def test_where_conversations_are_trimmed_a_request_is_told_in_our_words(
    door: Running, upstream: FakeAnthropic
) -> None:
    door.hub.truncate = True
    got = await door.post("/v1/messages", {**ASKED, "metadata": {"user_id": "x"}})
    assert got.status == 200
    assert "metadata" not in upstream.last
