from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.fakes.provider import ScriptedProvider

from lmbridge.core.errors import BrokenAnswer, InvalidRequest, ProviderUnavailable
from lmbridge.core.events import Event, Finished, PromptProgress, Started, TextDelta, Usage
from lmbridge.core.models import ModelInfo
from lmbridge.core.requests import ChatRequest, EmbedRequest
from lmbridge.hub.activity import Turn
from lmbridge.hub.counting import Counting
from lmbridge.hub.hub import Hub
from lmbridge.hub.usage import Ledger

CHAT, EMBED = ModelInfo("talker", "scripted"), ModelInfo("embedder", "scripted", kind="embedding")


def kept(hub: Hub) -> list[Turn]:
    turns = list[Turn]()
    hub.activity.keep(turns.append)
    return turns


def provider() -> ScriptedProvider:
    return ScriptedProvider([CHAT, EMBED])


async def test_an_answer_is_one_call_that_went_well() -> None:
    async with Hub([provider()]) as hub:
        turns = kept(hub)
        await hub.answer(ChatRequest("talker", "one two", task="counting"))
        (turn,) = turns
    assert (turn.tally.door, turn.tally.route, turn.tally.model, turn.task) == (
        "python",
        "chat",
        "talker",
        "counting",
    )
    assert (turn.error, turn.cancelled, turn.first_event_s is None) == ("", False, False)
    assert hub.activity.tallies[0].requests == 1
    assert hub.activity.turns == []


async def until_cancelled(hub: Hub, answered: asyncio.Event) -> None:
    async with hub.chat(ChatRequest("talker", "one two")) as events:
        async for _ in events:
            pass
        answered.set()
        await asyncio.Future()


async def test_who_leaves_before_the_end_has_cancelled_it() -> None:
    async with Hub([provider()]) as hub:
        turns = kept(hub)
        async with hub.chat(ChatRequest("talker", "one two")) as events:
            assert isinstance(await anext(events), Started)
        async with hub.chat(ChatRequest("talker", "one two")):
            pass
        answered = asyncio.Event()
        asking = asyncio.ensure_future(until_cancelled(hub, answered))
        await asyncio.wait_for(answered.wait(), 20)
        asking.cancel()
        await asyncio.wait([asking])
    assert [(turn.cancelled, turn.first_event_s is None) for turn in turns] == [
        (True, True),
        (True, True),
        (True, False),
    ]


async def test_an_error_is_counted_by_its_code() -> None:
    asked = provider()
    async with Hub([asked]) as hub:
        turns = kept(hub)
        await hub.load("talker")
        await hub.load("embedder")
        asked.failure = BrokenAnswer("scripted", "cut")
        with pytest.raises(BrokenAnswer):
            await hub.answer(ChatRequest("talker", "one"))
        asked.failure = ProviderUnavailable("scripted", "down")
        with pytest.raises(ProviderUnavailable):
            await hub.embed(EmbedRequest("embedder", ("one",)))
    assert [(turn.error, turn.cancelled) for turn in turns] == [
        ("broken_answer", False),
        ("provider_unavailable", False),
    ]


async def test_vectors_are_a_call_too() -> None:
    async with Hub([provider()]) as hub:
        turns = kept(hub)
        await hub.embed(EmbedRequest("embedder", ("one",), task="search"))
    assert [(t.tally.route, t.tally.model, t.task, t.cancelled) for t in turns] == [
        ("embedding", "embedder", "search", False)
    ]


async def test_tokens_are_those_that_the_last_event_tells() -> None:
    async def events() -> list[Event]:
        last = Finished("stop", Usage(7, 3, 2))
        return [Started("scripted", "talker"), PromptProgress(1, 2), TextDelta("a"), last]

    told = await events()

    class Events:
        def __aiter__(self) -> Events:
            return self

        async def __anext__(self) -> Event:
            if not told:
                raise StopAsyncIteration
            return told.pop(0)

    async with Hub([provider()]) as hub, hub.lease("talker") as lease:
        turns = kept(hub)
        with Counting(hub.activity, lease, "chat", 0.0, "") as counting:
            firsts = [counting.turn.first_event_s is None async for _ in counting.over(Events())]
    assert firsts == [True, True, False, False]
    assert (turns[0].prompt_tokens, turns[0].completion_tokens, turns[0].cached_tokens) == (7, 3, 2)
    assert not turns[0].cancelled


async def test_a_task_that_cannot_be_one_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    asked = provider()
    async with Hub([asked], ledger=Ledger(tmp_path / "usage.db")) as hub:
        with pytest.raises(InvalidRequest):
            await hub.answer(ChatRequest("talker", "one", task="x" * 100))
        with pytest.raises(InvalidRequest):
            await hub.embed(EmbedRequest("embedder", ("one",), task="a\nb"))
    assert asked.loads == []
