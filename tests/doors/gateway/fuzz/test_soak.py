"""Many callers in every language at once, of whom many leave at any moment: afterwards everything is as before."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from tests.doors.gateway.asking import LIMIT_S, Running, decode, running, until
from tests.doors.gateway.fuzz.languages import CALLS, Call, judge
from tests.fakes.openai_server import FakeOpenAI, fake_openai

from lmbridge.core.provider import ProviderContext
from lmbridge.providers.openai import OpenAIProvider

REQUESTS = 300
AT_ONCE = 16
LEAVES = 0.4
"""Share of callers who leave before they have their answer."""


@pytest.fixture
async def upstream() -> AsyncIterator[FakeOpenAI]:
    async with fake_openai(pace=0.002) as server:
        yield server


async def one(up: Running, call: Call, random: Random) -> str:
    """Ask in one way and be judged, or leave at some moment; what became of it."""
    route = up.gateway.routes[call.path]["POST"]
    body = json.dumps(call.asked(f"fake-{call.kind}", stream=random.random() < 0.7)).encode()
    leaves = random.random() < LEAVES
    head = f"POST {call.path} HTTP/1.1\r\nhost: 127.0.0.1:{up.port}\r\ncontent-type: application/json\r\n"
    data = f"{head}connection: close\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
    sent = random.randint(1, len(data)) if leaves and random.random() < 0.3 else len(data)
    reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
    try:
        writer.write(data[:sent])
        await writer.drain()
        if not leaves:
            assert judge(call, route, decode(await reader.read()))
            return "answered"
        if sent == len(data):
            with suppress(asyncio.IncompleteReadError):
                await reader.readexactly(random.choice((0, 1, 100, 300, 600)))
        return "left"
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_after_many_callers_and_many_who_left_nothing_is_held(upstream: FakeOpenAI, tmp_path: Path) -> None:
    provider = OpenAIProvider.create({"url": upstream.url, "parallel": 8}, ProviderContext(tmp_path, "fake"))
    random, became = Random(4), Counter[str]()
    async with running([provider], tmp_path) as up:
        for call in CALLS:  # so that every model is there
            assert (await up.post(call.path, call.asked(f"fake-{call.kind}", stream=False))).status == 200
        tasks = len(asyncio.all_tasks()) - idle(upstream)
        room = asyncio.Semaphore(AT_ONCE)

        async def caller(number: int) -> None:
            async with room, asyncio.timeout(LIMIT_S):
                became[await one(up, CALLS[number % len(CALLS)], random)] += 1

        async with asyncio.TaskGroup() as group:
            for number in range(REQUESTS):
                group.create_task(caller(number))
        assert became.total() == REQUESTS
        assert became["left"] > REQUESTS / 5

        tallies = up.hub.activity.tallies
        await until(lambda: not any(tally.in_flight for tally in tallies))
        await until(lambda: upstream.server.connections - upstream.server.ended <= AT_ONCE)
        await until(lambda: len(asyncio.all_tasks()) - idle(upstream) <= tasks)
        assert not any(state.leases or state.waiting for state in await up.hub.instances())
        assert {tally.route for tally in tallies} >= {"chat", "responses", "messages", "native", "ollama-chat"}
        assert not [tally.errors for tally in tallies if tally.errors]
        finished = sum(tally.requests - tally.cancelled for tally in tallies)
        assert became["answered"] <= finished - len(CALLS) <= REQUESTS
        assert (await up.get("/health")).status == 200
    await until(lambda: upstream.server.connections == upstream.server.ended)


def idle(upstream: FakeOpenAI) -> int:
    """Connections that are kept for the next request: the fake server has a task for each."""
    return upstream.server.connections - upstream.server.ended
