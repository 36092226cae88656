"""What a gateway writes down of its callers, and how it tells."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import openai
import pytest
from tests.doors.gateway.asking import SESSION, Running, running
from tests.fakes.openai_server import FakeOpenAI

from lmbridge.core.provider import ProviderContext
from lmbridge.core.usage import UsageBy
from lmbridge.doors.gateway import GatewaySettings
from lmbridge.hub.keys import KeyRing
from lmbridge.providers.openai import OpenAIProvider

PATH = "/api/lmbridge/usage"
CHAT = "/v1/chat/completions"
SECRET = "the magpie knows"
HELLO = {"model": "fake-chat", "messages": [{"role": "user", "content": SECRET}]}
MESSAGES = {"model": "fake-chat", "max_tokens": 9, "messages": [{"role": "user", "content": SECRET}]}


async def rows(up: Running, by: UsageBy) -> dict[str, int]:
    """Calls by what they have in common, as the gateway tells."""
    got = await up.get(f"{PATH}?by={by}")
    assert got.status == 200
    return {row["name"]: row["calls"] for row in json.loads(got.body)["rows"]}


async def test_every_language_is_counted_once_streamed_and_not(door: Running) -> None:
    for path, body in (
        (CHAT, HELLO),
        ("/v1/messages", MESSAGES),
        ("/api/chat", HELLO),
        ("/api/v0/chat/completions", HELLO),
    ):
        for stream in (False, True):
            assert (await door.post(path, {**body, "stream": stream})).status == 200
    await door.post("/v1/embeddings", {"model": "fake-embed", "input": "a"})
    assert await rows(door, "task") == {
        "openai chat": 2,
        "anthropic messages": 2,
        "ollama chat": 2,
        "lmstudio chat": 2,
        "openai embedding": 1,
    }
    assert await rows(door, "where") == {"gateway": 9}
    assert sum(tally.requests for tally in door.hub.activity.tallies) == 9


async def test_tokens_errors_and_times_are_told(door: Running, upstream: FakeOpenAI) -> None:
    await door.post(CHAT, HELLO)
    await door.post(CHAT, {**HELLO, "model": "no-such-model"})  # it never had a model
    report = (await door.get(f"{PATH}?since=1&until=100000000000&model=FAKE")).json
    (row,) = report["rows"]  # type: ignore[misc]
    assert row["name"] == "fake:fake-chat"
    assert (row["calls"], row["errors"]) == (1, 0)
    assert row["prompt_tokens"] > 0
    assert row["completion_tokens"] > 0
    assert report["total"] == {**row, "name": ""}
    assert (report["by"], report["since"]) == ("model", 1.0)


async def test_who_called_is_the_name_of_the_key_that_was_shown(provider: OpenAIProvider, tmp_path: Path) -> None:
    key = KeyRing(tmp_path / "keys.json").create("laptop", scopes=("infer",))
    async with running([provider], tmp_path, GatewaySettings(port=0, require_key=True)) as up:
        mine = {"authorization": f"Bearer {key}"}
        await up.post(CHAT, HELLO, mine)
        assert (await up.get(PATH)).code == "unauthorized"
        assert (await up.get(PATH, mine)).code == "forbidden"  # it may ask models, not look after the gateway
        got = await up.get(f"{PATH}?by=caller", {"authorization": f"Bearer {SESSION}"})
        assert [row["name"] for row in json.loads(got.body)["rows"]] == ["laptop"]


@pytest.mark.parametrize("path", [CHAT, "/api/chat", "/v1/embeddings"])
async def test_a_caller_says_what_a_request_is_for(door: Running, path: str) -> None:
    body = {"model": "fake-embed", "input": "a"} if path == "/v1/embeddings" else HELLO
    for task in ("summaries", quote("Übersetzen, 100 %")):
        assert (await door.post(path, body, {"X-LMBridge-Task": task})).status == 200
    assert await rows(door, "task") == {"summaries": 1, "Übersetzen, 100 %": 1}


async def test_openais_client_says_it_with_a_header_of_its_own(door: Running) -> None:
    headers = {"x-lmbridge-task": "summaries"}
    async with openai.AsyncOpenAI(base_url=f"{door.url}/v1", api_key="-", default_headers=headers) as client:
        async with await client.chat.completions.create(
            model="fake-chat", messages=[{"role": "user", "content": "Hi"}], stream=True
        ) as chunks:
            assert [chunk async for chunk in chunks]
        await client.embeddings.create(model="fake-embed", input="a")
    assert await rows(door, "task") == {"summaries": 2}


@pytest.mark.parametrize("task", ["x" * 65, "two%0Alines", "%1B[31m"])
async def test_what_cannot_be_the_name_of_a_task_is_refused_by_name(door: Running, task: str) -> None:
    got = await door.post(CHAT, HELLO, {"x-lmbridge-task": task})
    assert (got.status, got.code, got.error["param"]) == (400, "invalid_request", "x-lmbridge-task")
    assert all(state.leases == 0 for state in await door.hub.instances())
    assert await rows(door, "task") == {}


@pytest.mark.parametrize("query", ["by=mood", "since=yesterday", "since=-1", "until=", "model=a&limit=3", "by="])
async def test_what_cannot_be_asked_is_refused(door: Running, query: str) -> None:
    got = await door.get(f"{PATH}?{query}")
    assert (got.status, got.code) == (400, "invalid_request")
    assert "It may have `by`, `since`, `until`, `model`" in str(got.error["message"])


def ledger_files(folder: Path) -> bytes:
    """What the ledger left on the disk."""
    return b"".join(file.read_bytes() for file in folder.iterdir() if file.name.startswith("usage.db"))


async def test_no_word_of_prompts_and_answers_is_kept(tmp_path: Path, upstream: FakeOpenAI) -> None:
    provider = OpenAIProvider.create({"url": upstream.url}, ProviderContext(tmp_path, "fake"))
    async with running([provider], tmp_path, GatewaySettings(port=0, store_days=0)) as up:
        for stream in (False, True):
            got = await up.post(CHAT, {**HELLO, "stream": stream})
            assert got.status == 200
        await up.post("/v1/embeddings", {"model": "fake-embed", "input": SECRET})
        assert b"magpie" not in (await up.get(PATH)).body
    kept = ledger_files(tmp_path)
    assert kept
    assert b"magpie" not in kept
