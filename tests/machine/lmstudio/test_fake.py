"""The command against the fake `lms`, a program of its own with a fake LM Studio behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.lmstudio import FakeInstall, install_fake

from lmbridge.core.errors import CommandFailed
from lmbridge.core.models import Download
from lmbridge.machine.lmstudio.home import Places
from lmbridge.machine.lmstudio.install import find_installation
from lmbridge.machine.lmstudio.lms import Limits, Lms


@pytest.fixture
def install(tmp_path: Path) -> Iterator[FakeInstall]:
    with install_fake(tmp_path / "Ada Ünal's home") as install:
        yield install


def lms_of(install: FakeInstall, limits: Limits = Limits()) -> Lms:
    places = Places(install.environ, install.user_home, root=install.user_home)
    found = find_installation(places)
    assert found.lms is not None
    return Lms(found.lms, environ=install.environ, limits=limits)


def test_a_fake_installation_is_found(install: FakeInstall) -> None:
    found = find_installation(Places(install.environ, install.user_home, root=install.user_home))
    assert (found.home, found.lms, found.app) == (install.home, install.lms, install.app)
    assert (found.port, found.host) == (install.port, "127.0.0.1")
    assert found.problems == ()


async def test_a_person_walks_through_its_commands(install: FakeInstall) -> None:
    lms = lms_of(install)
    assert (await lms.server_status()).running is False
    assert (await lms.daemon_status()).running is False
    await lms.server_start()
    assert (await lms.server_status()).port == install.port
    assert (await lms.daemon_up()).pid == install.pid
    key = next(model.key for model in await lms.ls() if model.kind == "llm")
    shares: list[float] = []
    await lms.load(key, context_length=4096, ttl=600, identifier="Ada's own", progress=shares.append)
    (loaded,) = await lms.ps()
    assert (loaded.identifier, loaded.model.key, loaded.context_length, loaded.ttl_s) == (
        "Ada's own",
        key,
        4096,
        600,
    )
    assert shares == sorted(shares)
    await lms.unload("Ada's own")
    assert await lms.ps() == []
    await lms.server_stop()
    with pytest.raises(CommandFailed, match="not running"):
        await lms.server_stop()
    assert await lms.version()


async def test_a_download_tells_how_far_it_is(install: FakeInstall) -> None:
    lms, told = lms_of(install), list[Download]()
    before = {model.key for model in await lms.ls()}
    await lms.get("openai/gpt-oss-20b", progress=told.append)
    assert {model.key for model in await lms.ls()} - before == {"openai/gpt-oss-20b"}
    assert told[-1].state == "completed"
    assert any(each.total_bytes for each in told)
    await lms.get("openai/gpt-oss-20b", progress=told.append)
    assert told[-1].state == "already_downloaded"


async def test_its_log_is_read_while_it_works(install: FakeInstall) -> None:
    lms = lms_of(install)
    await lms.server_start()
    async with asyncio.timeout(60), lms.log("server") as lines:
        record = asyncio.ensure_future(anext(lines))
        while not record.done():
            await lms.server_status()
        assert json.loads(await record)["data"]["type"] == "server.log"
