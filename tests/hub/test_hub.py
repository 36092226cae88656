from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.fakes.provider import ScriptedProvider

from lmbridge.core.errors import (
    BrokenAnswer,
    ModelNotFound,
    NoModels,
    ProviderUnavailable,
    WrongModelKind,
)
from lmbridge.core.events import Finished, Started, TextDelta
from lmbridge.core.models import LoadOptions, ModelInfo
from lmbridge.core.provider import ProviderContext
from lmbridge.core.requests import ChatRequest, EmbedRequest, Sampling
from lmbridge.hub.hub import Hub
from lmbridge.providers.openai import OpenAIProvider

CHAT, EMBED = ModelInfo("talker", "scripted"), ModelInfo("embedder", "scripted", kind="embedding")


def provider(**how: int) -> ScriptedProvider:
    return ScriptedProvider([CHAT, EMBED], **how)


async def test_an_answer_streams_through_a_lease_that_ends_with_it() -> None:
    async with Hub([provider()]) as hub:
        async with hub.chat(ChatRequest("talker", "one two")) as events:
            assert (await hub.instances())[0].leases == 1
            got = [event async for event in events]
        assert got == [Started("scripted", "talker"), TextDelta("one"), TextDelta("two"), Finished("stop")]
        assert (await hub.instances())[0].leases == 0


async def test_a_whole_answer_is_what_the_events_add_up_to() -> None:
    async with Hub([provider()]) as hub:
        answer = await hub.answer(ChatRequest("", "hello"))
    assert (answer.text, answer.provider, answer.model) == ("hello", "scripted", "talker")


async def test_vectors_come_in_the_order_of_the_texts() -> None:
    async with Hub([provider()]) as hub:
        vectors = await hub.embed(EmbedRequest("embedder", ("aa", "b")))
    assert vectors.vectors == ((2.0,), (1.0,))


async def test_the_defaults_answer_who_names_no_model() -> None:
    async with Hub([provider()], default_model="nobody", default_embedding_model="embedder") as hub:
        assert await hub.resolve("", "embedding") == EMBED
        with pytest.raises(ModelNotFound, match="nobody"):
            await hub.resolve("")


async def test_a_model_in_memory_is_found_without_asking_the_providers_again() -> None:
    scripted = provider()
    async with Hub([scripted]) as hub:
        await hub.load("talker")
        await hub.resolve("talker")
        scripted._offered = ()
        hub._catalogue.forget()
        assert await hub.resolve("talker") == CHAT


async def test_each_kind_of_work_is_refused_by_a_model_that_cannot_do_it() -> None:
    async with Hub([provider()]) as hub:
        with pytest.raises(WrongModelKind):
            await hub.embed(EmbedRequest("talker", ("x",)))
        with pytest.raises(WrongModelKind):
            await hub.answer(ChatRequest("embedder", "x"))


async def test_a_seeded_request_is_alone_with_its_model() -> None:
    async with Hub([provider()]) as hub, asyncio.TaskGroup() as group:
        async with hub.chat(ChatRequest("talker", "x", sampling=Sampling(seed=1))):
            other = group.create_task(hub.answer(ChatRequest("talker", "y")))
            await asyncio.sleep(0.01)
            assert not other.done()
        assert (await other).text == "y"


async def test_loading_and_unloading_by_hand_tell_what_is_in_memory() -> None:
    async with Hub([provider()], options=LoadOptions(ttl=7)) as hub:
        state = await hub.load("embedder")
        assert (state.model, state.state, state.ttl) == ("embedder", "ready", 7)
        assert (await hub.load("")).model == "talker"
        assert (await hub.unload("scripted:embedder")).model == "embedder"
        with pytest.raises(ModelNotFound):
            await hub.unload("embedder")
        assert [s.model for s in await hub.instances()] == ["talker"]


async def test_a_broken_answer_is_an_error_at_the_caller_and_frees_the_lease() -> None:
    scripted = provider()
    async with Hub([scripted]) as hub:
        await hub.load("talker")
        scripted.failure = BrokenAnswer("scripted", "garbage")
        with pytest.raises(BrokenAnswer):
            await hub.answer(ChatRequest("talker", "x"))
        with pytest.raises(BrokenAnswer):
            await hub.embed(EmbedRequest("embedder", ("x",)))
        assert all(s.leases == 0 for s in await hub.instances())


async def test_a_provider_that_is_down_offers_nothing_and_breaks_nothing() -> None:
    class Down(ScriptedProvider):
        async def models(self) -> list[ModelInfo]:
            raise ProviderUnavailable("scripted", "refused")

    async with Hub([Down([])]) as hub:
        assert list(await hub.models()) == []
        assert [s.state for s in await hub.probe()] == ["ready"]
        with pytest.raises(NoModels):
            await hub.resolve("")


async def test_closing_the_hub_closes_its_providers() -> None:
    scripted = provider()
    async with Hub([scripted]) as hub:
        assert hub.where == "this process"
    assert scripted.closed


async def test_a_model_of_a_server_that_is_down_is_not_called_unknown(tmp_path: Path) -> None:
    down = OpenAIProvider.create({"url": "http://127.0.0.1:9"}, ProviderContext(tmp_path, "far"))
    async with Hub([provider(), down]) as hub:
        for attempt in (hub.resolve("far:talker"), hub.load("far:talker"), hub.unload("far:talker")):
            with pytest.raises(ProviderUnavailable, match="'far' cannot be reached: nothing answers"):
                await attempt
        with pytest.raises(ModelNotFound):
            await hub.resolve("scripted:nobody")
