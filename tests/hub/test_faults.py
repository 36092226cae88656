"""A provider that raises what it should not, beside one that does all well."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from tests.fakes.provider import ScriptedProvider

from lmbridge.core.errors import BrokenAnswer, ModelNotFound
from lmbridge.core.events import Embeddings, Event
from lmbridge.core.models import Instance, LoadOptions, ModelInfo
from lmbridge.core.provider import ProviderState
from lmbridge.core.requests import ChatRequest, EmbedRequest
from lmbridge.hub.hub import Hub

GOOD = ModelInfo("good", "scripted")
BAD = [ModelInfo("bad", "faulty"), ModelInfo("vectors", "faulty", kind="embedding")]


class Faulty(ScriptedProvider):
    """Raises a ValueError in the methods that are named."""

    def __init__(self, *where: str) -> None:
        super().__init__(BAD)
        self.id, self.where = "faulty", where

    def _at(self, where: str) -> None:
        if where in self.where:
            raise ValueError("out of order")

    async def models(self) -> Sequence[ModelInfo]:
        self._at("models")
        return await super().models()

    async def probe(self) -> ProviderState:
        self._at("probe")
        return await super().probe()

    async def estimate(self, model: ModelInfo, options: LoadOptions) -> int:
        self._at("estimate")
        return await super().estimate(model, options)

    async def room(self) -> int | None:
        self._at("room")
        return await super().room()

    @asynccontextmanager
    async def chat(self, instance: Instance, request: ChatRequest) -> AsyncIterator[AsyncIterator[Event]]:
        self._at("chat")
        yield self._events(instance, request)

    async def _events(self, instance: Instance, request: ChatRequest) -> AsyncIterator[Event]:
        async for event in super()._events(instance, request):
            yield event
            self._at("events")

    async def embed(self, instance: Instance, request: EmbedRequest) -> Embeddings:
        self._at("embed")
        return await super().embed(instance, request)

    async def unload(self, instance: Instance) -> None:
        self._at("unload")
        await super().unload(instance)

    async def aclose(self) -> None:
        self._at("aclose")
        await super().aclose()


def hub(*where: str) -> Hub:
    return Hub([Faulty(*where), ScriptedProvider([GOOD])])


async def test_a_list_that_fails_hides_the_models_of_no_other_provider() -> None:
    async with hub("models") as it:
        assert list(await it.models()) == [GOOD]
        assert (await it.answer(ChatRequest("good", "hi"))).text == "hi"
        with pytest.raises(ModelNotFound):
            await it.answer(ChatRequest("bad", "hi"))


async def test_a_probe_that_fails_is_a_state_with_its_reason() -> None:
    async with hub("probe") as it:
        states = await it.probe()
        assert [state.state for state in states] == ["unavailable", "ready"]
        assert "ValueError: out of order" in states[0].detail


@pytest.mark.parametrize("where", ["estimate", "chat", "events"])
async def test_an_answer_that_fails_is_a_typed_error_and_frees_the_model(where: str) -> None:
    async with hub(where) as it:
        with pytest.raises(BrokenAnswer, match="'faulty' gave a broken answer: ValueError: out of order"):
            await it.answer(ChatRequest("bad", "hi"))
        assert all(state.leases == 0 for state in await it.instances())


async def test_vectors_that_fail_and_an_unloading_are_typed_errors() -> None:
    async with hub("embed", "unload") as it:
        with pytest.raises(BrokenAnswer, match="out of order"):
            await it.embed(EmbedRequest("vectors", ("hi",)))
        with pytest.raises(BrokenAnswer, match="out of order"):
            await it.unload("vectors")
        assert await it.instances() == []


async def test_where_room_cannot_be_told_the_model_is_loaded_all_the_same() -> None:
    async with hub("room") as it:
        assert (await it.answer(ChatRequest("bad", "hi"))).text == "hi"


async def test_a_closing_that_fails_keeps_no_other_from_being_closed(caplog: pytest.LogCaptureFixture) -> None:
    good = ScriptedProvider([GOOD])
    with caplog.at_level(logging.WARNING):
        async with Hub([Faulty("aclose"), good]):
            pass
    assert good.closed
    assert "out of order" in caplog.text


async def test_one_whose_closing_fails_is_unregistered_all_the_same() -> None:
    async with hub("aclose") as it:
        with pytest.raises(BrokenAnswer, match="out of order"):
            await it.unregister("faulty")
        assert [provider.id for provider in it.providers] == ["scripted"]
