"""The Responses API at the door, over the fake OpenAI server: what is stored, continued, listed and stopped."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.doors.gateway.asking import Answer, Running, ask, running, until
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.provider import ScriptedProvider

from lmbridge.core.messages import Message
from lmbridge.core.models import ModelInfo
from lmbridge.doors.gateway import GatewaySettings
from lmbridge.doors.gateway import responses as door_file
from lmbridge.hub.keys import KeyRing, Scope
from lmbridge.hub.stored import Stored, Turn, new_id
from lmbridge.providers.openai import OpenAIProvider

ROUTE = "/v1/responses"
TOOL = {"type": "function", "name": "repeat", "parameters": {"type": "object"}}


@pytest.fixture
async def forgetful(provider: OpenAIProvider, tmp_path: Path) -> AsyncIterator[Running]:
    """A gateway that stores nothing."""
    async with running([provider], tmp_path, GatewaySettings(port=0, store_days=0)) as up:
        yield up


def asked(said: object = "Hello", **more: object) -> dict[str, object]:
    return {"model": "fake-chat", "input": said, **more}


async def create(door: Running, said: object = "Hello", **more: object) -> dict[str, Any]:
    got = await door.post(ROUTE, asked(said, **more))
    assert got.status == 200, got.body
    return got.json


async def delete(door: Running, path: str) -> Answer:
    return await ask(door.port, "DELETE", path)


def frames(body: bytes) -> list[dict[str, Any]]:
    """The data of each event of a stream."""
    found = body.decode().split("\n\n")
    assert found.pop() == ""
    return [json.loads(frame.partition("\ndata: ")[2]) for frame in found]


def words(response: dict[str, Any]) -> str:
    return "".join(
        part["text"] for item in response["output"] if item["type"] == "message" for part in item["content"]
    )


def said(upstream: FakeOpenAI) -> list[object]:
    """What the provider was sent last."""
    messages = upstream.requests[-1][1]["messages"]
    assert isinstance(messages, list)
    return [(message["role"], message["content"]) for message in messages]


async def ended(door: Running, id: str) -> dict[str, Any]:
    """The response of an answer in the background, when it has ended."""
    while True:
        got = (await door.get(f"{ROUTE}/{id}")).json
        if got["status"] not in ("queued", "in_progress"):
            return got


async def test_an_answer_is_stored_and_can_be_asked_for(door: Running) -> None:
    made = await create(door, metadata={"a": "b"})
    assert (made["status"], made["store"], words(made)) == ("completed", True, "You said: Hello ")
    assert made["usage"]["total_tokens"] == 9
    assert (await door.get(f"{ROUTE}/{made['id']}")).json == made


async def test_a_conversation_goes_on_from_any_answer(door: Running, upstream: FakeOpenAI) -> None:
    first = await create(door, "one", instructions="Be brief.")
    assert said(upstream) == [("system", "Be brief."), ("user", "one")]
    second = await create(door, "two", previous_response_id=first["id"])
    assert second["previous_response_id"] == first["id"]
    assert said(upstream) == [("user", "one"), ("assistant", "You said: one "), ("user", "two")]
    await create(door, "three", previous_response_id=first["id"], instructions="Be kind.")
    assert said(upstream)[0] == ("system", "Be kind.")
    assert said(upstream)[-1] == ("user", "three")
    assert len(said(upstream)) == 4


async def test_the_id_of_a_streamed_answer_can_be_used_when_its_end_is_told(door: Running) -> None:
    got = await door.post(ROUTE, asked(stream=True))
    assert got.headers["content-type"] == "text/event-stream; charset=utf-8"
    last = frames(got.body)[-1]
    assert last["type"] == "response.completed"
    stored = await door.get(f"{ROUTE}/{last['response']['id']}")
    assert stored.json == last["response"]


async def test_what_is_not_to_be_stored_is_not(door: Running) -> None:
    made = await create(door, store=False)
    assert made["store"] is False
    got = await door.get(f"{ROUTE}/{made['id']}")
    assert (got.status, got.code) == (404, "response_not_found")


async def test_an_unknown_answer_cannot_be_continued(door: Running) -> None:
    got = await door.post(ROUTE, asked(previous_response_id="resp_nobody"))
    assert (got.status, got.code) == (400, "previous_response_not_found")
    assert got.error["param"] == "previous_response_id"
    counted = await door.post(f"{ROUTE}/input_tokens", asked(previous_response_id="resp_nobody"))
    assert counted.code == "previous_response_not_found"


async def test_a_deleted_answer_is_gone_and_what_followed_it_is_not(door: Running, upstream: FakeOpenAI) -> None:
    first = await create(door, "one")
    second = await create(door, "two", previous_response_id=first["id"])
    got = await delete(door, f"{ROUTE}/{first['id']}")
    assert got.json == {"id": first["id"], "object": "response", "deleted": True}
    assert (await delete(door, f"{ROUTE}/{first['id']}")).status == 404
    assert (await door.get(f"{ROUTE}/{first['id']}")).status == 404
    await create(door, "three", previous_response_id=second["id"])
    assert said(upstream)[0] == ("user", "one")


async def test_a_turn_of_another_api_is_shown_and_continued(
    provider: OpenAIProvider, upstream: FakeOpenAI, tmp_path: Path
) -> None:
    stored = Stored(tmp_path / "responses.db")
    turn = Turn(
        id=new_id(),
        model="fake-chat",
        provider="fake",
        created=time.time(),
        system="Be kind.",
        messages=(Message("user", "one"),),
        answer=Message("assistant", "1"),
    )
    await stored.put(turn)
    await stored.aclose()
    async with running([provider], tmp_path) as door:
        shown = (await door.get(f"{ROUTE}/{turn.id}")).json
        assert (shown["id"], shown["status"], words(shown)) == (turn.id, "completed", "1")
        await create(door, "two", previous_response_id=turn.id)
    assert said(upstream) == [("system", "Be kind."), ("user", "one"), ("assistant", "1"), ("user", "two")]


async def test_tools_go_there_and_back(door: Running, upstream: FakeOpenAI) -> None:
    made = await create(door, "Hello", tools=[TOOL])
    (call,) = [item for item in made["output"] if item["type"] == "function_call"]
    assert (call["name"], call["arguments"]) == ("repeat", '{"text": "Hello"}')
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "done"}
    await create(door, [result], previous_response_id=made["id"])
    assert said(upstream)[-1] == ("tool", "done")
    await create(door, [{"role": "user", "content": "Hello"}, *made["output"], result], store=False)
    assert said(upstream)[-1] == ("tool", "done")


# ---- errors


@pytest.mark.parametrize("fault", ["cut", "garbage", "error-event", "no-finish"])
async def test_a_stream_that_breaks_is_told_twice_and_not_stored(
    door: Running, upstream: FakeOpenAI, fault: str
) -> None:
    upstream.models = [{"id": f"fault:{fault}", "object": "model"}]
    got = await door.post(ROUTE, {**asked(stream=True), "model": f"fault:{fault}"})
    failed, error = frames(got.body)[-2:]
    assert (failed["type"], error["type"]) == ("response.failed", "error")
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"]["code"] == error["error"]["code"] == error["code"]
    assert (await door.get(f"{ROUTE}/{failed['response']['id']}")).status == 404


async def test_an_error_before_the_first_word_keeps_its_status(door: Running, upstream: FakeOpenAI) -> None:
    upstream.models = [{"id": "fault:context", "object": "model"}]
    got = await door.post(ROUTE, {**asked(stream=True), "model": "fault:context"})
    assert (got.status, got.code) == (400, "context_length_exceeded")


async def test_what_cannot_be_honoured_is_refused_by_name(door: Running) -> None:
    got = await door.post(ROUTE, asked(conversation="conv_1"))
    assert (got.status, got.code, got.error["param"]) == (400, "unsupported_parameter", "conversation")


async def test_a_provider_that_cannot_count_says_so(door: Running) -> None:
    got = await door.post(f"{ROUTE}/input_tokens", asked())
    assert (got.status, got.error["param"]) == (400, "model")


async def test_an_answer_is_not_streamed_again(door: Running) -> None:
    made = await create(door)
    for query in ("stream=true", "starting_after=3"):
        got = await door.get(f"{ROUTE}/{made['id']}?{query}")
        assert (got.status, got.error["param"]) == (400, "stream")
    assert (await door.get(f"{ROUTE}/{made['id']}?stream=false&include[]=x")).status == 200


async def test_who_waits_for_a_model_hears_how_it_stands(tmp_path: Path) -> None:
    provider = ScriptedProvider([ModelInfo("slow", "scripted")])
    provider.gate.clear()
    async with (
        running([provider], tmp_path, GatewaySettings(port=0, heartbeat_s=0.01)) as up,
        openai.AsyncOpenAI(base_url=f"{up.url}/v1", api_key="none", max_retries=0, timeout=60) as client,
        client.responses.stream(model="slow", input="one two") as stream,
    ):
        told = []
        async for event in stream:
            told.append(event.type)
            if told.count("response.in_progress") == 3:
                provider.gate.set()
        assert (await stream.get_final_response()).status == "completed"
    assert told[0] == "response.created"
    assert told.count("response.created") == 1
    assert told[-1] == "response.completed"


# ---- whose they are


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, dict[str, str]]:
    """Headers with a key of each of some people; from now on keys are needed."""
    ring = KeyRing(tmp_path / "keys.json")
    scopes: dict[str, tuple[Scope, ...]] = {
        "ada": ("infer",),
        "eve": ("infer", "models"),
        "root": ("infer", "admin"),
    }
    return {name: {"x-api-key": ring.create(name, scopes=each)} for name, each in scopes.items()}


async def test_an_answer_is_there_for_the_key_it_was_made_with_and_for_who_looks_after_the_gateway(
    keys: dict[str, dict[str, str]], door: Running
) -> None:
    made = (await door.post(ROUTE, asked("Mine."), keys["ada"])).json
    path, more = f"{ROUTE}/{made['id']}", asked("And?", previous_response_id=made["id"])
    native = {"model": "fake-chat", "input": "And?", "previous_response_id": made["id"]}
    for name, status in (("eve", 404), ("ada", 200), ("root", 200)):
        who = keys[name]
        assert [(await door.get(one, who)).status for one in (path, f"{path}/input_items")] == [status] * 2
        for route, body in ((ROUTE, more), ("/api/v1/chat", native)):
            assert (await door.post(route, body, who)).status == (400 if status == 404 else 200)
        counted = await door.post(f"{ROUTE}/input_tokens", more, who)
        assert (counted.code == "previous_response_not_found") == (status == 404)
    assert (await door.post(f"{path}/cancel", {}, keys["eve"])).status == 404
    assert (await ask(door.port, "DELETE", path, headers=keys["eve"])).status == 404
    assert (await ask(door.port, "DELETE", path, headers=keys["ada"])).status == 200


async def test_an_answer_in_the_background_is_nobody_elses_either(
    keys: dict[str, dict[str, str]], door: Running, upstream: FakeOpenAI
) -> None:
    upstream.models = [{"id": "fault:mute", "object": "model"}]
    body = asked("Mine.", background=True, model="fault:mute")
    made = (await door.post(ROUTE, body, keys["ada"])).json
    path, more = f"{ROUTE}/{made['id']}", asked("And?", previous_response_id=made["id"])
    assert (await door.get(path, keys["eve"])).status == 404
    assert (await door.get(f"{path}/input_items", keys["eve"])).status == 404
    assert (await door.post(f"{path}/cancel", {}, keys["eve"])).status == 404
    assert (await ask(door.port, "DELETE", path, headers=keys["eve"])).status == 404
    assert (await door.post(ROUTE, more, keys["eve"])).code == "previous_response_not_found"
    assert (await door.get(path, keys["ada"])).json["status"] in ("queued", "in_progress")
    assert (await door.post(ROUTE, more, keys["ada"])).code == "invalid_request"
    assert (await door.post(f"{path}/cancel", {}, keys["root"])).json["status"] == "cancelled"


async def test_what_was_made_where_no_key_was_needed_is_for_every_key(
    provider: OpenAIProvider, tmp_path: Path
) -> None:
    async with running([provider], tmp_path) as open_to_all:
        made = await create(open_to_all)
        assert (await open_to_all.get(f"{ROUTE}/{made['id']}")).status == 200
    key = KeyRing(tmp_path / "keys.json").create("ada", scopes=("infer",))
    async with running([provider], tmp_path) as closed:
        assert (await closed.get(f"{ROUTE}/{made['id']}")).status == 401
        assert (await closed.get(f"{ROUTE}/{made['id']}", {"x-api-key": key})).json["id"] == made["id"]


# ---- a gateway that stores nothing


async def test_where_nothing_is_stored_answers_say_so(forgetful: Running) -> None:
    made = await create(forgetful)
    assert made["store"] is False
    assert (await forgetful.get(f"{ROUTE}/{made['id']}")).status == 404


@pytest.mark.parametrize("wish", ["store", "background"])
async def test_where_nothing_is_stored_who_insists_is_refused(forgetful: Running, wish: str) -> None:
    got = await forgetful.post(ROUTE, asked(**{wish: True}))
    assert (got.status, got.error["param"]) == (400, wish)


async def test_a_file_that_is_no_store_is_told_before_anything_is_answered(
    provider: OpenAIProvider, upstream: FakeOpenAI, tmp_path: Path
) -> None:
    (tmp_path / "responses.db").write_bytes(b"something else" * 100)
    async with running([provider], tmp_path) as door:
        got = await door.post(ROUTE, asked())
        assert (got.status, got.code) == (500, "config_invalid")
        assert not [path for path, _ in upstream.requests if path.endswith("/completions")]
        assert (await door.post(ROUTE, asked(store=False))).status == 200


# ---- what LM Studio does


@pytest.mark.parametrize("quirks", [False, True])
async def test_a_cut_answer_is_incomplete_unless_lm_studio_is_imitated(
    provider: OpenAIProvider, tmp_path: Path, quirks: bool
) -> None:
    async with running([provider], tmp_path, GatewaySettings(port=0, lmstudio_quirks=quirks)) as door:
        made = await create(door, max_output_tokens=1)
    assert made["status"] == ("completed" if quirks else "incomplete")
    assert made["incomplete_details"] == (None if quirks else {"reason": "max_output_tokens"})
    assert made["top_p"] is (False if quirks else None)


# ---- in the background


async def test_an_answer_in_the_background_is_asked_for_by_its_id(door: Running) -> None:
    begun = await create(door, background=True)
    assert (begun["status"], begun["output"], begun["background"]) == ("queued", [], True)
    done = await ended(door, begun["id"])
    assert (done["status"], words(done), done["created_at"]) == (
        "completed",
        "You said: Hello ",
        begun["created_at"],
    )
    again = await door.post(f"{ROUTE}/{begun['id']}/cancel", {})
    assert again.json == done


async def test_one_that_fails_says_why(door: Running, upstream: FakeOpenAI) -> None:
    upstream.models = [{"id": "fault:500", "object": "model"}]
    begun = await create(door, background=True, model="fault:500")
    done = await ended(door, begun["id"])
    assert (done["status"], done["error"]["code"]) == ("failed", "provider_refused")
    assert (await delete(door, f"{ROUTE}/{begun['id']}")).status == 200
    assert (await door.get(f"{ROUTE}/{begun['id']}")).status == 404


async def test_one_that_is_cancelled_frees_the_engine(door: Running, upstream: FakeOpenAI) -> None:
    upstream.models = [{"id": "fault:mute", "object": "model"}]
    begun = await create(door, background=True, model="fault:mute")
    await until(lambda: any(tally.in_flight for tally in door.hub.activity.tallies))
    assert (await door.get(f"{ROUTE}/{begun['id']}")).json["status"] == "in_progress"
    too_soon = await door.post(ROUTE, asked(previous_response_id=begun["id"]))
    assert (too_soon.status, too_soon.error["param"]) == (400, "previous_response_id")
    listed = (await door.get(f"{ROUTE}/{begun['id']}/input_items")).json
    assert listed["data"][0]["content"] == [{"type": "input_text", "text": "Hello"}]
    for _ in range(2):
        got = await ask(door.port, "POST", f"{ROUTE}/{begun['id']}/cancel")
        assert (got.status, got.json["status"]) == (200, "cancelled")
    assert not any(state.leases for state in await door.hub.instances())


async def test_one_that_is_deleted_is_stopped(door: Running, upstream: FakeOpenAI) -> None:
    upstream.models = [{"id": "fault:mute", "object": "model"}]
    begun = await create(door, background=True, model="fault:mute")
    await until(lambda: any(tally.in_flight for tally in door.hub.activity.tallies))
    assert (await delete(door, f"{ROUTE}/{begun['id']}")).status == 200
    assert (await door.get(f"{ROUTE}/{begun['id']}")).status == 404
    assert not any(state.leases for state in await door.hub.instances())


async def test_only_what_is_in_the_background_can_be_cancelled(door: Running) -> None:
    made = await create(door)
    got = await door.post(f"{ROUTE}/{made['id']}/cancel", {})
    assert (got.status, got.error["param"]) == (400, "response_id")
    assert (await door.post(f"{ROUTE}/resp_nobody/cancel", {})).status == 404


async def test_there_is_an_end_to_what_is_in_the_background(
    door: Running, upstream: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_file, "MOST_AT_WORK", 1)
    monkeypatch.setattr(door_file, "MOST_ENDED", 1)
    upstream.models = [{"id": name, "object": "model"} for name in ("fault:mute", "fault:500")]
    working = await create(door, background=True, model="fault:mute")
    got = await door.post(ROUTE, asked(background=True))
    assert (got.status, got.code) == (409, "model_busy")
    await ask(door.port, "POST", f"{ROUTE}/{working['id']}/cancel")
    failing = await create(door, background=True, model="fault:500")
    assert (await ended(door, failing["id"]))["status"] == "failed"
    assert (await door.get(f"{ROUTE}/{working['id']}")).status == 404


# ---- lists


async def test_what_was_asked_is_listed_piece_by_piece(door: Running) -> None:
    turns = [{"role": "user", "content": str(number)} for number in range(5)]
    made = await create(door, turns)
    path = f"{ROUTE}/{made['id']}/input_items"
    newest = (await door.get(path)).json
    assert [item["content"][0]["text"] for item in newest["data"]] == ["4", "3", "2", "1", "0"]
    assert (newest["object"], newest["has_more"]) == ("list", False)
    first = (await door.get(f"{path}?order=asc&limit=2")).json
    assert [item["content"][0]["text"] for item in first["data"]] == ["0", "1"]
    assert (first["has_more"], first["first_id"]) == (True, first["data"][0]["id"])
    rest = (await door.get(f"{path}?order=asc&limit=100&after={first['last_id']}")).json
    assert [item["content"][0]["text"] for item in rest["data"]] == ["2", "3", "4"]
    none = (await door.get(f"{path}?order=asc&after={rest['last_id']}")).json
    assert (none["data"], none["first_id"], none["last_id"]) == ([], None, None)


@pytest.mark.parametrize("query", ["order=up", "limit=0", "limit=101", "limit=x", "limit=-1", "after=nothing"])
async def test_a_list_that_cannot_be_is_refused(door: Running, query: str) -> None:
    made = await create(door)
    got = await door.get(f"{ROUTE}/{made['id']}/input_items?{query}")
    assert (got.status, got.error["param"]) == (400, query.partition("=")[0])
