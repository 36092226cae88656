from __future__ import annotations

from pathlib import Path

import pytest
from tests.doors.gateway.asking import running
from tests.fakes.provider import ScriptedProvider


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/nothing", 404),
        ("POST", "/api/tags", 405),
        ("POST", "/api/chat", 415),
        ("GET", "/api/chat", 405),
    ],
)
async def test_every_error_of_its_paths_is_one_text(tmp_path: Path, method: str, path: str, status: int) -> None:
    async with running([ScriptedProvider([])], tmp_path) as door:
        if method == "GET":
            answer = await door.get(path)
        else:
            answer = await door.post(path, {}, {"content-type": "text/plain"})
    assert answer.status == status
    assert list(answer.json) == ["error"]
    assert isinstance(answer.json["error"], str)


async def test_the_paths_of_lmbridge_itself_keep_their_own_errors(tmp_path: Path) -> None:
    async with running([ScriptedProvider([])], tmp_path) as door:
        assert (await door.get("/api/lmbridge/nothing")).code == "route_not_found"
