from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import ClassVar

import pytest
from msgspec.structs import replace
from tests.fakes.provider import ScriptedProvider

from lmbridge.core.errors import BrokenAnswer, EngineCrashed
from lmbridge.core.events import Event, Finished, Started, TextDelta, ToolCallDelta
from lmbridge.core.messages import Tool
from lmbridge.core.models import Instance, ModelInfo
from lmbridge.core.provider import Manifest
from lmbridge.core.requests import ChatRequest, Schema
from lmbridge.hub.answering import Answering
from lmbridge.hub.hub import Hub

A = ModelInfo("a", "scripted")
CLOCK = Tool("clock", parameters={"type": "object"})
CALL = '{"name": "clock", "arguments": {}}'


class Speaking(ScriptedProvider):
    """Says what it was told to, and remembers what it was asked."""

    def __init__(self, *says: Event) -> None:
        super().__init__([A])
        self.says: Sequence[Event] = says
        self.asked: list[ChatRequest] = []

    async def _events(self, instance: Instance, request: ChatRequest) -> AsyncIterator[Event]:
        self.asked.append(request)
        yield Started(self.id, "a")
        for event in self.says:
            yield event
        if self.failure is not None:
            raise self.failure


class OneOfBoth(Speaking):
    """The same, with no room for calls beside a schema."""

    manifest: ClassVar[Manifest] = replace(Speaking.manifest, schema_bars_tools=True)


async def events(provider: Speaking, request: ChatRequest) -> list[Event]:
    async with Hub([provider]) as hub, hub.chat(request) as stream:
        return [event async for event in stream]


async def test_a_call_that_leaked_into_the_text_is_one() -> None:
    got = await events(Speaking(TextDelta(CALL), Finished("stop")), ChatRequest("a", "?", tools=(CLOCK,)))
    assert [type(event) for event in got] == [Started, ToolCallDelta, Finished]
    assert got[-1] == Finished("tool_calls")


async def test_an_answer_without_the_call_it_had_to_hold_is_an_error() -> None:
    with pytest.raises(BrokenAnswer, match="had to be called"):
        await events(
            Speaking(TextDelta("No."), Finished("stop")),
            ChatRequest("a", "?", tools=(CLOCK,), tool_choice="required"),
        )


async def test_what_was_kept_back_is_given_out_when_the_events_stop() -> None:
    assert await events(Speaking(TextDelta('{"na')), ChatRequest("a", "?", tools=(CLOCK,))) == [
        Started("scripted", "a"),
        TextDelta('{"na'),
    ]


async def test_an_error_of_the_provider_passes() -> None:
    provider = Speaking(TextDelta("So"))
    async with Hub([provider]) as hub, hub.chat(ChatRequest("a", "?")) as stream:
        assert await anext(stream) == Started("scripted", "a")
        provider.failure = EngineCrashed("a", "told to")
        assert await anext(stream) == TextDelta("So")
        with pytest.raises(EngineCrashed):
            await anext(stream)


async def test_a_shape_of_the_answer_becomes_a_tool_where_both_exclude_each_other() -> None:
    request = ChatRequest("a", "?", tools=(CLOCK,), schema=Schema({"type": "object"}))
    provider = OneOfBoth(ToolCallDelta(0, "x", "final_answer", '{"a": 1}'), Finished("tool_calls"))
    assert await events(provider, request) == [Started("scripted", "a"), TextDelta('{"a": 1}'), Finished("stop")]
    assert [tool.name for tool in provider.asked[0].tools] == ["clock", "final_answer"]


async def test_elsewhere_the_provider_is_asked_for_both() -> None:
    request = ChatRequest("a", "?", tools=(CLOCK,), schema=Schema({"type": "object"}))
    provider = Speaking(TextDelta(CALL), Finished("stop"))
    assert (await events(provider, request))[1:] == [TextDelta(CALL), Finished("stop")]
    assert provider.asked == [request]


async def test_the_events_of_a_leased_model_are_iterated_as_they_are() -> None:
    said = (TextDelta("Hi"), Finished("stop"))
    async with (
        Hub([Speaking(*said)]) as hub,
        hub.lease("a") as lease,
        Answering(lease.provider, lease.instance, ChatRequest("a", "?")) as answer,
    ):
        assert [event async for event in answer] == [Started("scripted", "a"), *said]
