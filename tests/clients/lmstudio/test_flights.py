from __future__ import annotations

import asyncio

import pytest

from lmbridge.clients.lmstudio.flights import Flight, Tasks


class Work:
    """Something that takes until it is let go."""

    def __init__(self) -> None:
        self.flight: Flight[str] = Flight("wish")
        self.tasks = Tasks()
        self.go = asyncio.Event()
        self.begun = 0
        self.stopped = False

    async def run(self) -> str:
        self.begun += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.stopped = True
            raise
        return "done"

    def start(self) -> None:
        self.flight.task = self.tasks.start(self.run())


@pytest.fixture
async def work() -> Work:
    work = Work()
    work.start()
    return work


async def joined(work: Work, count: int) -> list[asyncio.Task[str]]:
    """So many callers who wait."""
    callers = [asyncio.ensure_future(work.flight.join(None)) for _ in range(count)]
    for _ in range(3):  # they begin, and the work does
        await asyncio.sleep(0)
    assert work.begun
    return callers


async def test_who_comes_second_joins_the_first(work: Work) -> None:
    callers = await joined(work, 2)
    work.go.set()
    assert await asyncio.gather(*callers) == ["done", "done"]
    assert work.begun == 1


async def test_everybody_who_waits_hears_how_far_it_is(work: Work) -> None:
    heard: list[float] = []
    caller = asyncio.ensure_future(work.flight.join(heard.append))
    await asyncio.sleep(0)
    work.flight.tell(0.5)
    work.go.set()
    await caller
    work.flight.tell(1.0)
    assert heard == [0.5]


async def test_one_who_goes_leaves_the_others_waiting(work: Work) -> None:
    work.flight.can_stop = True
    first, second = await joined(work, 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    work.go.set()
    assert await second == "done"


async def test_work_that_can_stop_stops_with_its_last_caller(work: Work) -> None:
    work.flight.can_stop = True
    [caller] = await joined(work, 1)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert work.stopped


async def test_work_that_cannot_stop_goes_on_and_can_be_joined_again(work: Work) -> None:
    [caller] = await joined(work, 1)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert not work.stopped
    work.go.set()
    assert await work.flight.join(None) == "done"
    assert work.begun == 1


async def test_closing_ends_what_runs(work: Work) -> None:
    await asyncio.sleep(0)
    await work.tasks.aclose()
    assert work.stopped
    assert work.tasks.closed
    await work.tasks.aclose()


async def test_a_failure_that_nobody_waits_for_makes_no_noise() -> None:
    async def fail() -> None:
        raise ValueError("nobody hears")

    tasks = Tasks()
    task = tasks.start(fail())
    await asyncio.wait([task])
    with pytest.raises(ValueError, match="nobody hears"):
        await task
