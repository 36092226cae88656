from __future__ import annotations

import asyncio
import re
from pathlib import Path

from tests.doors.gateway.asking import running, until
from tests.fakes.provider import ScriptedProvider, ScriptedRuntime

from lmbridge.core.models import LoadOptions, ModelInfo
from lmbridge.version import __version__

MODELS = [ModelInfo("m", "scripted", context_length=4096, architecture="llama"), ModelInfo("n", "scripted")]


async def test_the_version_is_one_that_clients_can_compare(tmp_path: Path) -> None:
    async with running([ScriptedProvider([])], tmp_path) as door:
        told = (await door.get("/api/version")).json
    assert re.fullmatch(r"\d+\.\d+\.\d+", str(told["version"]))
    assert told["lmbridge"] == __version__


async def test_a_name_that_two_providers_have_is_told_with_the_provider(tmp_path: Path) -> None:
    theirs = ScriptedRuntime([ModelInfo("m", "runtime")])
    async with running([ScriptedProvider(MODELS), theirs], tmp_path) as door:
        listed = (await door.get("/api/tags")).json["models"]
        assert isinstance(listed, list)
        assert [model["name"] for model in listed] == ["m", "n", "runtime:m"]
        assert len({model["digest"] for model in listed}) == 3
        await door.hub.load("runtime:m", LoadOptions())
        running_now = (await door.get("/api/ps")).json["models"]
        assert isinstance(running_now, list)
        assert [model["name"] for model in running_now] == ["runtime:m"]


async def test_a_model_in_memory_that_nobody_lists_is_told_all_the_same(tmp_path: Path) -> None:
    theirs = ScriptedRuntime([])
    theirs.keep(ModelInfo("hidden", "runtime"))
    async with running([theirs], tmp_path) as door:
        (model,) = (await door.get("/api/ps")).json["models"]  # type: ignore[misc]
    assert (model["name"], model["context_length"]) == ("hidden", 512)


async def test_what_is_still_loading_is_not_in_memory_yet(tmp_path: Path) -> None:
    provider = ScriptedProvider(MODELS)
    provider.gate.clear()
    async with running([provider], tmp_path) as door:
        loading = asyncio.ensure_future(door.hub.load("m"))
        await until(lambda: bool(provider.loads))
        assert (await door.get("/api/ps")).json == {"models": []}
        provider.gate.set()
        await loading


async def test_a_model_to_show_may_be_named_in_the_older_way(tmp_path: Path) -> None:
    async with running([ScriptedProvider(MODELS)], tmp_path) as door:
        shown = (await door.post("/api/show", {"name": "m:latest"})).json
        missing = await door.post("/api/show", {"model": "nobody"})
    assert shown["model_info"] == {"general.architecture": "llama", "llama.context_length": 4096}
    assert missing.status == 404
    assert str(missing.json["error"]).startswith("model 'nobody' not found")
