"""What a tool tells while it works."""

from __future__ import annotations

import asyncio

from lmbridge.hub.act.reports import MOST_CHARS, Reports


async def taken(reports: Reports) -> list[tuple[float | None, str]]:
    return [report async for report in reports]


async def test_what_is_told_is_given_until_the_end() -> None:
    reports = Reports()
    taking = asyncio.ensure_future(taken(reports))
    await asyncio.sleep(0)
    reports(0.5, "half")
    await asyncio.sleep(0)
    reports(None, "so")
    reports.close()
    reports(1.0, "too late")
    assert await taking == [(0.5, "half"), (None, "so")]


async def test_of_what_comes_faster_than_it_is_taken_the_newest_is_given() -> None:
    reports = Reports()
    for step in range(1000):
        reports(step / 1000)
    reports.close()
    assert await taken(reports) == [(0.999, "")]


async def test_what_cannot_be_sent_is_not_told() -> None:
    reports = Reports()
    reports(None, "file \udcff")
    reports.close()
    assert await taken(reports) == [(None, "file ?")]


async def test_odd_figures_and_long_words_are_no_trouble() -> None:
    for told, known in ((7, 1.0), (-1, 0.0), (float("nan"), None), (True, 1.0)):
        reports = Reports()
        reports(told, "x" * 1000)
        reports.close()
        assert await taken(reports) == [(known, "x" * MOST_CHARS)]
