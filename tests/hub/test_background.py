from __future__ import annotations

import asyncio

from lmbridge.hub.background import Background


async def test_closing_ends_what_still_runs_and_waits_for_it() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("work")

    background = Background()
    background.start(work())
    await asyncio.sleep(0)
    await background.aclose()
    assert ended == ["work"]


async def test_a_fault_that_escapes_is_reported_and_not_swallowed() -> None:
    reports: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report))

    async def fault() -> None:
        raise RuntimeError("a fault of ours")

    background = Background()
    await asyncio.wait([background.start(fault())])
    await background.aclose()
    assert [str(report["exception"]) for report in reports] == ["a fault of ours"]
