from __future__ import annotations

import asyncio

from lmbridge.hub.later import Later

LIMIT_S = 20.0


class Disk:
    """Takes what it is given when it is let.

    Attributes:
        taken: what was written, in the order in which it began. lost: how much was lost before.
    """

    def __init__(self) -> None:
        self.taken: list[list[int]] = []
        self.lost: list[int] = []
        self.open = asyncio.Event()
        self.open.set()
        self.begun = asyncio.Event()

    def write(self, numbers: list[int], lost: int) -> asyncio.Future[None]:
        self.taken.append(numbers)
        self.lost.append(lost)
        self.begun.set()
        return asyncio.ensure_future(self._wait())

    async def _wait(self) -> None:
        await self.open.wait()


def later(disk: Disk, *, at_once: int = 100, most: int = 100, delay_s: float = 0.0) -> Later[list[int]]:
    return Later(list[int], disk.write, at_once=at_once, most=most, delay_s=delay_s)


def add(to: Later[list[int]], *numbers: int) -> None:
    for number in numbers:
        if not to.full():
            to.waiting.append(number)
            to.more()


async def test_what_comes_together_is_written_together_a_moment_later() -> None:
    disk = Disk()
    soon = later(disk)
    add(soon, 1, 2, 3)
    assert disk.taken == []
    await asyncio.wait_for(disk.begun.wait(), LIMIT_S)
    assert disk.taken == [[1, 2, 3]]
    await soon.aclose()


async def test_much_does_not_wait_for_its_time() -> None:
    disk = Disk()
    soon = later(disk, at_once=2, delay_s=3600)
    add(soon, 1, 2, 3)
    assert disk.taken == [[1, 2, 3]]
    disk.open.clear()
    add(soon, 4, 5, 6, 7)  # while the first are being written
    assert len(disk.taken) == 1
    disk.open.set()
    await soon.aclose()
    assert disk.taken == [[1, 2, 3], [4, 5, 6, 7]]


async def test_what_comes_while_others_are_written_follows_them() -> None:
    disk = Disk()
    disk.open.clear()
    soon = later(disk)
    add(soon, 1)
    await asyncio.wait_for(disk.begun.wait(), LIMIT_S)
    add(soon, 2)
    for _ in range(5):
        await asyncio.sleep(0)  # its time is up while the first is still being written
    assert disk.taken == [[1]]
    disk.begun.clear()
    disk.open.set()
    await asyncio.wait_for(disk.begun.wait(), LIMIT_S)
    assert disk.taken == [[1], [2]]
    await soon.aclose()


async def test_a_flush_returns_when_everything_is_written_and_its_time_writes_nothing_twice() -> None:
    disk = Disk()
    soon = later(disk)
    await soon.flush()
    add(soon, 1)
    await soon.flush()
    for _ in range(5):
        await asyncio.sleep(0)
    add(soon, 2)
    await soon.aclose()
    await soon.aclose()
    assert disk.taken == [[1], [2]]


async def test_what_cannot_wait_any_more_is_lost_and_counted() -> None:
    disk = Disk()
    soon = later(disk, most=1, delay_s=3600)
    add(soon, 1, 2, 3, 4)
    await soon.flush()
    add(soon, 5)
    await soon.aclose()
    assert (disk.taken, disk.lost) == ([[1, 2], [5]], [2, 0])
