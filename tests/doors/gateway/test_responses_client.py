"""The official `openai` package against the gateway and the real engine: its Responses API, unmodified."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseFunctionToolCall, ResponseStreamEvent
from pydantic import BaseModel
from tests.doors.gateway.asking import Running, running, until
from tests.fakes.gguf_files import chat_model

from lmbridge.core.provider import ProviderContext
from lmbridge.providers.embedded import EmbeddedProvider

TINY, RANDOM = "lmbridge-tiny", "random-chat"
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Rome", "Oslo"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


class Mood(BaseModel):
    """Two choices, so that even a model of random weights cannot miss."""

    mood: bool


@pytest.fixture(scope="module")
async def engine_door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    home = tmp_path_factory.mktemp("home")
    (home / "models").mkdir()
    chat_model(home / "models" / f"{RANDOM}.gguf")
    provider = EmbeddedProvider.create({"lmstudio_models": False}, ProviderContext(home, "embedded"))
    async with running([provider], home) as up:
        yield up


@pytest.fixture(scope="module")
async def client(engine_door: Running) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{engine_door.url}/v1", api_key="none", max_retries=0, timeout=60
    ) as one:
        yield one


def calls(response: Response) -> list[ResponseFunctionToolCall]:
    return [item for item in response.output if item.type == "function_call"]


async def test_a_question_is_answered_and_the_answer_kept(client: openai.AsyncOpenAI) -> None:
    made = await client.responses.create(model=TINY, input="What is lmbridge?", metadata={"who": "test"})
    assert made.output_text.startswith("lmbridge makes")
    assert (made.status, made.model, made.metadata) == ("completed", TINY, {"who": "test"})
    assert made.usage is not None
    assert made.usage.total_tokens == made.usage.input_tokens + made.usage.output_tokens > 20
    assert await client.responses.retrieve(made.id) == made
    listed = [item async for item in client.responses.input_items.list(made.id)]
    assert [item.type for item in listed] == ["message"]
    await client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(made.id)


async def test_a_conversation_is_remembered(client: openai.AsyncOpenAI) -> None:
    first = await client.responses.create(model=TINY, input="Hello")
    second = await client.responses.create(model=TINY, input="What is lmbridge?", previous_response_id=first.id)
    assert first.usage is not None
    assert second.usage is not None
    assert second.usage.input_tokens > first.usage.total_tokens
    counted = await client.responses.input_tokens.count(
        model=TINY, input="What is lmbridge?", previous_response_id=first.id
    )
    assert counted.input_tokens == second.usage.input_tokens


async def test_every_event_of_a_stream_is_understood(client: openai.AsyncOpenAI) -> None:
    async with client.responses.stream(model=TINY, input="Hello") as stream:
        names = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert names[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert names[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert set(names[4:-4]) == {"response.output_text.delta"}
    assert (await client.responses.retrieve(final.id)).output_text == final.output_text


async def test_a_tool_is_called_and_its_result_understood(client: openai.AsyncOpenAI) -> None:
    question = "What is the weather in Rome?"
    made = await client.responses.create(model=TINY, input=question, tools=[WEATHER], tool_choice="required")
    (call,) = calls(made)
    assert call.name == "weather"
    assert json.loads(call.arguments)["city"] in ("Rome", "Oslo")
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    by_id = await client.responses.create(
        model=TINY, input=[result], tools=[WEATHER], tool_choice="none", previous_response_id=made.id
    )
    items: Any = [{"role": "user", "content": question}, *made.output, result]
    by_items = await client.responses.create(
        model=TINY, input=items, tools=[WEATHER], tool_choice="none", store=False
    )
    assert by_id.output_text
    assert by_id.usage is not None
    assert by_items.usage is not None
    assert by_id.usage.input_tokens == by_items.usage.input_tokens


async def test_a_tool_call_is_streamed(client: openai.AsyncOpenAI) -> None:
    choice: Any = {"type": "function", "name": "weather"}
    async with client.responses.stream(
        model=RANDOM, input="Hello", tools=[WEATHER], tool_choice=choice, parallel_tool_calls=False
    ) as stream:
        told = [event async for event in stream]
        final = await stream.get_final_response()
    (call,) = calls(final)
    pieces = [event.delta for event in told if event.type == "response.function_call_arguments.delta"]
    assert "".join(pieces) == call.arguments
    assert json.loads(call.arguments)["city"] in ("Rome", "Oslo")


async def test_an_answer_is_parsed_into_a_model_of_pydantic(client: openai.AsyncOpenAI) -> None:
    made = await client.responses.parse(model=RANDOM, input="Well?", text_format=Mood)
    assert isinstance(made.output_parsed, Mood)
    async with client.responses.stream(model=RANDOM, input="Well?", text_format=Mood) as stream:
        final = await stream.get_final_response()
    assert isinstance(final.output_parsed, Mood)


async def test_an_answer_that_is_cut_off_is_incomplete(client: openai.AsyncOpenAI) -> None:
    made = await client.responses.create(model=TINY, input="What is lmbridge?", max_output_tokens=3)
    assert made.status == "incomplete"
    assert made.incomplete_details is not None
    assert made.incomplete_details.reason == "max_output_tokens"
    stream = await client.responses.create(model=TINY, input="What is lmbridge?", max_output_tokens=3, stream=True)
    assert [event.type async for event in stream][-1] == "response.incomplete"


async def test_too_long_a_conversation_is_refused_with_both_numbers_or_trimmed(client: openai.AsyncOpenAI) -> None:
    turns: Any = []
    for number in range(400):
        turns += [
            {"role": "user", "content": f"{number}: what is lmbridge, and what is it good for?"},
            {"role": "assistant", "content": "lmbridge makes the language models on your computer usable."},
        ]
    turns.append({"role": "user", "content": "Hello"})
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(model=TINY, input=turns, max_output_tokens=5)
    assert caught.value.code == "context_length_exceeded"
    body: Any = caught.value.body
    assert body["n_prompt_tokens"] > body["n_ctx"] > 0
    made = await client.responses.create(model=TINY, input=turns, max_output_tokens=5, truncation="auto")
    assert made.truncation == "auto"
    assert made.usage is not None
    assert 0 < made.usage.input_tokens < body["n_ctx"]
    with pytest.raises(openai.BadRequestError):
        await client.responses.create(model=TINY, input="word " * 20_000, truncation="auto")


async def test_an_answer_in_the_background_is_waited_for(client: openai.AsyncOpenAI) -> None:
    made = await client.responses.create(model=TINY, input="What is lmbridge?", background=True)
    assert made.status == "queued"
    while made.status in ("queued", "in_progress"):
        made = await client.responses.retrieve(made.id)
    assert (made.status, made.output_text[:14]) == ("completed", "lmbridge makes")


async def test_cancelling_an_answer_frees_the_engine(client: openai.AsyncOpenAI, engine_door: Running) -> None:
    made = await client.responses.create(model=RANDOM, input="Hello", max_output_tokens=1900, background=True)
    await until(lambda: any(tally.in_flight for tally in engine_door.hub.activity.tallies))
    assert (await client.responses.cancel(made.id)).status == "cancelled"
    assert (await client.responses.retrieve(made.id)).status == "cancelled"
    await idle(engine_door)


async def test_leaving_a_stream_frees_the_engine(client: openai.AsyncOpenAI, engine_door: Running) -> None:
    stream = await client.responses.create(model=RANDOM, input="Hello", max_output_tokens=1900, stream=True)
    await anext(aiter(stream))
    await stream.close()
    await idle(engine_door)


async def test_leaving_an_unstreamed_answer_frees_the_engine(
    client: openai.AsyncOpenAI, engine_door: Running
) -> None:
    asking = asyncio.ensure_future(client.responses.create(model=RANDOM, input="Hello", max_output_tokens=1900))
    await until(lambda: any(tally.in_flight for tally in engine_door.hub.activity.tallies))
    asking.cancel()
    await asyncio.wait([asking])
    await idle(engine_door)


async def test_a_mistake_is_told_as_openai_does(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(model=TINY, input="x", previous_response_id="resp_nobody")
    assert (caught.value.code, caught.value.param) == ("previous_response_not_found", "previous_response_id")
    with pytest.raises(openai.NotFoundError) as missing:
        await client.responses.create(model="lmbridge-tin", input="x")
    assert missing.value.code == "model_not_found"
    hosted: Any = {"type": "file_search", "vector_store_ids": ["vs_1"]}
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.create(model=TINY, input="x", tools=[hosted])
    assert refused.value.param == "tools[0].type"


async def test_a_crash_of_the_engine_is_raised_in_the_midst_of_a_stream(
    client: openai.AsyncOpenAI, engine_door: Running
) -> None:
    stream = await client.responses.create(model=RANDOM, input="Hello", max_output_tokens=1900, stream=True)
    await anext(aiter(stream))
    (provider,) = engine_door.hub.providers
    assert isinstance(provider, EmbeddedProvider)
    for engine in list(provider._engines.values()):
        os.kill(engine.pid, signal.SIGKILL)
    told: list[str] = []
    with pytest.raises(openai.APIError) as caught:
        await heard(stream, told)
    assert (told[-1], caught.value.code) == ("response.failed", "engine_crashed")
    assert (await client.responses.create(model=TINY, input="Hello")).status == "completed"


async def heard(stream: AsyncIterator[ResponseStreamEvent], told: list[str]) -> None:
    """Listen to the end, and write down what was heard, whatever comes."""
    async for event in stream:
        told.append(event.type)


async def idle(door: Running) -> None:
    """The gateway has let go of it, and the engine answers somebody else at once."""
    await until(lambda: not any(tally.in_flight for tally in door.hub.activity.tallies))
    assert not any(state.leases for state in await door.hub.instances())
