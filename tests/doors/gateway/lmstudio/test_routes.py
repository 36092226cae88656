"""The routes themselves, over a provider that does what it is told."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.doors.gateway.asking import SESSION, Running, running, until
from tests.fakes.provider import ScriptedProvider, ScriptedRuntime

from lmbridge.clients.lmstudio.identity import OURSELVES
from lmbridge.core.models import ModelInfo
from lmbridge.doors.gateway import GatewaySettings

CHAT = ModelInfo("pub/chat", "scripted", context_length=4096)
EMBED = ModelInfo("embed", "scripted", "embedding")


@pytest.fixture
def provider() -> ScriptedProvider:
    return ScriptedProvider([CHAT, EMBED])


@pytest.fixture
async def door(provider: ScriptedProvider, tmp_path: Path) -> AsyncIterator[Running]:
    async with running([provider], tmp_path) as up:
        yield up


async def test_it_greets_in_exactly_these_bytes_without_a_key_and_says_who_it_is(tmp_path: Path) -> None:
    async with running([], tmp_path, GatewaySettings(port=0, require_key=True)) as up:
        got = await up.get("/lmstudio-greeting")
        assert (got.status, got.body) == (200, b'{"lmstudio":true}')
        assert got.headers["content-type"] == "application/json; charset=utf-8"
        assert got.headers["x-lmbridge"] == OURSELVES
        refused = await up.get("/api/v1/models")
        assert (refused.status, refused.code) == (401, "invalid_api_key")
        assert (await up.get("/api/v1/models", {"authorization": f"Bearer {SESSION}"})).status == 200


async def test_both_lists_tell_what_is_loaded(door: Running) -> None:
    await door.post("/api/v1/models/load", {"model": "pub/chat"})
    newer, older = (await door.get("/api/v1/models")).json, (await door.get("/api/v0/models")).json
    assert list(newer) == ["models"]
    assert list(older) == ["data", "object"]
    assert isinstance(newer["models"], list)
    assert [model["key"] for model in newer["models"]] == ["pub/chat", "embed"]
    assert newer["models"][0]["loaded_instances"] == [
        {"id": "pub/chat", "config": {"context_length": 4096, "parallel": 4}}
    ]
    assert isinstance(older["data"], list)
    assert [model["state"] for model in older["data"]] == ["loaded", "not-loaded"]
    one = await door.get("/api/v0/models/pub/chat")
    assert one.json == older["data"][0]
    missing = await door.get("/api/v0/models/no/such-model")
    assert (missing.status, missing.error["type"]) == (404, "model_not_found")


async def test_where_requests_load_nothing_the_older_list_shows_what_is_loaded(
    provider: ScriptedProvider, tmp_path: Path
) -> None:
    async with running([provider], tmp_path) as up:
        up.hub.jit = False
        assert (await up.get("/api/v0/models")).json["data"] == []
        assert len((await up.get("/api/v1/models")).json["models"]) == 2  # type: ignore[arg-type]


async def test_a_load_stays_and_is_done_again_each_time(door: Running, provider: ScriptedProvider) -> None:
    ids = [(await door.post("/api/v1/models/load", {"model": "PUB/chat"})).json["instance_id"] for _ in range(3)]
    assert ids == ["pub/chat", "pub/chat:2", "pub/chat:3"]
    assert {instance.options.ttl for instance in provider.alive.values()} == {0.0}
    embedding = (await door.post("/api/v1/models/load", {"model": "embed", "echo_load_config": True})).json
    assert (embedding["type"], embedding["load_config"]) == ("embedding", {"context_length": 0})


@pytest.mark.parametrize(
    ("path", "body", "status", "kind", "code"),
    [
        ("load", {}, 400, "invalid_request", "missing_required_parameter"),
        ("load", {"model": "pub/chat", "ttl": 60}, 400, "invalid_request", "unrecognized_keys"),
        ("load", {"model": "pub/chat", "rope_frequency_scale": 1}, 400, "invalid_request", "unrecognized_keys"),
        ("load", {"model": "pub/chat", "num_experts": 8}, 400, "invalid_request", "unsupported_parameter"),
        ("load", {"model": "no/such"}, 404, "model_not_found", "model_not_found"),
        ("unload", {}, 400, "invalid_request", "missing_required_parameter"),
        ("unload", {"instance_id": "pub/chat"}, 404, "model_not_found", "model_not_found"),
        ("download", {"model": "x/y", "quantization": "Q4"}, 400, "invalid_request", "invalid_request"),
        ("download", {"model": "x/y"}, 400, "invalid_request", "invalid_request"),
    ],
)
async def test_what_is_wrong_is_told_in_lm_studios_words(
    door: Running, path: str, body: dict[str, object], status: int, kind: str, code: str
) -> None:
    got = await door.post(f"/api/v1/models/{path}", body)
    assert (got.status, got.error["type"], got.code) == (status, kind, code)


async def test_a_load_that_fails_says_so(door: Running, provider: ScriptedProvider) -> None:
    provider.failure = RuntimeError("no such thing")
    got = await door.post("/api/v1/models/load", {"model": "pub/chat"})
    assert (got.status, got.error["type"]) == (500, "model_load_failed")


async def test_unloading_is_by_instance_and_not_by_key(door: Running, provider: ScriptedProvider) -> None:
    for _ in range(2):
        await door.post("/api/v1/models/load", {"model": "pub/chat"})
    for name, status in (("pub/chat", 200), ("pub/chat", 404), ("pub/chat:2", 200)):
        got = await door.post("/api/v1/models/unload", {"instance_id": name})
        assert got.status == status
        assert status == 404 or got.json == {"instance_id": name}
    assert provider.alive == {}


async def test_a_download_is_a_job_that_is_asked_until_it_is_over(tmp_path: Path) -> None:
    shop = ScriptedRuntime([])
    shop.gate.clear()
    async with running([shop], tmp_path) as up:
        begun = (await up.post("/api/v1/models/download", {"model": "x/y"})).json
        assert begun["status"] == "downloading"
        assert re.fullmatch(r"job_[0-9a-f]{10}", str(begun["job_id"]))
        assert begun["total_size_bytes"] == 2
        path = f"/api/v1/models/download/status/{begun['job_id']}"
        assert (await up.get(path)).json["downloaded_bytes"] == 1
        shop.gate.set()
        await until(lambda: up.gateway._lmstudio._jobs.find(str(begun["job_id"])).ended is not None)
        done = (await up.get(path)).json
        assert (done["status"], "completed_at" in done) == ("completed", True)
        assert shop.downloads == ["x/y"]


async def test_an_unknown_job_is_told(door: Running) -> None:
    got = await door.get("/api/v1/models/download/status/job_0000000000")
    assert (got.status, got.error["type"]) == (404, "job_not_found")


async def test_a_path_that_is_not_there_is_told_in_this_family(door: Running) -> None:
    for path in ("/api/v1/nothing", "/api/v0/nothing"):
        got = await door.get(path)
        assert (got.status, got.error["type"], got.code) == (404, "invalid_request", "route_not_found")


async def test_changing_which_models_are_here_needs_a_key_that_may(door: Running, tmp_path: Path) -> None:
    ring = door.gateway.keys
    only_asks = ring.create("asker", scopes=("infer",))
    may_change = ring.create("changer", scopes=("models",))
    async with running([], tmp_path) as up:
        body = {"model": "x"}
        for path in ("load", "download"):
            got = await up.post(f"/api/v1/models/{path}", body, {"authorization": f"Bearer {only_asks}"})
            assert got.status == 403
            got = await up.post(f"/api/v1/models/{path}", body, {"authorization": f"Bearer {may_change}"})
            assert got.status in (400, 404)
