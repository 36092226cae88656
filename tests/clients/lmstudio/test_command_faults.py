"""Every fault of the command `lms` at every call of the client that needs it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

import pytest
from tests.clients.lmstudio.calls import CHAT, MISSING, THINKER
from tests.fakes.lmstudio import HARMLESS, LMS_FAULTS, FakeLMStudio, fake_lmstudio

from lmbridge.clients.lmstudio import Habits, LMStudioClient, LMStudioSettings
from lmbridge.core.errors import BridgeError, BrokenAnswer, CommandFailed, DownloadFailed, ModelNotFound
from lmbridge.machine.lmstudio import child
from lmbridge.machine.lmstudio import lms as lms_module
from lmbridge.machine.lmstudio.lms import Limits, Lms

Tried = Callable[[str, int], None]
Run = Callable[[LMStudioClient, FakeLMStudio], Awaitable[None]]
Row = Mapping[str, type[BridgeError]]


async def load(client: LMStudioClient, fake: FakeLMStudio) -> None:
    """With a time limit, which LM Studio's HTTP does not take."""
    instance = await client.load_model(THINKER, ttl=600)
    assert [(each.id, each.ttl) for each in fake.runtime.loaded() if each.model.key == THINKER] == [
        (instance.id, 600)
    ]


async def unload(client: LMStudioClient, fake: FakeLMStudio) -> None:
    assert await client.unload_model(CHAT) == (CHAT,)
    assert fake.runtime.loaded() == []


async def download(client: LMStudioClient, fake: FakeLMStudio) -> None:
    assert (await client.download_model(MISSING)).state == "completed"
    assert fake.runtime.on_disk(MISSING) is not None


async def ensure_ready(client: LMStudioClient, fake: FakeLMStudio) -> None:
    assert (await client.ensure_ready(MISSING, download=True)).id == MISSING


CALLS: dict[str, tuple[Run, str]] = {
    "load_model": (load, "0.4"),
    "load_model, older": (load, "0.3"),
    "unload_model, older": (unload, "0.3"),
    "download_model, older": (download, "0.3"),
    "ensure_ready, older": (ensure_ready, "0.3"),
}
EVERY = set(CALLS)
LOADS, DOWNLOADS = {"load_model", "load_model, older"}, {"download_model, older", "ensure_ready, older"}


def raises(error: type[BridgeError], calls: Iterable[str]) -> Row:
    return dict.fromkeys(calls, error)


FAILING = {
    **dict.fromkeys(["fails", "fails-mutely", "fails-on-stdout", "killed"], raises(CommandFailed, EVERY)),
    **dict.fromkeys(["asks", "never-ends", "never-ends-whatever"], raises(CommandFailed, EVERY)),
    **dict.fromkeys(["prints-forever", "unknown-option", "unknown-command"], raises(CommandFailed, EVERY)),
    **dict.fromkeys(["garbage", "half-json", "prints-nothing"], raises(CommandFailed, EVERY)),
    # Lists without a single model in them are believed; what was to be done is then seen not to be.
    "wrong-shape": {
        **raises(ModelNotFound, LOADS),
        **raises(BrokenAnswer, {"unload_model, older"}),
        **raises(DownloadFailed, DOWNLOADS),
    },
}
HABITS = Habits(delay=0.005, settle=0.05, look_again=0.01)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "GRACE", 0.5)
    monkeypatch.setattr(child, "MOST_OUTPUT", 2**20)
    monkeypatch.setattr(lms_module, "MOST_NOISE", 2**20)


def test_the_table_speaks_of_every_fault() -> None:
    assert set(FAILING) | HARMLESS == set(LMS_FAULTS)


@pytest.mark.parametrize("fault", [*FAILING, *sorted(HARMLESS)])
async def test_a_fault_of_the_command(fault: str, tmp_path: Path, tried: Tried) -> None:
    row = FAILING.get(fault, {})
    wanted = {name: row[name].__name__ if name in row else "" for name in CALLS}
    async with asyncio.TaskGroup() as group:
        asked = {name: group.create_task(outcome(name, fault, tmp_path / name)) for name in CALLS}
    assert {name: task.result() for name, task in asked.items()} == wanted
    tried("Client of LM Studio, by its command", len(CALLS))


async def outcome(name: str, fault: str, folder: Path) -> str:
    run, version = CALLS[name]
    limit = 1.0 if fault.startswith("never-ends") else 60.0
    async with fake_lmstudio(folder, version=version) as fake:
        fake.hold(CHAT)
        assert fake.install is not None
        fake.install.wish(slow_s=0.1)
        fake.install.fault = fault
        lms = Lms(fake.install.lms, environ=fake.install.environ, limits=Limits(*[limit] * 5))
        async with LMStudioClient(LMStudioSettings(fake.url), lms=lms, habits=HABITS) as client:
            try:
                async with asyncio.timeout(60):
                    await run(client, fake)
            except BridgeError as error:
                named = any(name in str(error) for name in ("lms", "LM Studio", CHAT, THINKER, MISSING))
                return type(error).__name__ if named else f"an error that does not say whose it is: {error}"
            except AssertionError as error:
                return f"a wrong answer: {error}"
    return ""
