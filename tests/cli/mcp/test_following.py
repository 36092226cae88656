from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.doors.gateway.asking import SESSION, Running, running
from tests.fakes.provider import ScriptedProvider

from lmbridge.cli.mcp.following import Following
from lmbridge.core.errors import NotRunning
from lmbridge.core.models import ModelInfo
from lmbridge.hub.hub import Hub
from lmbridge.machine.gateway_file import GatewayFile
from lmbridge.version import __version__


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Running]:
    scripted = ScriptedProvider([ModelInfo("there", "scripted")])
    async with running([scripted], tmp_path) as up:
        yield up


def told(gateway: Running, home: Path) -> GatewayFile:
    """Write down that the gateway runs, as it does itself."""
    file = GatewayFile.of_this_process(gateway.url, SESSION, __version__)
    file.write(home)
    return file


def own() -> Hub:
    return Hub([ScriptedProvider([ModelInfo("here", "scripted")])])


async def names(following: Following) -> list[str]:
    async with following.borrow() as hub:
        return [model.id for model in await hub.models()]


async def test_a_gateway_is_asked_while_it_runs_and_not_before_or_after(gateway: Running, tmp_path: Path) -> None:
    async with Following(tmp_path, own) as following:
        assert await names(following) == ["here"]
        file = told(gateway, tmp_path)
        assert await names(following) == ["there"]
        assert await names(following) == ["there"]
        file.remove(tmp_path)
        assert await names(following) == ["here"]


async def test_a_gateway_that_was_started_anew_is_found_with_its_new_key(gateway: Running, tmp_path: Path) -> None:
    async with Following(tmp_path, own) as following:
        GatewayFile.of_this_process("http://127.0.0.1:9", "old", __version__).write(tmp_path)
        with pytest.raises(NotRunning):
            await names(following)
        told(gateway, tmp_path)
        assert await names(following) == ["there"]


async def test_who_insists_on_a_gateway_gets_no_other_hub(tmp_path: Path) -> None:
    async with Following(tmp_path, own, gateway=True) as following:
        with pytest.raises(NotRunning):
            await names(following)


async def test_who_wants_no_gateway_does_not_look_for_one(gateway: Running, tmp_path: Path) -> None:
    told(gateway, tmp_path)
    async with Following(tmp_path, own, gateway=False) as following:
        assert await names(following) == ["here"]


async def test_what_was_made_ends_with_it(tmp_path: Path) -> None:
    scripted = ScriptedProvider([])
    following = Following(tmp_path, lambda: Hub([scripted]))
    await names(following)
    await following.aclose()
    await following.aclose()
    assert scripted.closed
