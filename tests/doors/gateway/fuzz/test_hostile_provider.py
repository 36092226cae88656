"""Whatever a provider answers: a caller gets what is well-formed in his language, or an error in its form."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from tests.doors.gateway.asking import Running, running
from tests.doors.gateway.fuzz.languages import CALLS, Call, judge
from tests.fakes.hostile_server import TRICKS, hostile_server

from lmbridge.core.provider import ProviderContext
from lmbridge.doors.gateway.status import STATUS
from lmbridge.providers.openai import OpenAIProvider

HARMLESS = {
    "tags",
    "nothing-said",
    "progress-backwards",
    "timings-without-end",
    "named-events",
    "cookies",
    "controls",
    "marks",
    "marks-in-thoughts",
}
"""Tricks that make an answer strange and no other."""


@pytest.fixture(scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    home = tmp_path_factory.mktemp("home")
    async with hostile_server() as server:
        provider = OpenAIProvider.create({"url": server.url}, ProviderContext(home, "hostile"))
        async with running([provider], home) as up:
            yield up


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
async def test_nothing_of_a_hostile_provider_reaches_a_caller_as_it_is(
    door: Running, call: Call, tried: Callable[[str, int], None], caplog: pytest.LogCaptureFixture
) -> None:
    route = door.gateway.routes[call.path]["POST"]
    for trick in TRICKS:
        for stream in (False, True) if call.form != "json" else (False,):
            got = await door.post(call.path, call.asked(f"{call.kind}-{trick}", stream=stream))
            good = judge(call, route, got)
            told = STATUS.get(trick.partition("-")[2])  # another lmbridge may say that it cannot load the model
            assert got.status not in (500, 501) or got.status == told, (trick, got.body)
            assert "x-evil" not in got.headers, trick
            assert good or trick not in HARMLESS or call.kind == "embed", (trick, got.body)
            tried("A hostile provider", 1)
    assert not caplog.records
    assert not door.hub.activity.refused["internal_error"]
    assert not any(tally.in_flight for tally in door.hub.activity.tallies)
