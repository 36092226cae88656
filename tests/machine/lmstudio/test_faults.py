"""Every fault of the fake `lms` at every call of ours: a typed error within its limit, or the right answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest
from tests.fakes.lmstudio import HARMLESS, LMS_FAULTS, FakeInstall, install_fake

from lmbridge.core.errors import CommandFailed
from lmbridge.machine.lmstudio import child
from lmbridge.machine.lmstudio import lms as lms_module
from lmbridge.machine.lmstudio.lms import Limits, Lms

KEY = "qwen/qwen3-4b-2507"

CALLS: dict[str, Callable[[Lms], Awaitable[object]]] = {
    "version": lambda lms: lms.version(),
    "server_status": lambda lms: lms.server_status(),
    "server_start": lambda lms: lms.server_start(),
    "server_stop": lambda lms: lms.server_stop(),
    "daemon_status": lambda lms: lms.daemon_status(),
    "daemon_up": lambda lms: lms.daemon_up(),
    "daemon_down": lambda lms: lms.daemon_down(),
    "bootstrap": lambda lms: lms.bootstrap(),
    "ls": lambda lms: lms.ls(),
    "ps": lambda lms: lms.ps(),
    "load": lambda lms: lms.load(KEY),
    "unload": lambda lms: lms.unload(KEY),
    "get": lambda lms: lms.get("openai/gpt-oss-20b"),
    "log": lambda lms: whole_log(lms),
}

# What is read at these; the others only tell by their status whether they did anything, so that whoever uses
# them looks at what became of it.
READ = {"server_status", "daemon_status", "daemon_up", "ls", "ps", "unload"}
EVERYWHERE = set(CALLS)

FAILS = {
    "fails": EVERYWHERE,
    "fails-mutely": EVERYWHERE,
    "fails-on-stdout": EVERYWHERE,
    "killed": EVERYWHERE,
    "asks": EVERYWHERE,
    "never-ends": EVERYWHERE - {"log"},
    "never-ends-whatever": EVERYWHERE - {"log"},
    "prints-forever": EVERYWHERE,
    "unknown-option": EVERYWHERE,
    "unknown-command": EVERYWHERE,
    "garbage": READ,
    "half-json": READ,
    "prints-nothing": READ,
    # Lists are read leniently: entries that are none are passed over.
    "wrong-shape": READ - {"ls", "ps", "unload"},
}
"""Which calls fail. A log of which nothing comes is no failure: nothing may have happened."""

PATIENT, IMPATIENT = Limits(60, 60, 60, 60, 60), Limits(1, 1, 1, 1, 1)


async def whole_log(lms: Lms) -> object:
    async with lms.log("model") as lines:
        return [line async for line in lines]


@pytest.fixture(scope="module")
def install(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeInstall]:
    with install_fake(tmp_path_factory.mktemp("Ada Ünal's home"), llmster=True) as install:
        install.wish(slow_s=0.1)
        yield install


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "GRACE", 0.5)
    monkeypatch.setattr(child, "MOST_OUTPUT", 2**20)
    monkeypatch.setattr(child, "MOST_LINE", 2**20)
    monkeypatch.setattr(lms_module, "MOST_NOISE", 2**20)


def test_the_table_speaks_of_every_fault() -> None:
    assert set(FAILS) | HARMLESS == set(LMS_FAULTS)


@pytest.mark.parametrize("fault", FAILS)
async def test_a_fault_is_an_error_wherever_it_can_be_seen(
    install: FakeInstall, fault: str, tried: Callable[[str, int], None]
) -> None:
    install.fault = fault
    lms = Lms(install.lms, environ=install.environ, limits=IMPATIENT if "never-ends" in fault else PATIENT)
    calls = {name: call for name, call in CALLS.items() if name != "log" or "never-ends" not in fault}
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        asked = {name: group.create_task(error_of(call(lms))) for name, call in calls.items()}
    failed = {name for name, task in asked.items() if task.result() is not None}
    assert failed == FAILS[fault]
    for task in asked.values():
        error = task.result()
        if error is not None:
            assert error.command.startswith("lms ")
            assert error.message.endswith(".")
    tried("The command lms", len(calls))


async def error_of(asked: Awaitable[object]) -> CommandFailed | None:
    """The error it ends with, which must be of that one kind."""
    try:
        await asked
    except CommandFailed as error:
        return error
    return None


@pytest.mark.parametrize("fault", sorted(HARMLESS))
async def test_a_harmless_fault_changes_nothing(
    install: FakeInstall, fault: str, tried: Callable[[str, int], None]
) -> None:
    install.fault = fault
    lms = Lms(install.lms, environ=install.environ, limits=PATIENT)
    assert await lms.version()
    assert (await lms.daemon_up()).running
    await lms.server_start()
    assert (await lms.server_status()).running
    assert len(await lms.ls()) >= 4
    await lms.load(KEY)
    assert [each.identifier for each in await lms.ps()] == [KEY]
    await lms.unload(KEY)
    assert await lms.ps() == []
    await lms.get("openai/gpt-oss-20b")
    await lms.server_stop()
    await lms.daemon_down()
    assert not (await lms.daemon_status()).running
    tried("The command lms", len(CALLS) - 2)
