"""Lists of a server: all of their pages, within limits."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from lmbridge.tools.mcp import lists
from lmbridge.tools.mcp.lists import MOST_PAGES, Endless, pages


class Page(NamedTuple):
    items: list[int]
    next_cursor: str | None


async def test_all_pages_of_a_list_are_asked_for() -> None:
    async def ask(cursor: str | None) -> Page:
        number = int(cursor or 0)
        return Page([number], None if number == 4 else str(number + 1))

    assert await pages(ask, lambda page: page.items) == [0, 1, 2, 3, 4]


async def test_a_list_without_an_end_is_given_up() -> None:
    asked: list[str | None] = []

    async def ask(cursor: str | None) -> Page:
        asked.append(cursor)
        return Page([1], "more")

    with pytest.raises(Endless, match="without an end"):
        await pages(ask, lambda page: page.items)
    assert len(asked) == MOST_PAGES


async def test_a_list_with_too_much_in_it_is_given_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MOST_LISTED", 3)

    async def ask(cursor: str | None) -> Page:
        return Page([1, 2, 3, 4], None)

    with pytest.raises(Endless, match="more than 3"):
        await pages(ask, lambda page: page.items)
