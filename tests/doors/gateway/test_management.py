"""The management routes, asked by the client that lmbridge itself asks them with."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.doors.gateway.asking import LIMIT_S, SESSION, Running, running, until
from tests.fakes.provider import ScriptedProvider, ScriptedRuntime

from lmbridge.clients.lmbridge import RemoteHub
from lmbridge.core.errors import (
    BridgeError,
    DownloadFailed,
    InvalidRequest,
    LoadFailed,
    ModelBusy,
    ModelNotFound,
    Unauthorized,
    WrongModelKind,
)
from lmbridge.core.models import Download, LoadOptions, ModelInfo
from lmbridge.core.requests import ChatRequest
from lmbridge.doors.gateway import GatewaySettings
from lmbridge.version import __version__

MODELS = [ModelInfo("tiny", "scripted", context_length=64), ModelInfo("vectors", "scripted", kind="embedding")]


@pytest.fixture
def scripted() -> ScriptedProvider:
    return ScriptedProvider(MODELS)


@pytest.fixture
async def up(scripted: ScriptedProvider, tmp_path: Path) -> AsyncIterator[Running]:
    async with running([scripted], tmp_path, GatewaySettings(port=0, heartbeat_s=0.2)) as one:
        yield one


@pytest.fixture
async def remote(up: Running) -> AsyncIterator[RemoteHub]:
    async with RemoteHub(up.url, SESSION) as one:
        yield one


async def test_the_state_of_the_gateway_is_told(remote: RemoteHub) -> None:
    state = await remote.status()
    assert (state.version, state.pid) == (__version__, os.getpid())
    assert [p.state for p in state.providers] == ["ready"]
    assert state.instances == ()


async def test_models_are_told_with_all_that_is_known(remote: RemoteHub) -> None:
    assert list(await remote.models()) == MODELS


async def test_a_name_is_resolved(remote: RemoteHub) -> None:
    assert await remote.resolve("TINY") == MODELS[0]
    assert (await remote.resolve("", "embedding")).id == "vectors"
    with pytest.raises(ModelNotFound, match="tnyi"):
        await remote.resolve("tnyi")
    with pytest.raises(WrongModelKind):
        await remote.resolve("tiny", "embedding")


async def test_one_model_is_talked_with_and_its_tokens_are_counted_where_that_can_be(remote: RemoteHub) -> None:
    model = await remote.model("tiny")
    assert model.info == MODELS[0]
    assert await model.count("hello") is None
    with pytest.raises(InvalidRequest, match="carries no tool calls out"):
        await model.act("hello", [])
    with pytest.raises(ModelNotFound):
        await remote.count(ChatRequest("tnyi", "hello"))


async def test_a_model_is_loaded_shown_and_unloaded(remote: RemoteHub, scripted: ScriptedProvider) -> None:
    state = await remote.load("tiny", LoadOptions(parallel=2))
    assert (state.model, state.state) == ("tiny", "ready")
    assert [i.model for i in await remote.instances()] == ["tiny"]
    assert (await remote.unload("tiny")).model == "tiny"
    assert scripted.unloads == ["tiny"]
    with pytest.raises(ModelNotFound):
        await remote.unload("tiny")


async def test_a_load_tells_how_far_it_is(remote: RemoteHub, scripted: ScriptedProvider) -> None:
    scripted.gate.clear()
    told: list[float] = []

    def progress(done: float) -> None:
        told.append(done)
        scripted.gate.set()

    await remote.load("tiny", progress=progress)
    assert 0.5 in told


async def test_a_long_load_gives_signs_of_life(remote: RemoteHub, scripted: ScriptedProvider) -> None:
    scripted.gate.clear()
    told: list[float] = []

    def progress(done: float) -> None:
        told.append(done)
        if len(told) == 3:
            scripted.gate.set()

    await remote.load("tiny", progress=progress)
    assert told[:3] == [0.5] * 3


async def test_a_load_that_fails_at_once_keeps_its_status(up: Running, scripted: ScriptedProvider) -> None:
    scripted.failure = LoadFailed("tiny", "no reason")
    got = await up.post("/api/lmbridge/models/load", {"model": "tiny"})
    assert (got.status, got.code) == (500, "load_failed")


async def test_a_load_that_fails_later_ends_with_the_error(remote: RemoteHub, scripted: ScriptedProvider) -> None:
    scripted.gate.clear()

    def progress(done: float) -> None:
        scripted.failure = LoadFailed("tiny", "no reason")
        scripted.gate.set()

    with pytest.raises(LoadFailed):
        await remote.load("tiny", progress=progress)


async def test_a_caller_who_leaves_a_load_leaves_the_gateway_in_order(
    up: Running, remote: RemoteHub, scripted: ScriptedProvider
) -> None:
    scripted.gate.clear()
    loading = asyncio.ensure_future(remote.load("tiny"))
    await until(lambda: scripted.loads == ["tiny"])
    loading.cancel()
    await asyncio.wait([loading])
    scripted.gate.set()
    assert (await remote.load("tiny")).state == "ready"


async def test_a_model_that_answers_is_not_unloaded(up: Running, remote: RemoteHub) -> None:
    async with up.hub.lease("tiny"):
        with pytest.raises(ModelBusy):
            await remote.unload("tiny")


@pytest.mark.parametrize(
    ("path", "body", "code", "param"),
    [
        ("resolve", {"model": 7}, "invalid_request", "model"),
        ("resolve", {"model": "tiny", "kind": "dance"}, "invalid_request", "kind"),
        ("load", {"model": "tiny", "options": {"parallel": "many"}}, "invalid_request", "options.parallel"),
        ("load", {"model": "tiny", "options": {"parallel": 0}}, "invalid_request", "options.parallel"),
        ("load", {"name": "tiny"}, "unsupported_parameter", "name"),
        ("unload", {}, "invalid_request", "model"),
        ("unload", [], "invalid_request", None),
    ],
)
async def test_a_bad_wish_is_refused_by_the_name_of_its_field(
    up: Running, path: str, body: object, code: str, param: str | None
) -> None:
    got = await up.post(f"/api/lmbridge/models/{path}", body)
    error = json.loads(got.body)["error"]
    assert (got.status, error["code"], error["param"]) == (400, code, param)


async def test_only_the_owner_may_stop_the_gateway(up: Running, remote: RemoteHub) -> None:
    async with RemoteHub(up.url, "lmb-other") as other:
        with pytest.raises(Unauthorized):
            await other.shutdown()
    await remote.shutdown()
    await until(lambda: closed(up))


def closed(up: Running) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", up.port)) != 0


async def test_a_model_is_downloaded_by_the_gateway_and_its_progress_told(tmp_path: Path) -> None:
    runtime, told, begun = ScriptedRuntime([]), list[Download](), asyncio.Event()
    runtime.gate.clear()

    def tell(download: Download) -> None:
        told.append(download)
        begun.set()

    async with (
        running([runtime], tmp_path, GatewaySettings(port=0, heartbeat_s=0.2)) as up,
        RemoteHub(up.url, SESSION) as remote,
        asyncio.TaskGroup() as group,
    ):
        work = group.create_task(remote.download("org/new", provider="runtime", progress=tell))
        await begun.wait()
        runtime.gate.set()
        assert await work == ModelInfo("org/new", "runtime")
        runtime.failure = DownloadFailed("org/other", "the line is cut")
        with pytest.raises(DownloadFailed, match="the line is cut"):
            await remote.download("org/other")
    assert told[0] == Download("downloading", 1, 2)


async def test_a_download_that_nobody_waits_for_any_more_is_stopped(tmp_path: Path) -> None:
    runtime = ScriptedRuntime([])
    runtime.gate.clear()
    async with running([runtime], tmp_path) as up, RemoteHub(up.url, SESSION) as remote:
        work = asyncio.ensure_future(remote.download("org/new"))
        await runtime.downloading.wait()
        work.cancel()
        await asyncio.wait([work])
        await asyncio.wait_for(runtime.stopping.wait(), LIMIT_S)


async def test_a_missing_model_is_downloaded_for_who_chats_when_the_settings_allow_it(tmp_path: Path) -> None:
    runtime = ScriptedRuntime([], fetches=True)
    async with running([runtime], tmp_path) as up, RemoteHub(up.url, SESSION) as remote:
        with pytest.raises(BridgeError):  # the scripted model answers no HTTP
            await remote.answer(ChatRequest("org/new", "x"))
    assert runtime.downloads == ["org/new"]
