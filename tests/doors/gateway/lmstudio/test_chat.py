"""The native chat over a fake server: what is remembered, what is refused, and how its stream ends."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.doors.gateway.asking import Running, running
from tests.doors.gateway.lmstudio.streams import frames, words
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.provider import ScriptedCounter, ScriptedProvider

from lmbridge.core.models import ModelInfo
from lmbridge.doors.gateway import GatewaySettings
from lmbridge.hub.keys import KeyRing
from lmbridge.providers.openai import OpenAIProvider

PATH = "/api/v1/chat"
QUIRKS = GatewaySettings(port=0, lmstudio_quirks=True)
PIXEL = "data:image/png;base64,AA=="


def asking(text: object = "hi", **fields: object) -> dict[str, object]:
    return {"model": "fake-chat", "input": text, **fields}


async def test_an_answer_is_kept_and_can_be_gone_on_from(door: Running, upstream: FakeOpenAI) -> None:
    first = (await door.post(PATH, asking("My name is Ada.", system_prompt="Be brief."))).json
    assert re.fullmatch(r"resp_[0-9a-f]{48}", str(first["response_id"]))
    assert first["model_instance_id"] == "fake-chat"
    assert first["output"] == [{"type": "message", "content": "You said: My name is Ada. "}]
    follow = await door.post(PATH, asking("Who am I?", previous_response_id=first["response_id"]))
    assert follow.status == 200
    assert _sent(upstream) == [
        ("system", "Be brief."),
        ("user", "My name is Ada."),
        ("assistant", "You said: My name is Ada. "),
        ("user", "Who am I?"),
    ]


async def test_a_conversation_is_gone_on_from_with_the_key_it_was_begun_with(
    provider: OpenAIProvider, tmp_path: Path
) -> None:
    ring = KeyRing(tmp_path / "keys.json")
    ada, eve, root = (
        {"authorization": f"Bearer {ring.create(name, scopes=scopes)}"}
        for name, scopes in (("ada", ("infer",)), ("eve", ("infer",)), ("root", ("infer", "admin")))
    )
    async with running([provider], tmp_path) as door:
        first = (await door.post(PATH, asking("My name is Ada."), ada)).json["response_id"]
        refused = await door.post(PATH, asking("Who am I?", previous_response_id=first), eve)
        assert (refused.status, refused.error["param"]) == (400, "previous_response_id")
        for who in (ada, root):
            assert (await door.post(PATH, asking("Who am I?", previous_response_id=first), who)).status == 200
        path = f"/v1/responses/{first}"
        assert [(await door.get(path, who)).status for who in (eve, ada, root)] == [404, 200, 200]


async def test_any_earlier_answer_can_be_gone_on_from_so_that_conversations_branch(
    door: Running, upstream: FakeOpenAI
) -> None:
    first = (await door.post(PATH, asking("one"))).json["response_id"]
    second = (await door.post(PATH, asking("two", previous_response_id=first))).json["response_id"]
    await door.post(PATH, asking("three", previous_response_id=second))
    assert [text for role, text in _sent(upstream) if role == "user"] == ["one", "two", "three"]
    await door.post(PATH, asking("other", previous_response_id=first))
    assert [text for role, text in _sent(upstream) if role == "user"] == ["one", "other"]


async def test_a_new_system_prompt_takes_the_place_of_the_old_one(door: Running, upstream: FakeOpenAI) -> None:
    first = (await door.post(PATH, asking(system_prompt="Be brief."))).json["response_id"]
    await door.post(PATH, asking("x", previous_response_id=first, system_prompt="Be long."))
    assert [text for role, text in _sent(upstream) if role == "system"] == ["Be long."]


async def test_ids_mean_the_same_to_both_kinds_of_chat(door: Running, upstream: FakeOpenAI) -> None:
    native = (await door.post(PATH, asking("one"))).json["response_id"]
    crossed = await door.post("/v1/responses", asking("two", previous_response_id=native))
    assert crossed.status == 200
    await door.post(PATH, asking("three", previous_response_id=crossed.json["id"]))
    assert [text for role, text in _sent(upstream) if role == "user"] == ["one", "two", "three"]


async def test_what_is_not_to_be_stored_has_no_id(door: Running, provider: OpenAIProvider, tmp_path: Path) -> None:
    assert "response_id" not in (await door.post(PATH, asking(store=False))).json
    async with running([provider], tmp_path / "other", GatewaySettings(port=0, store_days=0)) as nothing_kept:
        assert "response_id" not in (await nothing_kept.post(PATH, asking())).json


async def test_an_unknown_earlier_answer_is_refused(provider: OpenAIProvider, tmp_path: Path) -> None:
    body = asking(previous_response_id=f"resp_{'0' * 48}")
    for settings in (GatewaySettings(port=0), QUIRKS):
        async with running([provider], tmp_path / str(settings.lmstudio_quirks), settings) as up:
            got = await up.post(PATH, body)
            assert (got.status, got.error["type"], got.code) == (400, "invalid_request", "invalid_value")
            assert got.error["param"] == "previous_response_id"
            assert ("30 days" in str(got.error["message"])) == settings.lmstudio_quirks


async def test_pictures_and_several_texts_are_one_turn(door: Running, upstream: FakeOpenAI) -> None:
    items = [
        {"type": "message", "content": "look"},
        {"type": "text", "content": " here"},
        {"type": "image", "data_url": PIXEL},
    ]
    assert (await door.post(PATH, asking(items))).status == 200
    (message,) = _messages(upstream)
    assert message["content"] == [
        {"type": "text", "text": "look"},
        {"type": "text", "text": " here"},
        {"type": "image_url", "image_url": {"url": PIXEL}},
    ]


async def test_ways_of_sampling_are_passed_on(door: Running, upstream: FakeOpenAI) -> None:
    sampling = {"temperature": 0.5, "top_p": 0.9, "top_k": 20, "min_p": 0.1, "repeat_penalty": 1.1}
    await door.post(PATH, asking(max_output_tokens=3, reasoning="low", **sampling))
    sent = upstream.requests[-1][1]
    assert {name: sent[name] for name in sampling} == sampling
    assert (sent["max_tokens"], sent["reasoning_effort"]) == (3, "low")


async def test_a_stream_says_everything_and_ends_with_the_whole_answer(door: Running) -> None:
    got = await door.post(PATH, asking("hello there", stream=True))
    assert got.headers["content-type"] == "text/event-stream; charset=utf-8"
    stream = frames(got.body)
    assert (stream[0]["type"], stream[-1]["type"]) == ("chat.start", "chat.end")
    result = stream[-1]["result"]
    assert words(stream) == result["output"][0]["content"] == "You said: hello there "
    assert result["stats"]["total_output_tokens"] > 0
    again = await door.post(PATH, asking("x", previous_response_id=result["response_id"], stream=True))
    assert frames(again.body)[-1]["type"] == "chat.end"


async def test_an_error_within_a_stream_is_followed_by_the_end(upstream: FakeOpenAI, door: Running) -> None:
    upstream.models = [{"id": "fault:cut", "object": "model"}, {"id": "fault:error-event", "object": "model"}]
    for model in ("fault:cut", "fault:error-event"):
        stream = frames((await door.post(PATH, asking(model=model, stream=True))).body)
        assert [frame["type"] for frame in stream[-3:]] == ["message.end", "error", "chat.end"]
        assert stream[-2]["error"]["type"] == "internal_error"
        result = stream[-1]["result"]
        assert result["output"] == [{"type": "message", "content": words(stream)}]
        assert "response_id" not in result


CATALOGUE: list[tuple[dict[str, object], int, str, str, str | None]] = [
    ({"input": "hi"}, 400, "invalid_request", "missing_required_parameter", "model"),
    ({"model": "fake-chat"}, 400, "invalid_request", "missing_required_parameter", "input"),
    (asking(ttl=60), 400, "invalid_request", "unrecognized_keys", "ttl"),
    (asking(stop=["x"]), 400, "invalid_request", "unrecognized_keys", "stop"),
    (asking(messages=[]), 400, "invalid_request", "unrecognized_keys", "messages"),
    (asking(["hi"]), 400, "invalid_request", "invalid_union", "input"),
    (asking([{"type": "text", "text": "x"}]), 400, "invalid_request", "invalid_union", "input"),
    (asking(temperature=7), 400, "invalid_request", "invalid_request", "temperature"),
    (asking(reasoning="much"), 400, "invalid_request", "invalid_request", "reasoning"),
    (asking(integrations=["mcp/x"]), 403, "invalid_request", None, "integrations"),
    (asking(model=""), 400, "invalid_request", "invalid_request", "model"),
    (asking(model="no/such-model"), 404, "model_not_found", "model_not_found", "model"),
    (asking(model="fake-embed"), 400, "invalid_request", "wrong_model_kind", "model"),
]


@pytest.mark.parametrize(("body", "status", "kind", "code", "param"), CATALOGUE)
async def test_what_is_wrong_is_told_before_a_stream_begins(
    door: Running, body: dict[str, Any], status: int, kind: str, code: str | None, param: str | None
) -> None:
    for stream in (False, True):
        got = await door.post(PATH, {**body, "stream": stream})
        assert (got.status, got.error["type"], got.code, got.error["param"]) == (status, kind, code, param)


async def test_a_body_that_is_no_json_is_an_error_of_this_family(door: Running) -> None:
    got = await door.post(PATH, b'{"model": ')
    assert (got.status, got.error["type"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("quirks", "status", "kind"), [(False, 400, "invalid_request"), (True, 500, "internal_error")]
)
async def test_too_long_a_prompt_is_refused_with_both_numbers(
    tmp_path: Path, quirks: bool, status: int, kind: str
) -> None:
    provider = ScriptedCounter([ModelInfo("m", "scripted")])
    async with running([provider], tmp_path, GatewaySettings(port=0, lmstudio_quirks=quirks)) as up:
        got = await up.post(PATH, {"model": "m", "input": "a " * 20})
        assert (got.status, got.error["type"]) == (status, kind)
        assert got.error["param"] == (None if quirks else "input")
        message = str(got.error["message"])
        assert "20" in message
        assert "8" in message
        assert ("greater than the context length" in message) == quirks


async def test_a_load_is_told_as_it_goes(tmp_path: Path) -> None:
    provider = ScriptedProvider([ModelInfo("m", "scripted")])
    async with running([provider], tmp_path) as up:
        stream = frames((await up.post(PATH, {"model": "m", "input": "a b", "stream": True})).body)
        kinds = [frame["type"] for frame in stream]
        assert kinds[:2] == ["chat.start", "model_load.start"]
        order = [kinds.index(kind) for kind in ("model_load.end", "prompt_processing.start", "message.start")]
        assert order == sorted(order)
        assert stream[-1]["result"]["stats"]["model_load_time_seconds"] >= 0
        whole = (await up.post(PATH, {"model": "m", "input": "a b"})).json
        assert isinstance(whole["stats"], dict)
        assert "model_load_time_seconds" not in whole["stats"]


async def test_a_load_that_fails_is_an_error_and_an_end(tmp_path: Path) -> None:
    provider = ScriptedProvider([ModelInfo("m", "scripted")])
    provider.failure = RuntimeError("no such thing")
    async with running([provider], tmp_path) as up:
        stream = frames((await up.post(PATH, {"model": "m", "input": "hi", "stream": True})).body)
        assert [frame["type"] for frame in stream[-2:]] == ["error", "chat.end"]
        assert stream[-2]["error"]["type"] == "model_load_failed"
        assert stream[-1]["result"]["output"] == []


async def test_the_context_is_that_of_the_request_which_loads_the_model(tmp_path: Path) -> None:
    provider = ScriptedProvider([ModelInfo("m", "scripted")])
    async with running([provider], tmp_path) as up:
        for context in (2048, 4096):
            await up.post(PATH, {"model": "m", "input": "hi", "context_length": context})
        assert [instance.options.context_length for instance in provider.alive.values()] == [2048]


def _messages(upstream: FakeOpenAI) -> list[dict[str, Any]]:
    messages = upstream.requests[-1][1]["messages"]
    assert isinstance(messages, list)
    return messages


def _sent(upstream: FakeOpenAI) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in _messages(upstream)]
