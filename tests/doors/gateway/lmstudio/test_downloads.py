from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest
from tests.doors.gateway.asking import until
from tests.fakes.provider import ScriptedRuntime

from lmbridge.core.errors import DownloadFailed, JobNotFound, ModelNotFound
from lmbridge.core.models import Download, ModelInfo
from lmbridge.core.provider import DownloadProgress, Provider
from lmbridge.doors.gateway.lmstudio import downloads
from lmbridge.doors.gateway.lmstudio.downloads import Jobs
from lmbridge.hub.hub import Hub


class Shop(ScriptedRuntime):
    """Downloads what it is asked for as far as the test lets it.

    Attributes:
        first: what is told at once. going_on: until it is set, nothing more happens. failure: how it ends.
    """

    def __init__(self) -> None:
        super().__init__([ModelInfo("m", "runtime")])
        self.first: Download | None = Download("downloading", 0, 100)
        self.going_on = asyncio.Event()
        self.stopped = 0

    async def download(self, name: str, progress: DownloadProgress | None = None) -> str:
        assert progress is not None
        if self.first is not None:
            progress(self.first)
        try:
            await self.going_on.wait()
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        if self.failure is not None:
            raise self.failure
        if self.first is not None and self.first.state == "downloading":
            progress(Download("downloading", 100, 100))
        return "m"


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
async def jobs(shop: Shop) -> AsyncIterator[Jobs]:
    async with Hub(cast("list[Provider]", [shop])) as hub:
        one = Jobs(hub)
        yield one
        await one.aclose()


async def test_a_download_goes_on_after_it_was_asked_for_and_tells_how_it_ended(jobs: Jobs, shop: Shop) -> None:
    job = await jobs.start("x/m")
    assert job is not None
    assert (job.download, job.ended) == (Download("downloading", 0, 100), None)
    shop.going_on.set()
    await until(lambda: jobs.find(job.id).ended is not None)
    assert jobs.find(job.id).download == Download("completed", 100, 100)


async def test_who_asks_for_the_same_joins(jobs: Jobs, shop: Shop) -> None:
    first, second = await jobs.start("x/m"), await jobs.start("x/m")
    assert first == second
    other = await jobs.start("x/other")
    assert other is not None
    assert other.id not in ("", first and first.id)


async def test_what_is_here_already_is_no_job(jobs: Jobs, shop: Shop) -> None:
    shop.first = Download("already_downloaded", 9, 9)
    shop.going_on.set()
    assert await jobs.start("x/m") is None


async def test_what_fails_at_once_is_an_error_and_what_fails_later_a_failed_job(jobs: Jobs, shop: Shop) -> None:
    shop.failure, shop.first = ModelNotFound("x/m", ()), None
    shop.going_on.set()
    with pytest.raises(ModelNotFound):
        await jobs.start("x/m")
    shop.going_on.clear()
    shop.first = Download("downloading", 5, 100, 10.0)
    job = await jobs.start("x/m")
    assert job is not None
    shop.going_on.set()
    await until(lambda: jobs.find(job.id).ended is not None)
    assert jobs.find(job.id).download == Download("failed", 5, 100, 10.0)
    assert jobs.find(job.id).reason.startswith("No model named 'x/m'")


async def test_a_size_that_nobody_knows_keeps_nobody_waiting(
    jobs: Jobs, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "FIRST_S", 0.01)
    shop.first = None
    job = await jobs.start("x/m")
    assert job is not None
    assert job.download == Download("downloading")


async def test_there_is_a_limit_to_what_runs_and_to_what_is_remembered(
    jobs: Jobs, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "MOST_RUNNING", 2)
    monkeypatch.setattr(downloads, "MOST_KEPT", 3)
    first = [await jobs.start(f"x/{number}") for number in range(2)]
    with pytest.raises(DownloadFailed, match="2 other models"):
        await jobs.start("x/more")
    shop.going_on.set()
    ids = [job.id for job in first if job is not None]
    for number in range(5):
        await until(lambda: all(jobs.find(id).ended is not None for id in ids[-1:]))
        job = await jobs.start(f"y/{number}")
        assert job is not None
        ids.append(job.id)
    with pytest.raises(JobNotFound):
        jobs.find(ids[0])
    assert jobs.find(ids[-1]).id == ids[-1]


async def test_downloads_end_with_their_owner(jobs: Jobs, shop: Shop) -> None:
    job = await jobs.start("x/m")
    await jobs.aclose()
    assert shop.stopped == 1
    assert job is not None
    assert jobs.find(job.id).download.state == "failed"


async def test_a_job_that_nobody_began_is_not_found(jobs: Jobs) -> None:
    with pytest.raises(JobNotFound, match="job_0123456789"):
        jobs.find("job_0123456789")
