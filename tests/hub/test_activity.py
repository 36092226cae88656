from __future__ import annotations

import asyncio

import pytest
from tests.fakes.provider import ScriptedProvider

from lmbridge.core.errors import BrokenAnswer, LoadFailed
from lmbridge.core.models import LoadOptions, ModelInfo
from lmbridge.hub.activity import Activity, Histogram
from lmbridge.hub.hub import Hub


def test_an_observation_lands_in_the_bucket_whose_bound_includes_it() -> None:
    histogram = Histogram((1.0, 2.0))
    for seconds in (0.5, 1.0, 1.5, 2.0, 9.0):
        histogram.observe(seconds)
    assert histogram.counts == [2, 2, 1]
    assert histogram.sum == 14.0
    assert histogram.count == 5


def test_a_model_and_route_keep_one_tally() -> None:
    activity = Activity()
    activity.tally("embedded", "tiny", "chat").requests += 1
    activity.tally("embedded", "tiny", "chat").requests += 1
    activity.tally("embedded", "tiny", "embedding").errors["load_failed"] += 1
    assert [(t.model, t.route, t.requests, dict(t.errors)) for t in activity.tallies] == [
        ("tiny", "chat", 2, {}),
        ("tiny", "embedding", 0, {"load_failed": 1}),
    ]


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
