from __future__ import annotations

import json
from pathlib import Path

import ollama
import pytest
from tests.doors.gateway.asking import Answer, Running, running, until
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.provider import ScriptedProvider, ScriptedRuntime

from lmbridge.core.errors import BrokenAnswer
from lmbridge.core.models import ModelInfo
from lmbridge.doors.gateway.settings import GatewaySettings

MODELS = [ModelInfo("m", "scripted"), ModelInfo("e", "scripted", kind="embedding")]
CHAT = {"model": "m", "messages": [{"role": "user", "content": "one two"}]}


def lines(answer: Answer) -> list[dict[str, object]]:
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.body.splitlines()]


async def test_a_chat_is_streamed_unless_that_is_not_wanted(tmp_path: Path) -> None:
    async with running([ScriptedProvider(MODELS)], tmp_path) as door:
        told = lines(await door.post("/api/chat", CHAT))
        whole = await door.post("/api/chat", {**CHAT, "stream": False})
        told_too = lines(await door.post("/api/generate", {"model": "m", "prompt": "one two"}))
    assert [line["done"] for line in told] == [False, False, True]
    assert told[0]["message"] == {"role": "assistant", "content": "one"}
    assert whole.headers["content-type"] == "application/json"
    assert whole.json["message"] == {"role": "assistant", "content": "onetwo"}
    assert [line["response"] for line in told_too] == ["one", "two", ""]


async def test_while_a_model_loads_there_are_lines_without_words(tmp_path: Path) -> None:
    provider = ScriptedProvider(MODELS)
    provider.gate.clear()
    settings = GatewaySettings(port=0, heartbeat_s=0.01)
    async with running([provider], tmp_path, settings) as door, ollama.AsyncClient(door.url, timeout=20) as client:
        told = []
        async for line in await client.chat("m", [{"role": "user", "content": "one two"}], stream=True):
            told.append((line.message.content, line.done))
            if len(told) == 2:
                provider.gate.set()
    assert told[:2] == [("", False), ("", False)]
    assert told[-3:] == [("one", False), ("two", False), ("", True)]


async def test_an_error_before_the_first_word_has_its_status_and_one_after_is_the_last_line(
    tmp_path: Path,
) -> None:
    class Breaking(ScriptedProvider):
        async def _events(self, instance, request):  # type: ignore[no-untyped-def]
            async for event in super()._events(instance, request):
                yield event
                if getattr(event, "text", "") == "one":
                    self.failure = BrokenAnswer("scripted", "it ended")

    provider = Breaking(MODELS)
    async with running([provider], tmp_path) as door:
        told = lines(await door.post("/api/chat", CHAT))
        early = await door.post("/api/chat", CHAT)
    assert told[0]["done"] is False
    assert list(told[-1]) == ["error"]
    assert "it ended" in str(told[-1]["error"])
    assert early.status == 502


async def test_thoughts_come_apart_from_the_answer(door: Running) -> None:
    body = {**CHAT, "model": "fake-chat", "think": "high"}
    told = lines(await door.post("/api/chat", body))
    thoughts = [line["message"].get("thinking", "") for line in told]  # type: ignore[attr-defined]
    assert "".join(thoughts) == "Let me think. "
    whole = (await door.post("/api/chat", {**body, "stream": False})).json["message"]
    assert isinstance(whole, dict)
    assert whole["thinking"] == "Let me think. "
    assert "think" not in whole["content"]
    prompt = {"model": "fake-chat", "prompt": "hi", "think": "low", "stream": False}
    assert (await door.post("/api/generate", prompt)).json["thinking"] == "Let me think. "


async def faulty(door: Running, upstream: FakeOpenAI, fault: str, **more: object) -> Answer:
    upstream.models = [{"id": f"fault:{fault}"}]
    return await door.post("/api/chat", {**CHAT, "model": f"fault:{fault}", **more})


BREAKS = {
    "cut": 502,
    "reset": 502,
    "torn": 502,
    "hangup": 502,
    "garbage": 502,
    "wrong-types": 502,
    "error-event": 502,
    "huge-line": 502,
    "not-http": 502,
    "no-finish": 502,
    "error-200": 502,
    "401": 502,
    "429": 429,
    "500": 502,
    "context": 400,
}


@pytest.mark.parametrize(("fault", "status"), list(BREAKS.items()))
async def test_an_answer_that_breaks_is_never_a_finished_one(
    door: Running, upstream: FakeOpenAI, fault: str, status: int
) -> None:
    whole = await faulty(door, upstream, fault, stream=False)
    assert (whole.status, list(whole.json)) == (status, ["error"])
    streamed = await faulty(door, upstream, fault)
    if streamed.status == 200:
        told = lines(streamed)
        assert list(told[-1]) == ["error"]
        assert not any(line.get("done") for line in told)
    else:
        assert (streamed.status, list(streamed.json)) == (status, ["error"])


@pytest.mark.parametrize("habit", ["wrong-call", "same-number", "empty-calls", "python-call", "leaked-call"])
@pytest.mark.parametrize("stream", [False, True])
async def test_odd_calls_are_calls_with_an_object_or_an_error(
    door: Running, upstream: FakeOpenAI, habit: str, stream: bool
) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = {"type": "function", "function": {"name": "weather", "parameters": schema}}
    answer = await faulty(door, upstream, habit, stream=stream, tools=[tool])
    told = lines(answer) if answer.status == 200 and stream else [answer.json]
    calls = [call for line in told for call in line.get("message", {}).get("tool_calls", [])]  # type: ignore[attr-defined]
    assert all(isinstance(call["function"]["arguments"], dict) for call in calls)
    assert told[-1].get("done") is True or list(told[-1]) == ["error"]


async def test_a_model_that_others_use_stays_although_one_does_not_want_it_kept(tmp_path: Path) -> None:
    provider = ScriptedProvider(MODELS)
    async with running([provider], tmp_path) as door:
        async with door.hub.lease("m"):
            assert (await door.post("/api/chat", {**CHAT, "keep_alive": 0})).status == 200
            assert (await door.post("/api/chat", {"model": "m", "keep_alive": 0})).status == 409
        assert provider.unloads == []
        assert (await door.post("/api/embed", {"model": "e", "input": "abc", "keep_alive": 0})).status == 200
        await until(lambda: provider.unloads == ["e"])


async def test_a_model_is_not_kept_after_a_failure_either(tmp_path: Path) -> None:
    provider = ScriptedProvider(MODELS)
    async with running([provider], tmp_path) as door:
        await door.post("/api/chat", CHAT)
        provider.failure = BrokenAnswer("scripted", "it ended")
        assert (await door.post("/api/chat", {**CHAT, "keep_alive": 0})).status == 502
        await until(lambda: provider.unloads == ["m"])


async def test_how_long_it_is_kept_counts_only_for_who_loads_it(tmp_path: Path) -> None:
    async with running([ScriptedProvider(MODELS)], tmp_path) as door:
        await door.post("/api/chat", {**CHAT, "keep_alive": "2m"})
        await door.post("/api/chat", {**CHAT, "keep_alive": "1h"})
        (state,) = await door.hub.instances()
    assert state.ttl == 120


@pytest.mark.parametrize("body", [{"model": "e", "input": []}, {"model": "e", "input": ""}, {"model": "e"}])
async def test_without_a_text_an_embedding_model_is_loaded(tmp_path: Path, body: dict[str, object]) -> None:
    provider = ScriptedProvider(MODELS)
    async with running([provider], tmp_path) as door:
        assert (await door.post("/api/embed", body)).json["embeddings"] == []
        older = await door.post("/api/embeddings", {"model": "e"})
    assert older.json == {"embedding": []}
    assert provider.loads == ["e"]


async def test_without_a_name_the_default_answers_under_its_own(tmp_path: Path) -> None:
    async with running([ScriptedProvider(MODELS)], tmp_path) as door:
        whole = (await door.post("/api/chat", {"messages": CHAT["messages"], "stream": False})).json
        vectors = (await door.post("/api/embed", {"input": ["abc", "d"]})).json
    assert whole["model"] == "m"
    assert (vectors["model"], vectors["embeddings"]) == ("e", [[3.0], [1.0]])


@pytest.mark.parametrize("route", ["chat", "generate", "embed", "embeddings"])
async def test_an_empty_body_loads_nothing(tmp_path: Path, route: str) -> None:
    provider = ScriptedProvider(MODELS)
    async with running([provider], tmp_path) as door:
        answer = await door.post(f"/api/{route}", {})
    assert (answer.status, answer.json) == (400, {"error": "`model` is missing."})
    assert provider.loads == []


async def test_a_missing_model_is_downloaded_first_where_the_settings_allow_that(tmp_path: Path) -> None:
    generous, strict = ScriptedRuntime(MODELS, fetches=True), ScriptedRuntime(MODELS)
    body = {**CHAT, "model": "hf.co/org/name:q8_0"}
    async with running([generous], tmp_path) as door:
        assert lines(await door.post("/api/chat", body))[-1]["done"] is True
    assert generous.downloads == ["org/name@q8_0"]
    async with running([strict], tmp_path) as door:
        assert (await door.post("/api/chat", body)).status == 404
    assert strict.downloads == []


async def test_its_requests_are_counted_by_their_routes(tmp_path: Path) -> None:
    async with running([ScriptedProvider(MODELS)], tmp_path) as door:
        await door.post("/api/chat", CHAT)
        await door.post("/api/generate", {"model": "m", "prompt": "hi"})
        await door.post("/api/embed", {"model": "e", "input": "hi"})
        told = (await door.get("/metrics")).body.decode()
    for route in ("ollama-chat", "ollama-generate", "ollama-embed"):
        assert route in told
