from __future__ import annotations

import asyncio

import pytest
from tests.doors.gateway.asking import until
from tests.fakes.provider import ScriptedProvider

from lmbridge.core.models import InstanceState, ModelInfo
from lmbridge.doors.mcp.telling import LONGEST, Telling, telling, watching
from lmbridge.hub.hub import Hub

Told = list[tuple[float, str]]
"""What was sent: numbers and messages."""


def into(told: Told) -> Telling:
    async def send(number: float, message: str) -> None:
        told.append((number, message))

    return Telling(send)


async def test_what_is_newest_is_told_at_the_end() -> None:
    told: Told = []

    async def send(number: float, message: str) -> None:
        told.append((number, message))

    async with telling(send) as teller:
        teller.loading(0.5)
        teller.reading(0.25)
        teller.writing(1, "Yes")
        teller.writing(2, "Yes, of course")
    assert told[-1] == (4.0, "Yes, of course")
    assert len(told) < 4, "nobody reads what was new a moment ago"


async def test_what_fails_is_not_told_any_more() -> None:
    told: Told = []

    async def send(number: float, message: str) -> None:
        told.append((number, message))

    async def answer() -> None:
        async with telling(send) as teller:
            teller.writing(1, "Yes")
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await answer()
    assert told == []


async def test_a_model_that_thinks_is_told_to() -> None:
    told: Told = []
    teller = into(told)
    teller.thinking(1)
    await teller.flush()
    teller.writing(2, "Yes")
    await teller.flush()
    assert told == [(3.0, "Thinking"), (4.0, "Yes")]


async def test_numbers_only_grow() -> None:
    told: Told = []
    teller = into(told)
    teller.reading(0.5)
    await teller.flush()
    teller.loading(0.9)
    await teller.flush()
    assert told == [(1.5, "Reading the prompt: 50%")]


async def test_who_does_not_want_to_know_is_told_nothing() -> None:
    async with telling(None) as teller:
        teller.loading(0.5)
        assert not teller.wanted


async def test_of_a_long_answer_the_end_is_told() -> None:
    told: Told = []
    teller = into(told)
    teller.writing(1, "a" * LONGEST + "end")
    await teller.flush()
    assert told[0][1].startswith("…a")
    assert told[0][1].endswith("end")
    assert len(told[0][1]) == LONGEST + 1


async def test_a_load_that_a_request_caused_is_told_until_the_answer_begins() -> None:
    model = ModelInfo("a", "scripted")
    scripted, told = ScriptedProvider([model]), Told()
    scripted.gate.clear()

    async def send(number: float, message: str) -> None:
        told.append((number, message))

    async with Hub([scripted]) as hub, telling(send) as teller:
        load = asyncio.ensure_future(hub.load("a"))
        async with watching(hub, model, teller) as begun:
            await until(lambda: bool(told))
            begun()
        scripted.gate.set()
        await load
    assert told[0] == (0.5, "Loading the model: 50%")


async def test_nobody_watches_for_who_does_not_want_to_know() -> None:
    async with Hub([]) as hub, telling(None) as teller, watching(hub, ModelInfo("a", "p"), teller) as begun:
        begun()


async def test_a_model_that_is_ready_has_nothing_to_tell() -> None:
    told: Told = []
    teller = into(told)
    teller.waiting(InstanceState("a", "p", "ready"))
    await teller.flush()
    assert told == []
