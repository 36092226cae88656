"""The process that downloads: its news, its end, and that it keeps secrets."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.fakes.model_hub import FakeHub
from tests.machine.downloads.conftest import FILE, NAME, Ordered, files

from lmbridge.core.errors import DownloadFailed, NoSpace, ProviderUnavailable
from lmbridge.core.models import Download
from lmbridge.machine.downloads import Account, download, errand
from lmbridge.machine.downloads.order import Order
from lmbridge.machine.model_folders import find_models

SLOW = 4096
"""Bytes in each hundredth of a second, so that a download takes half a second."""


class Watch:
    """Listens to a download; `moving` is set once some of it has come."""

    def __init__(self) -> None:
        self.news: list[Download] = []
        self.moving = asyncio.Event()

    def __call__(self, now: Download) -> None:
        self.news.append(now)
        if now.done_bytes:
            self.moving.set()


async def test_progress_and_speed_are_told_until_the_end(
    hub: FakeHub, order: Ordered, folder: Path, model: bytes
) -> None:
    hub.add(NAME, {FILE: model})
    hub.pace = SLOW
    watch = Watch()
    assert await download(order(NAME), watch) == folder / NAME / FILE
    done = [now.done_bytes or 0 for now in watch.news]
    assert done == sorted(done)
    assert {now.total_bytes for now in watch.news} == {len(model)}
    assert any(0 < each < len(model) for each in done)
    assert any(now.bytes_per_s for now in watch.news)
    assert watch.news[-1] == Download("completed", len(model), len(model))


async def test_what_is_here_already_is_told_to_be(hub: FakeHub, order: Ordered, model: bytes) -> None:
    hub.add(NAME, {FILE: model})
    await download(order(NAME))
    watch = Watch()
    await download(order(NAME), watch)
    assert watch.news == [Download("already_downloaded", len(model), len(model))]


async def test_errors_arrive_with_their_facts(hub: FakeHub, order: Ordered, model: bytes) -> None:
    hub.add(NAME, {FILE: model}, sizes={FILE: 10**18})
    with pytest.raises(NoSpace) as caught:
        await download(order(NAME))
    assert caught.value.needed == 10**18
    with pytest.raises(ProviderUnavailable, match="nothing answers"):
        await download(order(NAME, account=Account("http://127.0.0.1:9")))


async def test_leaving_stops_at_once_and_the_rest_comes_the_next_time(
    hub: FakeHub, order: Ordered, folder: Path, model: bytes
) -> None:
    hub.add(NAME, {FILE: model})
    hub.pace = SLOW
    hub.faults.append("stall")
    watch = Watch()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        task = group.create_task(download(order(NAME), watch))
        await watch.moving.wait()
        task.cancel()
    await hub.cdn.all_ended()  # the process is gone, or its connection would stand
    assert find_models([folder], folder / "none") == []
    partial = {path: size for path, size in files(folder).items() if path.endswith(".part")}
    ((path, size),) = partial.items()
    assert path.startswith(f".downloads/{NAME}/{FILE}.")
    assert 0 < size < len(model)

    hub.pace = 0
    assert await download(order(NAME)) == folder / NAME / FILE
    assert hub.cdn_requests[-1].range == f"bytes={size}-{len(model) - 1}"
    assert list(files(folder)) == [f"{NAME}/{FILE}"]


async def test_two_who_want_the_same_cause_one_transfer(hub: FakeHub, order: Ordered, model: bytes) -> None:
    hub.add(NAME, {FILE: model})
    hub.pace = SLOW
    first, second = Watch(), Watch()
    async with asyncio.timeout(20):
        paths = await asyncio.gather(download(order(NAME), first), download(order(f"{NAME}@Q4_K_M"), second))
    assert paths[0] == paths[1]
    assert hub.sent == len(model)
    assert any(0 < (now.done_bytes or 0) < len(model) for now in first.news)
    assert any(0 < (now.done_bytes or 0) < len(model) for now in second.news)


async def test_who_waits_takes_over_from_one_that_is_stopped(hub: FakeHub, order: Ordered, model: bytes) -> None:
    hub.add(NAME, {FILE: model})
    hub.pace = SLOW
    hub.faults.append("stall")
    first, second = Watch(), Watch()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        leader = group.create_task(download(order(NAME), first))
        await first.moving.wait()
        follower = group.create_task(download(order(f"{NAME}@q4_k_m"), second))
        await second.moving.wait()
        leader.cancel()
    assert follower.result().name == FILE
    assert hub.sent < 2 * len(model)


async def test_the_process_ends_with_its_parent(hub: FakeHub, order: Ordered, model: bytes) -> None:
    hub.add(NAME, {FILE: model})
    hub.faults.append("stall")
    program = (
        "import asyncio, sys, msgspec\n"
        "from lmbridge.machine.downloads import Order, download\n"
        "asyncio.run(download(msgspec.json.decode(sys.stdin.buffer.read(), type=Order)))\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdin=asyncio.subprocess.PIPE)
    assert parent.stdin is not None
    parent.stdin.write(msgspec.json.encode(order(NAME)))
    parent.stdin.close()
    async with asyncio.timeout(20):
        await hub.half_sent.wait()
        parent.kill()
        await parent.wait()
    await hub.cdn.all_ended()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into Linux's list of processes")
async def test_the_token_is_in_no_process_list_and_no_environment(
    hub: FakeHub, order: Ordered, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.token = "hf_secret"
    hub.add(NAME, {FILE: model}, private=True)
    hub.pace = SLOW
    watch = Watch()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(download(order(NAME, token="hf_secret"), watch))
        await watch.moving.wait()
        told = list(_of_children())
    assert any("child.py" in command for command, _ in told)
    assert not any("hf_secret" in command + environment for command, environment in told)


def _of_children() -> Iterator[tuple[str, str]]:
    """Command line and environment of the children of this process."""
    for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        folder = Path("/proc", pid)
        yield (folder / "cmdline").read_text(), (folder / "environ").read_text(errors="replace")


async def test_a_process_that_breaks_is_told_with_its_last_words(
    order: Ordered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "child.py").write_text("raise RuntimeError('the disk is on fire')")
    monkeypatch.setattr(errand, "CHILD", tmp_path / "child.py")
    with pytest.raises(DownloadFailed, match="RuntimeError: the disk is on fire"):
        await download(order(NAME))


async def test_a_process_that_is_killed_is_told(
    order: Ordered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "child.py").write_text(f"import os; os.kill(os.getpid(), {signal.SIGTERM})")
    monkeypatch.setattr(errand, "CHILD", tmp_path / "child.py")
    with pytest.raises(DownloadFailed, match="exit status -15"):
        await download(order(NAME))


async def test_a_process_that_cannot_be_started_is_told(order: Ordered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(DownloadFailed, match="cannot be started"):
        await download(order(NAME))


async def test_a_name_that_is_none_needs_no_network(folder: Path) -> None:
    with pytest.raises(DownloadFailed, match="no name of a model"):
        await download(Order("two words", str(folder), Account("http://127.0.0.1:9")))
