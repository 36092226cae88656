"""Answers with tools, of servers that do with calls what they like: what reaches the caller is in one form."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import openai
import pytest
from tests.doors.gateway.asking import Running, running
from tests.fakes.openai_server import HABITS, FakeOpenAI

from lmbridge.core.provider import ProviderContext
from lmbridge.providers.openai import OpenAIProvider

WORDS = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
SAY = {"type": "function", "function": {"name": "say", "parameters": WORDS}}
ASK = {"type": "function", "function": {"name": "ask", "parameters": WORDS}}
MESSAGES = [{"role": "user", "content": "one two"}]
CALLED = ("say", {"text": "one two"})

Telling = Callable[..., Awaitable["Told"]]


class Told:
    """What a client of OpenAI's makes of an answer, streamed or whole."""

    def __init__(self, text: str, reasoning: str, calls: list[tuple[str, str, str]], reason: str | None) -> None:
        self.text, self.reasoning, self.reason = text, reasoning, reason
        self.ids = [call_id for call_id, _, _ in calls]
        self.calls = [(name, json.loads(arguments)) for _, name, arguments in calls]


async def whole(client: openai.AsyncOpenAI, **asked: object) -> Told:
    answer = await client.chat.completions.create(messages=MESSAGES, **asked)  # type: ignore[call-overload]
    said = answer.choices[0].message
    calls = [(c.id, c.function.name, c.function.arguments) for c in said.tool_calls or []]
    return Told(said.content or "", getattr(said, "reasoning_content", ""), calls, answer.choices[0].finish_reason)


async def streamed(client: openai.AsyncOpenAI, **asked: object) -> Told:
    stream = await client.chat.completions.create(messages=MESSAGES, stream=True, **asked)  # type: ignore[call-overload]
    text = reasoning = ""
    calls: dict[int, list[str]] = {}
    reason = None
    async for chunk in stream:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reasoning += getattr(choice.delta, "reasoning_content", "")
            for call in choice.delta.tool_calls or []:
                parts = calls.setdefault(call.index, ["", "", ""])
                for place, more in enumerate((call.id, call.function.name, call.function.arguments)):
                    parts[place] += more or ""
            reason = choice.finish_reason or reason
    return Told(text, reasoning, [(a, b, c) for a, b, c in calls.values()], reason)


@pytest.fixture(params=[whole, streamed])
def telling(request: pytest.FixtureRequest) -> Telling:
    """Both ways of asking have to come to the same."""
    telling: Telling = request.param
    return telling


@pytest.fixture
async def client(upstream: FakeOpenAI, tmp_path: Path) -> AsyncIterator[openai.AsyncOpenAI]:
    upstream.models = [{"id": "fake-chat"}, *({"id": f"fault:{name}"} for name in HABITS)]
    provider = OpenAIProvider.create({"url": upstream.url}, ProviderContext(tmp_path, "fake"))
    async with (
        running([provider], tmp_path) as up,
        openai.AsyncOpenAI(base_url=f"{up.url}/v1", api_key="none", max_retries=0) as one,
    ):
        yield one


@pytest.mark.parametrize("model", ["fake-chat", "fault:leaked-call", "fault:python-call", "fault:bare-call"])
async def test_a_call_is_one_whatever_the_server_makes_of_it(
    client: openai.AsyncOpenAI, telling: Telling, model: str
) -> None:
    told = await telling(client, model=model, tools=[SAY, ASK])
    assert told.calls == [CALLED]
    assert told.reason == "tool_calls"
    assert all(told.ids)
    assert told.text == ("I call. " if model == "fault:leaked-call" else "")


async def test_calls_that_share_a_number_are_two(client: openai.AsyncOpenAI, telling: Telling) -> None:
    told = await telling(client, model="fault:same-number", tools=[SAY])
    assert told.calls == [CALLED, CALLED]
    assert len(set(told.ids)) == 2
    told = await telling(client, model="fault:same-number", tools=[SAY], parallel_tool_calls=False)
    assert told.calls == [CALLED]


async def test_no_calls_are_none(client: openai.AsyncOpenAI, telling: Telling) -> None:
    for model in ("fault:no-call", "fault:empty-calls"):
        told = await telling(client, model=model, tools=[SAY], tool_choice="none")
        assert (told.text, told.calls, told.reason) == ("You said: one two ", [], "stop")
    told = await telling(client, model="fault:no-call", tools=[SAY])
    assert (told.text, told.calls) == ("You said: one two ", [])


async def test_thoughts_between_tags_are_apart(client: openai.AsyncOpenAI, telling: Telling) -> None:
    for more in ({"tools": [SAY]}, {}):
        told = await telling(client, model="fault:tags", **more)
        assert (told.reasoning, told.text, told.calls, told.reason) == ("Hm.", "Yes", [], "stop")
    told = await telling(client, model="fault:tags", extra_body={"reasoning_format": "none"})
    assert told.text == "<think>Hm.</think>\n\nYes"


@pytest.mark.parametrize(
    "asked",
    [
        {"model": "fault:no-call", "tool_choice": "required"},
        {"model": "fault:no-call", "tool_choice": {"type": "function", "function": {"name": "say"}}},
        {"model": "fault:wrong-call", "tool_choice": {"type": "function", "function": {"name": "say"}}},
    ],
)
async def test_an_answer_that_had_to_hold_a_call_is_an_error_without(
    client: openai.AsyncOpenAI, telling: Telling, asked: dict[str, object]
) -> None:
    with pytest.raises(openai.APIError, match="called") as caught:
        await telling(client, tools=[SAY, ASK], **asked)
    assert caught.value.code == "broken_answer"


async def test_a_named_tool_is_the_only_one_that_the_server_sees(
    client: openai.AsyncOpenAI, telling: Telling, upstream: FakeOpenAI
) -> None:
    named = {"type": "function", "function": {"name": "ask"}}
    told = await telling(client, model="fake-chat", tools=[SAY, ASK], tool_choice=named)
    assert told.calls == [("ask", {"text": "one two"})]
    asked = upstream.requests[-1][1]
    assert (asked["tools"], asked["tool_choice"]) == ([ASK], "required")


async def test_what_core_has_no_word_for_reaches_the_server(
    client: openai.AsyncOpenAI, telling: Telling, upstream: FakeOpenAI
) -> None:
    await telling(client, model="fake-chat", tools=[SAY], extra_body={"xtc_probability": 0.5, "ttl": 9})
    asked = upstream.requests[-1][1]
    assert asked["xtc_probability"] == 0.5
    assert "ttl" not in asked


async def test_the_counts_are_told_to_who_asks(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="fake-chat", messages=MESSAGES, tools=[SAY])  # type: ignore[list-item]
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0
    for wanted in (True, False):
        stream = await client.chat.completions.create(  # type: ignore[call-overload]
            model="fake-chat",
            messages=MESSAGES,
            tools=[SAY],
            stream=True,
            stream_options={"include_usage": wanted},
        )
        assert bool([chunk.usage async for chunk in stream if chunk.usage]) == wanted


async def test_tokens_and_first_words_are_counted(upstream: FakeOpenAI, door: Running) -> None:
    body = {"model": "fake-chat", "messages": MESSAGES, "tools": [SAY]}
    for stream in (True, False):
        assert (await door.post("/v1/chat/completions", {**body, "stream": stream})).status == 200
    (tally,) = door.hub.activity.tallies
    assert (tally.requests, tally.first_event.count) == (2, 2)
    assert tally.completion_tokens > 0


@pytest.mark.parametrize("more", [{"n": 2}, {"logprobs": True}])
async def test_what_core_cannot_hold_passes_untouched(
    upstream: FakeOpenAI, door: Running, more: dict[str, object]
) -> None:
    body = {"model": "fake-chat", "messages": MESSAGES, "tools": [SAY], **more}
    got = await door.post("/v1/chat/completions", body)
    assert got.json["id"] == "chatcmpl-fake"
    assert upstream.requests[-1][1] == body
