from __future__ import annotations

from pathlib import Path

import pytest
from tests.doors.gateway.asking import ask, running
from tests.fakes.provider import ScriptedProvider

from lmbridge.core.models import ModelInfo
from lmbridge.doors.gateway.ollama.routes import NOT_HERE
from lmbridge.doors.gateway.settings import GatewaySettings

MODELS = [ModelInfo("m", "scripted")]


@pytest.mark.parametrize("path", NOT_HERE)
async def test_what_is_not_done_here_is_refused_with_what_to_do(tmp_path: Path, path: str) -> None:
    method = "DELETE" if path == "/api/delete" else "POST"
    async with running([ScriptedProvider(MODELS)], tmp_path) as door:
        answer = await ask(door.port, method, path.replace("{digest}", "sha256:0"), b'{"model": "m"}')
    assert answer.status == 400
    assert answer.json == {"error": NOT_HERE[path]}


async def test_downloading_needs_a_key_that_is_good_for_more_than_asking(tmp_path: Path) -> None:
    settings = GatewaySettings(port=0, require_key=True)
    async with running([ScriptedProvider(MODELS)], tmp_path, settings) as door:
        key = door.gateway.keys.create("program", scopes=("infer",))
        bearer = {"authorization": f"Bearer {key}"}
        assert (await door.get("/api/tags")).status == 401
        assert (await door.get("/api/tags", bearer)).status == 200
        refused = await door.post("/api/pull", {"model": "a/b"}, bearer)
    assert refused.status == 403
    assert isinstance(refused.json["error"], str)


async def test_the_program_s_heartbeat_is_answered(tmp_path: Path) -> None:
    async with running([ScriptedProvider([])], tmp_path) as door:
        assert (await ask(door.port, "HEAD", "/")).status == 200
