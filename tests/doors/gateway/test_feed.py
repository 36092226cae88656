"""The feed of what happens, followed over a real connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.doors.gateway.asking import LIMIT_S, Running, ask, running, until
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.provider import ScriptedProvider

from lmbridge.core.models import ModelInfo
from lmbridge.doors.gateway import GatewaySettings
from lmbridge.doors.gateway.feed import MOST
from lmbridge.hub.keys import KeyRing
from lmbridge.providers.openai import OpenAIProvider

PATH = "/api/lmbridge/activity"
CHAT = "/v1/chat/completions"
HELLO = {"model": "fake-chat", "messages": [{"role": "user", "content": "secret words"}]}


class Reader:
    """Somebody who follows the feed.

    Attributes:
        told: all events so far. comments: signs of life between them.
    """

    def __init__(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._stream, self.writer = stream, writer
        self.told: list[dict[str, object]] = []
        self.comments = 0

    async def wait_for(self, kind: str) -> dict[str, object]:
        """The next event of this type."""
        async with asyncio.timeout(LIMIT_S):
            while (line := await self._stream.readline()) != b"":
                if line.startswith(b"data: "):
                    self.told.append(json.loads(line[6:]))
                    if self.told[-1]["type"] == kind:
                        return self.told[-1]
                elif line.startswith(b": "):
                    self.comments += 1
                    if kind == "comment":
                        return {}
        raise AssertionError(f"{kind} did not come: {self.told}")

    async def rest(self) -> bytes:
        """All bytes to the end of the connection."""
        async with asyncio.timeout(LIMIT_S):
            return await self._stream.read()


@asynccontextmanager
async def following(up: Running) -> AsyncIterator[Reader]:
    stream, writer = await asyncio.open_connection("127.0.0.1", up.port)
    try:
        writer.write(f"GET {PATH} HTTP/1.1\r\nhost: 127.0.0.1:{up.port}\r\nconnection: close\r\n\r\n".encode())
        yield Reader(stream, writer)
    finally:
        writer.close()


async def test_a_request_is_told_of_from_its_start_to_its_end_and_no_word_of_it(door: Running) -> None:
    async with following(door) as reader:
        assert (await reader.wait_for("snapshot"))["requests"] == []
        await door.post(CHAT, HELLO)
        started, ended = await reader.wait_for("request_started"), await reader.wait_for("request_ended")
        await door.post(CHAT, {**HELLO, "stream": True})
        second = await reader.wait_for("request_ended")
    who = {"door": "openai", "route": "chat", "provider": "fake", "model": "fake-chat"}
    assert {**started, **who} == started
    assert ended["number"] == started["number"] != second["number"]
    assert isinstance(ended["completion_tokens"], int)
    assert ended["completion_tokens"] > 0
    assert isinstance(second["first_event_s"], float)
    assert "secret" not in json.dumps(reader.told)


async def test_models_and_the_queue_are_told_of(tmp_path: Path) -> None:
    scripted = ScriptedProvider([ModelInfo("tiny", "scripted")])
    async with running([scripted], tmp_path) as up, following(up) as reader:
        await reader.wait_for("snapshot")
        await up.post("/api/lmbridge/models/load", {"model": "tiny"})
        await up.post("/api/lmbridge/models/unload", {"model": "tiny"})
        await reader.wait_for("model_unloaded")
    assert [event["type"] for event in reader.told[1:]] == [
        *("queue_changed", "model_loading", "model_loaded", "queue_changed"),
        "model_unloaded",
    ]


async def test_the_snapshot_holds_what_is_under_way(
    upstream: FakeOpenAI, provider: OpenAIProvider, tmp_path: Path
) -> None:
    upstream.models = [{"id": "fault:mute"}]
    async with running([provider], tmp_path) as up:
        asking = asyncio.ensure_future(up.post(CHAT, {**HELLO, "model": "fault:mute"}))
        await until(lambda: len(up.hub.activity.turns) == 1)
        async with following(up) as reader:
            snapshot = await reader.wait_for("snapshot")
        (under,) = snapshot["requests"]  # type: ignore[misc]
        assert under["request"]["model"] == "fault:mute"  # type: ignore[index]
        assert under["seconds"] >= 0  # type: ignore[index]
        assert [state["model"] for state in snapshot["instances"]] == ["fault:mute"]  # type: ignore[attr-defined]
        asking.cancel()
        await asyncio.wait([asking])


async def test_silence_is_broken_by_signs_of_life(provider: OpenAIProvider, tmp_path: Path) -> None:
    settings = GatewaySettings(port=0, heartbeat_s=0.01)
    async with running([provider], tmp_path, settings) as up, following(up) as reader:
        for _ in range(3):
            await reader.wait_for("comment")
    assert reader.comments == 3


async def test_who_leaves_is_forgotten(door: Running) -> None:
    activity = door.hub.activity
    async with following(door) as reader:
        await reader.wait_for("snapshot")
        assert len(activity._listeners) == 1
    await until(lambda: not activity._listeners)


async def test_who_reads_too_slowly_is_dropped_and_nobody_waits_for_him(door: Running) -> None:
    activity, sent = door.hub.activity, 40 * MOST
    async with following(door) as slow, following(door) as quick:
        await slow.wait_for("snapshot")
        await quick.wait_for("snapshot")
        for number in range(sent):
            activity.unloaded("fake", "m" * 500, str(number))
            while number % 100 == 99 and len(quick.told) <= number + 1:
                await quick.wait_for("model_unloaded")
        assert quick.told[-1]["reason"] == str(sent - 1)
        dropped = await slow.wait_for("dropped")
        assert isinstance(dropped["lost"], int)
        assert MOST < dropped["lost"] < sent
        assert len(slow.told) - 2 + dropped["lost"] == sent
        assert (await slow.rest()).strip().endswith(b"0")


async def test_the_gateway_ends_at_once_although_somebody_follows(
    provider: OpenAIProvider, tmp_path: Path
) -> None:
    settings = GatewaySettings(port=0, grace_s=3600)
    async with running([provider], tmp_path, settings) as up, following(up) as reader:
        await reader.wait_for("snapshot")
        up.gateway.stop()
        assert (await reader.rest()).endswith(b"0\r\n\r\n")


async def test_asking_for_the_head_alone_does_not_hang(door: Running) -> None:
    got = await ask(door.port, "HEAD", PATH)
    assert got.status == 200
    assert got.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize(("scope", "status"), [("admin", 200), ("infer", 403), ("models", 403)])
async def test_following_needs_the_scope_of_who_looks_after_the_gateway(
    provider: OpenAIProvider, tmp_path: Path, scope: str, status: int
) -> None:
    key = KeyRing(tmp_path / "keys.json").create("one", scopes=(scope,))  # type: ignore[arg-type]
    async with running([provider], tmp_path) as up:
        got = await ask(up.port, "HEAD", PATH, headers={"x-api-key": key})
    assert got.status == status
