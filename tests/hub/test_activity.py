from __future__ import annotations

import asyncio
from time import perf_counter

import pytest
from tests.fakes.provider import ScriptedProvider

from lmbridge.core.errors import BrokenAnswer, LoadFailed
from lmbridge.core.events import Usage
from lmbridge.core.models import LoadOptions, ModelInfo
from lmbridge.hub.activity import Activity, Histogram, Turn
from lmbridge.hub.happenings import (
    Happening,
    ModelFailed,
    ModelLoaded,
    ModelLoading,
    ModelUnloaded,
    ProviderRegistered,
    ProviderUnregistered,
    QueueChanged,
    RequestEnded,
    RequestStarted,
)
from lmbridge.hub.hub import Hub


def test_an_observation_lands_in_the_bucket_whose_bound_includes_it() -> None:
    histogram = Histogram((1.0, 2.0))
    for seconds in (0.5, 1.0, 1.5, 2.0, 9.0):
        histogram.observe(seconds)
    assert histogram.counts == [2, 2, 1]
    assert histogram.sum == 14.0
    assert histogram.count == 5


TINY = ModelInfo("tiny", "embedded")


def begin(activity: Activity, route: str = "chat", door: str = "openai") -> Turn:
    return activity.begin(TINY, route, door, perf_counter() - 1, caller="laptop", waited_s=0.5, ahead=2)


def test_a_model_route_and_door_keep_one_tally() -> None:
    activity = Activity()
    begin(activity).end()
    begin(activity).end()
    begin(activity, "messages", "anthropic")
    assert [(t.model, t.route, t.door, t.requests, t.in_flight) for t in activity.tallies] == [
        ("tiny", "chat", "openai", 2, 0),
        ("tiny", "messages", "anthropic", 0, 1),
    ]


def test_what_becomes_of_a_request_is_counted() -> None:
    activity = Activity()
    turn = begin(activity)
    turn.used(None)
    turn.used(Usage(prompt_tokens=7, completion_tokens=3, cached_tokens=2))
    assert turn.first_event() == turn.first_event() >= 1
    turn.end()
    (tally,) = activity.tallies
    assert (tally.prompt_tokens, tally.completion_tokens, tally.cached_tokens) == (7, 3, 2)
    assert (turn.prompt_tokens, turn.completion_tokens, turn.cached_tokens) == (7, 3, 2)
    assert (tally.first_event.count, tally.duration.count, tally.waits.sum, tally.ahead.sum) == (1, 1, 0.5, 2)
    assert turn.total_s >= 1


def test_errors_and_callers_who_left_are_told_apart() -> None:
    activity = Activity()
    failed, left = begin(activity), begin(activity)
    failed.fail("broken_answer")
    failed.end()
    left.cancel()
    left.end()
    (tally,) = activity.tallies
    assert (dict(tally.errors), tally.cancelled, tally.requests) == ({"broken_answer": 1}, 1, 2)


def test_what_is_under_way_is_known_until_it_ends() -> None:
    activity = Activity()
    one, two = begin(activity), begin(activity)
    assert activity.turns == [one, two]
    one.end()
    assert activity.turns == [two]


def test_who_listens_is_told_of_everything_until_he_is_forgotten() -> None:
    activity, heard = Activity(), list[Happening]()
    activity.listen(heard.append)
    turn = begin(activity)
    turn.used(Usage(prompt_tokens=7, completion_tokens=3))
    turn.fail("broken_answer")
    turn.end()
    activity.loading("embedded", "tiny")
    activity.loaded("embedded", "tiny", 0.2)
    activity.load_failed("embedded", "huge", "not_enough_memory")
    activity.unloaded("embedded", "tiny", "idle")
    activity.queued(3)
    activity.queued(3)
    activity.forget(heard.append)
    begin(activity).end()
    who = {"number": 1, "door": "openai", "route": "chat", "provider": "embedded", "model": "tiny"}
    started, ended, *models, queue = heard
    assert started == RequestStarted(**who, caller="laptop", waited_s=0.5, ahead=2)  # type: ignore[arg-type]
    assert isinstance(ended, RequestEnded)
    assert (ended.number, ended.prompt_tokens, ended.completion_tokens) == (1, 7, 3)
    assert (ended.error, ended.cancelled, ended.first_event_s) == ("broken_answer", False, None)
    assert models == [
        ModelLoading("embedded", "tiny"),
        ModelLoaded("embedded", "tiny", 0.2),
        ModelFailed("embedded", "huge", "not_enough_memory"),
        ModelUnloaded("embedded", "tiny", "idle"),
    ]
    assert queue == QueueChanged(3)
    assert activity.waiting == 3


def test_loads_and_waits_are_counted_by_model() -> None:
    activity = Activity()
    activity.loaded("embedded", "tiny", 0.2)
    activity.loaded("embedded", "tiny", 0.3)
    activity.load_failed("embedded", "huge", "not_enough_memory")
    activity.unloaded("embedded", "tiny", "idle")
    activity.waited(0.5)
    assert activity.loads["embedded", "tiny"].count == 2
    assert activity.load_errors == {("embedded", "huge", "not_enough_memory"): 1}
    assert activity.unloads == {("embedded", "tiny", "idle"): 1}
    assert activity.waits.count == 1


async def test_what_happens_to_models_is_counted_where_it_happens() -> None:
    provider = ScriptedProvider(
        [ModelInfo("a", "scripted"), ModelInfo("b", "scripted")], sizes={"a": 6, "b": 6}, room=10
    )
    async with Hub([provider]) as hub:
        activity = hub.activity
        async with hub.lease("a"):
            pass
        async with hub.lease("b"):
            pass
        await hub.unload("b")
        provider.failure = LoadFailed("a", "no reason")
        with pytest.raises(LoadFailed):
            await hub.load("a")
    assert {key: histogram.count for key, histogram in activity.loads.items()} == {
        ("scripted", "a"): 1,
        ("scripted", "b"): 1,
    }
    assert activity.unloads == {("scripted", "a", "evicted"): 1, ("scripted", "b", "asked"): 1}
    assert activity.load_errors == {("scripted", "a", "load_failed"): 1}
    assert activity.waits.count == 2


async def test_who_waits_and_what_loads_is_told_where_it_happens() -> None:
    provider = ScriptedProvider([ModelInfo("a", "scripted")], sizes={"a": 1}, slots=1)
    heard, somebody = list[Happening](), asyncio.Event()

    def listen(happening: Happening) -> None:
        heard.append(happening)
        if happening == QueueChanged(1):
            somebody.set()

    async with Hub([provider]) as hub:
        async with hub.lease("a"):
            hub.activity.listen(listen)
            served = asyncio.ensure_future(hub.acquire("a", "chat", False, None))
            await asyncio.wait_for(somebody.wait(), 10)
        lease = await asyncio.wait_for(served, 10)
        somebody.clear()
        left = asyncio.ensure_future(hub.acquire("a", "chat", False, None))
        await asyncio.wait_for(somebody.wait(), 10)
        left.cancel()
        await asyncio.wait([left])
        hub.release(lease)
        await hub.unload("a")
        await hub.load("a")
    assert heard[:5] == [
        *(QueueChanged(1), QueueChanged(0)),
        *(QueueChanged(1), QueueChanged(0)),
        ModelUnloaded("scripted", "a", "asked"),
    ]
    assert [type(one) for one in heard[5:]] == [QueueChanged, ModelLoading, ModelLoaded, QueueChanged]


async def test_a_crash_and_an_idle_model_are_told_apart() -> None:
    provider = ScriptedProvider([ModelInfo("a", "scripted")], sizes={"a": 1})
    async with Hub([provider], options=LoadOptions(ttl=0.01)) as hub:
        async with hub.lease("a") as lease:
            provider.crash(lease.instance)
            await asyncio.wait_for(lease.explain(BrokenAnswer("scripted", "cut")), 10)
        async with hub.lease("a"):
            provider.unloaded.clear()
        await asyncio.wait_for(provider.unloaded.wait(), 10)
    assert hub.activity.unloads["scripted", "a", "idle"] == 1
    assert hub.activity.unloads["scripted", "a", "crashed"] == 1


def test_uptime_counts_from_the_start() -> None:
    activity = Activity()
    activity.started -= 10
    assert activity.uptime_s >= 10


def test_every_turn_that_ends_is_kept_with_what_its_caller_says_it_is_for() -> None:
    activity, kept = Activity(), list[Turn]()
    begin(activity).end()
    activity.keep(kept.append)
    turn = activity.begin(TINY, "chat", "openai", perf_counter(), task="summaries")
    assert kept == []
    turn.end()
    assert [(one.task, one.number) for one in kept] == [("summaries", 2)]
    assert turn.total_s > 0


def test_providers_that_come_and_go_are_told() -> None:
    activity, heard = Activity(), list[Happening]()
    activity.listen(heard.append)
    activity.registered("echo")
    activity.unregistered("echo", "embedded")
    assert heard == [ProviderRegistered("echo"), ProviderUnregistered("echo", "embedded")]
