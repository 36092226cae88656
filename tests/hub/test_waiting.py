from __future__ import annotations

from lmbridge.core.errors import ShuttingDown
from lmbridge.core.models import LoadOptions, ModelInfo
from lmbridge.hub.residency import Want
from lmbridge.hub.waiting import NOBODY, Caller, Waiter, tell_places

A, B = ModelInfo("a", "scripted"), ModelInfo("b", "scripted")


def waiter(ticket: int, model: ModelInfo, caller: Caller = NOBODY) -> Waiter:
    return Waiter(Want(ticket, model.qualified), model, 0, caller, 0.0)


async def test_a_place_is_told_once_and_counts_those_who_want_the_same_model() -> None:
    told: list[int] = []
    queue = [waiter(1, A), waiter(2, B), waiter(3, A), waiter(4, A, Caller(queued=told.append))]
    tell_places(queue)
    tell_places(queue)
    tell_places(queue[1:])
    assert told == [2, 1]


async def test_who_wants_to_hear_nothing_is_told_nothing() -> None:
    alone = waiter(1, A)
    tell_places([alone])
    alone.tell_place(5)
    alone.tell_progress(0.5)
    assert (NOBODY.options, NOBODY.explicit) == (LoadOptions(), False)


async def test_progress_reaches_who_wants_it() -> None:
    heard: list[float] = []
    waiter(1, A, Caller(progress=heard.append)).tell_progress(0.5)
    assert heard == [0.5]


async def test_who_went_away_is_not_told_that_it_failed() -> None:
    gone, there = waiter(1, A), waiter(2, A)
    gone.future.cancel()
    for each in (gone, there):
        each.fail(ShuttingDown())
    assert isinstance(there.future.exception(), ShuttingDown)
    assert gone.future.cancelled()
