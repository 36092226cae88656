from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace
from tests.fakes.openai_server import FAULTS, FakeOpenAI, fake_openai

from lmbridge.clients.http import HTTPClient
from lmbridge.clients.openai import OpenAIClient, collect
from lmbridge.core.errors import (
    BridgeError,
    BrokenAnswer,
    ContextExceeded,
    InvalidRequest,
    ProviderNeedsKey,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
    WrongModel,
)
from lmbridge.core.events import Event, Finished, ReasoningDelta, Started, TextDelta, ToolCallDelta, Usage
from lmbridge.core.messages import Tool, ToolCall
from lmbridge.core.models import Endpoint
from lmbridge.core.requests import ChatRequest, EmbedRequest, Schema

HELLO = ChatRequest("", "hello world")


@pytest.fixture
async def server() -> AsyncIterator[FakeOpenAI]:
    async with fake_openai(key="sesame") as server:
        yield server


@pytest.fixture
async def client() -> AsyncIterator[OpenAIClient]:
    async with HTTPClient(idle_timeout=0.3, first_byte_timeout=0.3) as http:
        yield OpenAIClient(http, "p")


def at(server: FakeOpenAI, model: str = "fake-chat", **more: bool) -> Endpoint:
    return Endpoint(server.url, (("Authorization", "Bearer sesame"),), model, **more)  # type: ignore[arg-type]


async def events_of(client: OpenAIClient, endpoint: Endpoint, request: ChatRequest = HELLO) -> list[Event]:
    async with client.chat(endpoint, request) as events:
        return [event async for event in events]


async def test_a_streamed_answer_comes_as_events(server: FakeOpenAI, client: OpenAIClient) -> None:
    got = await events_of(client, at(server))
    assert got[:-1] == [
        Started("p", "fake-chat"),
        *(TextDelta(f"{w} ") for w in ["You", "said:", "hello", "world"]),
    ]
    last = got[-1]
    assert isinstance(last, Finished)
    assert (last.reason, last.usage) == ("stop", Usage(7, 4, 2))
    assert last.timings is not None
    assert last.timings.tokens_per_s == 123.5
    assert server.requests[-1][1]["stream"] is True


async def test_an_unstreamed_answer_is_the_same(server: FakeOpenAI, client: OpenAIClient) -> None:
    answer = await client.answer(at(server), HELLO)
    streamed = await collect(client.chat(at(server), HELLO))
    assert answer.message == streamed.message
    assert answer.text == "You said: hello world "
    assert answer.finish.usage == streamed.finish.usage == Usage(7, 4, 2)
    assert "stream" not in server.requests[0][1]


async def test_tool_calls_and_thoughts_are_put_together(server: FakeOpenAI, client: OpenAIClient) -> None:
    request = ChatRequest("", "hello", tools=(Tool("repeat"),), reasoning_effort="low")
    events = await events_of(client, at(server), request)
    assert ReasoningDelta("Let me ") in events
    assert ToolCallDelta(0, "call_1", "repeat") in events
    answer = await collect(client.chat(at(server), request))
    assert answer.tool_calls == (ToolCall("call_1", "repeat", '{"text": "hello"}'),)
    assert answer.message.reasoning == "Let me think. "
    assert answer.finish.reason == "tool_calls"
    assert (await client.answer(at(server), request)).message == answer.message


async def test_a_schema_reaches_the_server(server: FakeOpenAI, client: OpenAIClient) -> None:
    request = ChatRequest("", "hello", schema=Schema({"type": "object"}))
    assert (await collect(client.chat(at(server), request))).text == '{"answer": "yes"}'


async def test_a_body_may_be_changed_before_it_is_sent(server: FakeOpenAI, client: OpenAIClient) -> None:
    await collect(client.chat(at(server), HELLO, lambda body: {**body, "cache_prompt": True}))
    assert server.requests[-1][1]["cache_prompt"] is True


async def test_what_json_cannot_say_is_refused_before_anything_is_sent(
    server: FakeOpenAI, client: OpenAIClient
) -> None:
    for odd in (object(), float, {1j: 2}):
        with pytest.raises(InvalidRequest, match="JSON"):
            client.chat(at(server), ChatRequest("", "hi", extra={"odd": odd}))
    assert not server.requests


async def test_connections_are_kept_only_where_the_endpoint_allows(
    server: FakeOpenAI, client: OpenAIClient
) -> None:
    for _ in range(3):
        await client.answer(at(server), HELLO)
    assert server.server.connections == 1
    for _ in range(2):
        await client.answer(at(server, keep_alive=False), HELLO)
    assert server.server.connections == 3


EXPECTED: dict[str, tuple[type[BridgeError], str]] = {
    "cut": (BrokenAnswer, "ended before the answer did"),
    "reset": (BrokenAnswer, "reset|closed"),
    "torn": (BrokenAnswer, "closed before its end|within an event"),
    "silent": (ProviderTimeout, "idle"),
    "mute": (ProviderTimeout, "first byte"),
    "hangup": (BrokenAnswer, "before it began"),
    "garbage": (BrokenAnswer, "malformed"),
    "wrong-types": (BrokenAnswer, "Expected `str"),
    "error-event": (ProviderRefused, "Compute error"),
    "huge-line": (BrokenAnswer, "larger than"),
    "not-http": (BrokenAnswer, "not HTTP"),
    "no-finish": (BrokenAnswer, "without a reason to finish"),
    "error-200": (ProviderRefused, "Unexpected endpoint"),
    "401": (ProviderNeedsKey, "API key"),
    "429": (ProviderRefused, "Rate limit"),
    "500": (ProviderRefused, "web page"),
    "context": (ContextExceeded, "5,000 tokens"),
}
HARMLESS = {"no-done", "unstreamed"}
OF_EMBEDDINGS = {"short-vectors", "uneven-vectors", "shuffled-vectors"}


def test_every_fault_of_the_fake_is_tried() -> None:
    assert EXPECTED.keys() | HARMLESS | OF_EMBEDDINGS == FAULTS.keys()


@pytest.mark.parametrize("fault", EXPECTED)
async def test_a_server_that_misbehaves_is_an_error_that_says_how(
    server: FakeOpenAI, client: OpenAIClient, fault: str
) -> None:
    kind, words = EXPECTED[fault]
    with pytest.raises(kind, match=words) as caught:
        await events_of(client, at(server, f"fault:{fault}"))
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("fault", sorted(HARMLESS))
async def test_a_server_that_is_merely_odd_still_answers(
    server: FakeOpenAI, client: OpenAIClient, fault: str
) -> None:
    events = await events_of(client, at(server, f"fault:{fault}"))
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    assert len(events) > 2


async def test_the_events_before_a_cut_are_seen_first(server: FakeOpenAI, client: OpenAIClient) -> None:
    seen: list[Event] = []
    async with client.chat(at(server, "fault:error-event"), HELLO) as events:
        with pytest.raises(ProviderRefused):
            seen.extend([event async for event in _noted(events, seen)])
        with pytest.raises(StopAsyncIteration):
            await anext(events)
    assert seen == [Started("p", "fault:error-event"), TextDelta("You ")]


async def _noted(events: AsyncIterator[Event], seen: list[Event]) -> AsyncIterator[Event]:
    async for event in events:
        seen.append(event)
        yield event


async def test_leaving_a_stream_closes_its_connection(client: OpenAIClient) -> None:
    async with fake_openai(pace=0.01) as server:
        async with client.chat(at(server), ChatRequest("", "word " * 1000)) as events:
            assert isinstance(await anext(events), Started)
        with pytest.raises(StopAsyncIteration):
            await anext(events)
        await server.server.all_ended()


async def test_cancelling_a_stream_closes_its_connection(client: OpenAIClient) -> None:
    begun = asyncio.Event()

    async def read() -> None:
        async with client.chat(at(server, "fault:mute"), HELLO):
            pass

    async with fake_openai() as server, asyncio.TaskGroup() as group:
        task = group.create_task(read())
        await server.server.connected()
        begun.set()
        task.cancel()
        await server.server.all_ended()


async def test_nothing_there_is_said_plainly(client: OpenAIClient) -> None:
    async with fake_openai() as server:
        endpoint = at(server)
    with pytest.raises(ProviderUnavailable, match="nothing answers"):
        await events_of(client, endpoint)


async def test_vectors_are_given_for_texts(server: FakeOpenAI, client: OpenAIClient) -> None:
    got = await client.embed(at(server, "fake-embed"), EmbedRequest("", ("a", "bb")))
    assert got.vectors == ((1.0, 0.0, 0.5), (2.0, 1.0, 0.5))
    assert (got.provider, got.model, got.usage) == ("p", "fake-embed", Usage(2))
    shuffled = await client.embed(at(server, "fault:shuffled-vectors"), EmbedRequest("", ("a", "bb")))
    assert shuffled.vectors == got.vectors
    coded = await client.embed(
        at(server), EmbedRequest("", ("a", "bb")), lambda body: {**body, "encoding_format": "base64"}
    )
    assert coded.vectors == got.vectors


@pytest.mark.parametrize("fault", ["short-vectors", "uneven-vectors"])
async def test_vectors_that_do_not_fit_are_broken(server: FakeOpenAI, client: OpenAIClient, fault: str) -> None:
    with pytest.raises(BrokenAnswer):
        await client.embed(at(server, f"fault:{fault}"), EmbedRequest("", ("a", "b")))


async def test_models_are_listed(server: FakeOpenAI, client: OpenAIClient) -> None:
    assert [model.id for model in await client.models(at(server))] == ["fake-chat", "fake-embed"]
    with pytest.raises(ProviderNeedsKey, match="API key"):
        await client.models(Endpoint(server.url, (), "m"))
    with pytest.raises(ProviderRefused, match="File Not Found"):
        await client.models(Endpoint(server.url + "/x", at(server).headers, "m"))


async def test_an_answer_by_another_model_is_an_error_where_the_names_are_known(
    server: FakeOpenAI, client: OpenAIClient
) -> None:
    named = replace(at(server), also=("other",))
    assert (await client.answer(named, HELLO)).model == "fake-chat"
    swapped = replace(at(server), model="fake-chat-2", also=("other",))
    with pytest.raises(WrongModel) as streamed:
        async with client.chat(swapped, HELLO, lambda body: {**body, "model": "fake-chat"}) as events:
            await anext(events)
    assert (streamed.value.asked, streamed.value.answered) == ("fake-chat-2", "fake-chat")
    with pytest.raises(WrongModel):
        await client.answer(swapped, HELLO, lambda body: {**body, "model": "fake-chat"})
    with pytest.raises(WrongModel):
        await client.embed(
            replace(at(server, "fake-embed"), model="m", also=("m",)),
            EmbedRequest("", ("a",)),
            lambda body: {**body, "model": "fake-embed"},
        )
