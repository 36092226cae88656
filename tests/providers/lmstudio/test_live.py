from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.fakes.lmstudio import FakeLMStudio, fake_lmstudio
from tests.providers.lmstudio.conftest import MakeInstall, places_of, silence, web_page

from lmbridge.clients.lmstudio import LMStudioSettings
from lmbridge.core.errors import ForeignServer, ProviderUnavailable
from lmbridge.providers.lmstudio import look as look_module
from lmbridge.providers.lmstudio.live import LiveClient
from lmbridge.providers.lmstudio.program import LMStudioProgram


@asynccontextmanager
async def live_of(fake: FakeLMStudio, home: Path) -> AsyncIterator[LiveClient]:
    """A client of what the files of the fake's computer name."""
    assert fake.install is not None
    live = LiveClient(LMStudioProgram(LMStudioSettings(), home=home, places=places_of(fake.install)))
    try:
        yield live
    finally:
        await live.aclose()


async def test_it_is_found_again_on_another_port_while_another_program_has_the_old_one(
    folder: Path, tmp_path: Path
) -> None:
    async with fake_lmstudio(folder) as fake, live_of(fake, tmp_path) as live:
        before = await live.get()
        old = fake.port
        await fake.stop()
        async with web_page(old):
            before.forget()
            with pytest.raises((ForeignServer, ProviderUnavailable), match="greeting with status 404"):
                await live.get()
            await fake.start()
            (fake.home / ".internal" / "http-server-config.json").write_text(f'{{"port": {fake.port}}}')
            assert (await live.get()).url == fake.url


async def test_one_that_comes_back_is_asked_over_the_same_client(folder: Path, tmp_path: Path) -> None:
    async with fake_lmstudio(folder) as fake, live_of(fake, tmp_path) as live:
        before = await live.get()
        for _ in range(3):
            fake.fault = "refuse"
            before.forget()
            with pytest.raises(ProviderUnavailable, match="does not run"):
                await live.get()
            fake.fault = ""
            assert await live.get() is before


async def test_a_port_on_which_somebody_is_silent_is_waited_for_once(
    make_install: MakeInstall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_module, "QUESTION", 0.6)
    install = make_install()
    assert install.port is not None
    async with silence(install.port) as silent:
        program = LMStudioProgram(LMStudioSettings(), home=tmp_path, places=places_of(install))
        live = LiveClient(program)
        for _ in range(20):
            with pytest.raises(ProviderUnavailable, match="it accepts connections"):
                await live.get()
            assert (await program.status(brief=True)).state == "foreign"
        assert silent.connections == 1
        await live.aclose()


async def test_who_does_not_start_it_does_not_wait_for_its_start(
    make_install: MakeInstall, tmp_path: Path
) -> None:
    install = make_install()
    install.inject("slow", "server start")
    install.wish(slow_s=1.5)
    live = LiveClient(LMStudioProgram(LMStudioSettings(), home=tmp_path, places=places_of(install)))
    async with asyncio.TaskGroup() as group:
        starting = [group.create_task(live.get(start=True)) for _ in range(3)]
        with pytest.raises(ProviderUnavailable):
            await live.get()
        assert not any(task.done() for task in starting)
    assert len({task.result() for task in starting}) == 1
    await live.aclose()
