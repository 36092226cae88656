"""Whatever a provider answers: a caller gets what is well-formed in his language, or an error in its form."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.doors.gateway.asking import Running, running
from tests.doors.gateway.fuzz.languages import CALLS, Call, judge, strict, texts
from tests.fakes.hostile_server import CONTROLS, TRICKS, hostile_server
from tests.fakes.openai_server import fake_openai

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


LISTS = ("/v1/models", "/api/tags", "/api/ps", "/api/v0/models", "/api/v1/models")
LISTINGS: tuple[object, ...] = (
    None,
    7,
    "models",
    {"a": {"id": "a"}},
    [None, 7, "a", []],
    [{}],
    [{"id": None}, {"id": 7}, {"id": ""}, {"id": ["a"]}],
    [{"id": CONTROLS}, {"id": "a\n\ndata: [DONE]"}, {"id": "\x1b[2J"}, {"id": "\u202ea"}],
    [{"id": "a" * 10**6}],
    [{"id": "a"}, {"id": "a"}, {"id": "A"}, {"id": "a:latest"}, {"id": "../../etc/passwd"}, {"id": "//"}],
    [{"id": "a", "meta": {"n_ctx_train": -1, "n_params": "many", "size": 2**70}, "type": 7, "arch": CONTROLS}],
    [{"id": "a", "max_model_len": 1e300, "quantization": {}, "architecture": 7, "capabilities": "all"}],
    [{"id": "a", "architecture": {"input_modalities": "image"}, "capabilities": [7, None], "state": []}],
    [{"id": f"model-{number}"} for number in range(2000)],
)
"""What a provider may say that it has."""


async def test_no_list_of_a_hostile_provider_reaches_a_caller_as_it_is(
    tmp_path: Path, tried: Callable[[str, int], None], caplog: pytest.LogCaptureFixture
) -> None:
    async with fake_openai() as server:
        for listing in LISTINGS:
            server.models = listing
            provider = OpenAIProvider.create({"url": server.url}, ProviderContext(tmp_path, "hostile"))
            async with running([provider], tmp_path) as up:
                for path in LISTS:
                    got = await up.get(path)
                    told = up.gateway.routes[path]["GET"].answers
                    assert got.status == 200, (listing, path, got)
                    assert isinstance(told, type)
                    strict(got.body, told)
                    assert all(text.isprintable() and len(text) < 1000 for text in texts(got.json))
                    tried("A hostile provider", 1)
    assert not caplog.records
