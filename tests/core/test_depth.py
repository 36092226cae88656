from __future__ import annotations

from contextvars import copy_context

import pytest

from lmbridge.core.depth import arrive, deeper, depth, mark
from lmbridge.core.errors import TooDeep


def test_at_first_nothing_is_deep() -> None:
    assert depth() == 0


def test_within_one_server_it_is_one_deep_and_afterwards_no_longer() -> None:
    with deeper():
        assert depth() == 1
    assert depth() == 0


def test_a_server_within_a_server_is_refused_and_told_why() -> None:
    with deeper(), pytest.raises(TooDeep, match="round and round"), deeper():
        raise AssertionError


@pytest.mark.parametrize("value", [1, "1", b"1", 7, "999"])
def test_a_call_that_is_marked_is_refused(value: object) -> None:
    with pytest.raises(TooDeep), deeper(value):
        raise AssertionError


def test_a_request_takes_over_the_mark_it_came_with() -> None:
    context = copy_context()
    context.run(arrive, b"1")
    assert context.run(depth) == 1
    context.run(arrive, b"0")
    assert context.run(depth) == 1, "no mark makes it less deep"
    assert depth() == 0


@pytest.mark.parametrize("value", [None, True, -1, 1.5, "", "-1", "one", "1000", "¹", b"\xff", ["1"]])
def test_a_mark_that_is_none_of_ours_means_nothing(value: object) -> None:
    assert mark(value) == 0
