"""Our pipe and the official server together, without a process: what is said and what is heard."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest
from tests.doors.gateway.asking import until
from tests.doors.mcp.asking import OFFER, lending
from tests.doors.mcp.test_stdio import CALL, INITIALIZE, LIST
from tests.fakes.provider import ScriptedProvider

from lmbridge.core.models import ModelInfo
from lmbridge.doors.mcp.lines import Message
from lmbridge.doors.mcp.package import serve
from lmbridge.doors.mcp.server import make_server
from lmbridge.hub.hub import Hub

LIMIT_S = 20


class Told:
    """A host whose words are known beforehand; more are said by `give`."""

    def __init__(self, *said: Message | None, answered: int | None = None) -> None:
        self._said, self._answered = list(said), answered
        self.heard: list[Message] = []
        self.gone = False
        self.give: Callable[[Message | None], None] = lambda message: None
        self.taken = asyncio.Event()
        self.news = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def write(self, data: bytes) -> None:
        if self.gone:
            raise BrokenPipeError
        self.heard.append(json.loads(data))
        self._loop.call_soon_threadsafe(self.news.set)

    def answered(self, id: object) -> bool:
        return id == self._answered

    def take_over(self, give: Callable[[Message | None], None]) -> list[Message | None]:
        self.give = give
        self.taken.set()
        return list(self._said)

    async def until_heard(self, id: object) -> Message:
        async with asyncio.timeout(LIMIT_S):
            while not (found := [message for message in self.heard if message.get("id") == id]):
                self.news.clear()
                await self.news.wait()
        return found[0]


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with Hub([]) as one:
        yield one


async def served(hub: Hub, told: Told) -> None:
    async with asyncio.timeout(LIMIT_S):
        await serve(told, make_server(lending(hub), OFFER))


async def test_the_host_is_answered_until_it_says_no_more(hub: Hub) -> None:
    told = Told(INITIALIZE, LIST, CALL)
    serving = asyncio.ensure_future(served(hub, told))
    assert "result" in await told.until_heard(2)
    await asyncio.to_thread(told.give, {**CALL, "id": 3})
    assert "result" in await told.until_heard(3)
    await asyncio.to_thread(told.give, None)
    await serving
    assert {message.get("id") for message in told.heard} == {0, 1, 2, 3}
    await asyncio.to_thread(told.give, None)  # too late, and no harm


async def test_what_has_its_answer_gets_no_second_one(hub: Hub) -> None:
    told = Told(INITIALIZE, LIST, answered=0)
    serving = asyncio.ensure_future(served(hub, told))
    await told.until_heard(1)
    await asyncio.to_thread(told.give, None)
    await serving
    assert [message.get("id") for message in told.heard] == [1]


async def test_a_host_that_said_no_more_before_is_the_end(hub: Hub) -> None:
    await served(hub, Told(INITIALIZE, None))


async def test_what_is_no_message_of_json_rpc_is_told(hub: Hub) -> None:
    told = Told({"id": 5, "method": 7})
    serving = asyncio.ensure_future(served(hub, told))
    error = (await told.until_heard(5))["error"]
    assert isinstance(error, dict)
    assert error["code"] == -32600
    await asyncio.to_thread(told.give, None)
    await serving


async def test_a_host_that_does_not_listen_any_more_is_the_end(hub: Hub) -> None:
    told = Told(INITIALIZE)
    told.gone = True
    await served(hub, told)


async def test_calls_under_way_are_stopped_when_the_host_goes() -> None:
    scripted = ScriptedProvider([ModelInfo("a", "scripted")])
    scripted.gate.clear()
    load = {**CALL, "params": {"name": "load_model", "arguments": {"model": "a"}}}
    async with Hub([scripted]) as hub:
        told = Told(INITIALIZE, load)
        serving = asyncio.ensure_future(served(hub, told))
        await until(lambda: scripted.loads == ["a"])
        await asyncio.to_thread(told.give, None)
        await serving
        scripted.gate.set()
    assert not any("result" in message for message in told.heard if message.get("id") == 2)
