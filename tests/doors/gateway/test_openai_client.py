"""The official `openai` package against the gateway and the real engine, with models of random weights.

A grammar makes such a model say exactly what a test wants; everything else here is about the protocol.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import openai
import pytest
from pydantic import BaseModel
from tests.doors.gateway.asking import Running, running, until
from tests.fakes.gguf_files import WIDTH, chat_model, embedding_model

from lmbridge.core.provider import ProviderContext
from lmbridge.providers.embedded import EmbeddedProvider

T = TypeVar("T")
HELLO = [{"role": "user", "content": "Hello"}]
SAYS_YES = {"grammar": 'root ::= "yes, of course"'}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 8}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}

CLOCK = {
    "type": "function",
    "function": {
        "name": "get_time",
        "description": "The time.",
        "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
    },
}
CITY_WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
"""Names that the built-in model knows."""
SHAPE = {
    "type": "json_schema",
    "json_schema": {
        "name": "shape",
        "schema": {
            "type": "object",
            "properties": {"answer": {"type": "string", "maxLength": 10}},
            "required": ["answer"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture(scope="module")
async def engine_door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    home = tmp_path_factory.mktemp("home")
    (home / "models").mkdir()
    chat_model(home / "models" / "random-chat.gguf")
    embedding_model(home / "models" / "random-embed.gguf")
    provider = EmbeddedProvider.create({"lmstudio_models": False}, ProviderContext(home, "embedded"))
    async with running([provider], home) as up:
        yield up


@pytest.fixture(scope="module")
async def client(engine_door: Running) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{engine_door.url}/v1", api_key="none", max_retries=0, timeout=60
    ) as one:
        yield one


@pytest.fixture(scope="module")
def sync(engine_door: Running) -> Callable[[Callable[[openai.OpenAI], T]], object]:
    """Runs something with the blocking client in a thread, as the gateway lives on this one's loop."""

    def use(work: Callable[[openai.OpenAI], T]) -> T:
        with openai.OpenAI(base_url=f"{engine_door.url}/v1", api_key="none", max_retries=0, timeout=60) as one:
            return work(one)

    async def run(work: Callable[[openai.OpenAI], T]) -> T:
        return await asyncio.to_thread(use, work)

    return run


async def test_models_are_listed_and_retrieved(client: openai.AsyncOpenAI) -> None:
    listed = {model.id: model async for model in client.models.list()}
    assert {"random-chat", "random-embed"} <= listed.keys()
    one = await client.models.retrieve("random-chat")
    assert one.owned_by == "embedded"
    assert one.kind == "chat"  # type: ignore[attr-defined]


async def test_a_chat_is_answered(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="random-chat", messages=HELLO, extra_body=SAYS_YES)
    assert answer.choices[0].message.content == "yes, of course"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0


async def test_a_chat_is_streamed_and_the_first_event_names_the_role(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="random-chat",
        messages=HELLO,
        extra_body=SAYS_YES,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "yes, of course"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0


async def test_usage_is_streamed_only_when_asked_for(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="random-chat", messages=HELLO, extra_body=SAYS_YES, stream=True
    )
    assert [c.usage async for c in stream if c.usage] == []


async def test_the_blocking_client_is_answered_and_streamed_to(sync) -> None:
    def work(client: openai.OpenAI) -> tuple[str | None, str]:
        whole = client.chat.completions.create(model="random-chat", messages=HELLO, extra_body=SAYS_YES)
        stream = client.chat.completions.create(
            model="random-chat", messages=HELLO, extra_body=SAYS_YES, stream=True
        )
        return whole.choices[0].message.content, "".join(
            c.choices[0].delta.content or "" for c in stream if c.choices
        )

    assert await sync(work) == ("yes, of course", "yes, of course")


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "weather"}}])
async def test_a_tool_that_must_be_called_is_called_with_arguments_of_its_schema(
    client: openai.AsyncOpenAI, choice: object
) -> None:
    answer = await client.chat.completions.create(
        model="random-chat",
        messages=HELLO,
        tools=[WEATHER],
        tool_choice=choice,
        max_tokens=200,
        parallel_tool_calls=False,
    )
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.name == "weather"
    assert set(json.loads(call.function.arguments)) == {"city"}


async def test_a_tool_call_is_streamed(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="random-chat",
        messages=HELLO,
        tools=[WEATHER],
        tool_choice="required",
        parallel_tool_calls=False,
        max_tokens=200,
        stream=True,
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    deltas = [d for c in chunks if c.choices for d in c.choices[0].delta.tool_calls or []]
    assert deltas[0].function.name == "weather"
    assert set(json.loads("".join(d.function.arguments or "" for d in deltas))) == {"city"}


async def test_a_tool_result_is_taken_back(client: openai.AsyncOpenAI) -> None:
    called = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}}
    answer = await client.chat.completions.create(
        model="random-chat",
        messages=[
            *HELLO,
            {"role": "assistant", "content": None, "tool_calls": [called]},
            {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        ],
        extra_body=SAYS_YES,
    )
    assert answer.choices[0].message.content == "yes, of course"


class City(BaseModel):
    name: str
    large: bool


async def test_an_answer_is_parsed_into_a_model_of_pydantic(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.parse(
        model="random-chat",
        messages=HELLO,
        max_tokens=400,
        response_format={
            "type": "json_schema",
            "json_schema": {
                "name": "city",
                "strict": True,
                "schema": {
                    "type": "object",
                    "properties": {"name": {"type": "string", "maxLength": 8}, "large": {"type": "boolean"}},
                    "required": ["name", "large"],
                    "additionalProperties": False,
                },
            },
        },
    )
    City.model_validate_json(answer.choices[0].message.content or "")


class Size(BaseModel):
    large: bool


async def test_parse_takes_a_class(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.parse(
        model="random-chat", messages=HELLO, max_tokens=400, response_format=Size
    )
    assert isinstance(answer.choices[0].message.parsed, Size)


class GetWeather(BaseModel):
    """The weather of a city."""

    city: str


async def test_parse_takes_a_class_for_a_tool(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.parse(
        model="lmbridge-tiny",
        messages=[{"role": "user", "content": "What is the weather in Paris?"}],
        tools=[openai.pydantic_function_tool(GetWeather, name="get_weather")],
        tool_choice="required",
        parallel_tool_calls=False,
        temperature=0,
    )
    (call,) = answer.choices[0].message.tool_calls or []
    assert call.function.parsed_arguments == GetWeather(city="Paris")


async def test_the_streaming_helper_sees_each_call_grow_and_parses_it(client: openai.AsyncOpenAI) -> None:
    async with client.chat.completions.stream(
        model="lmbridge-tiny",
        messages=[{"role": "user", "content": "What is the weather in Paris?"}],
        tools=[openai.pydantic_function_tool(GetWeather, name="get_weather")],
        tool_choice="required",
        parallel_tool_calls=False,
        temperature=0,
    ) as stream:
        kinds = {event.type async for event in stream}
        answer = await stream.get_final_completion()
    assert {"tool_calls.function.arguments.delta", "tool_calls.function.arguments.done"} <= kinds
    (call,) = answer.choices[0].message.tool_calls or []
    assert call.function.parsed_arguments == GetWeather(city="Paris")


async def test_the_streaming_helper_parses_an_answer(client: openai.AsyncOpenAI) -> None:
    async with client.chat.completions.stream(
        model="random-chat", messages=HELLO, max_tokens=400, response_format=Size
    ) as stream:
        answer = await stream.get_final_completion()
    assert isinstance(answer.choices[0].message.parsed, Size)


@pytest.mark.parametrize("encoding", ["float", "base64"])
async def test_vectors_are_the_same_in_either_encoding(client: openai.AsyncOpenAI, encoding: str) -> None:
    plain = await client.embeddings.create(model="random-embed", input="one")
    asked = await client.embeddings.create(model="random-embed", input="one", encoding_format=encoding)  # type: ignore[arg-type]
    given = asked.data[0].embedding
    assert isinstance(given, str) == (encoding == "base64")
    if encoding == "float":
        assert given == pytest.approx(plain.data[0].embedding, abs=1e-6)


async def test_texts_become_vectors(client: openai.AsyncOpenAI) -> None:
    got = await client.embeddings.create(model="random-embed", input=["one", "two", "one"])
    assert [len(item.embedding) for item in got.data] == [WIDTH] * 3
    assert got.data[0].embedding == pytest.approx(got.data[2].embedding, abs=1e-3)
    assert got.usage.prompt_tokens > 0


async def test_a_text_is_continued_whole_and_streamed(client: openai.AsyncOpenAI) -> None:
    whole = await client.completions.create(model="random-chat", prompt="Once", extra_body=SAYS_YES)
    assert whole.choices[0].text == "yes, of course"
    stream = await client.completions.create(model="random-chat", prompt="Once", extra_body=SAYS_YES, stream=True)
    assert "".join([c.choices[0].text async for c in stream if c.choices]) == "yes, of course"


async def test_log_probabilities_are_told(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="random-chat", messages=HELLO, max_tokens=3, logprobs=True, top_logprobs=2
    )
    told = answer.choices[0].logprobs
    assert told is not None
    assert told.content is not None
    assert len(told.content) == 3
    assert all(len(token.top_logprobs) == 2 for token in told.content)


async def test_several_choices_come_at_once_and_every_one_is_counted(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="random-chat", messages=HELLO, max_tokens=5, n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 15
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 15


async def test_several_choices_are_streamed_each_with_its_role(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="random-chat",
        messages=HELLO,
        max_tokens=5,
        n=2,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    roles = {c.choices[0].index: c.choices[0].delta.role for c in reversed(chunks) if c.choices}
    assert roles == {0: "assistant", 1: "assistant"}
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 10


async def test_several_choices_keep_their_tool_calls_and_log_probabilities(client: openai.AsyncOpenAI) -> None:
    called = await client.chat.completions.create(
        model="random-chat", messages=HELLO, tools=[WEATHER], tool_choice="required", max_tokens=200, n=2,
        parallel_tool_calls=False,
    )  # fmt: skip
    for choice in called.choices:
        (call,) = choice.message.tool_calls
        assert set(json.loads(call.function.arguments)) == {"city"}
    told = await client.chat.completions.create(
        model="random-chat", messages=HELLO, max_tokens=3, n=2, logprobs=True, top_logprobs=1
    )
    assert [len(choice.logprobs.content) for choice in told.choices] == [3, 3]
    assert [choice.finish_reason for choice in told.choices] == ["length", "length"]


@pytest.mark.parametrize("n", [1, 2])
async def test_several_prompts_are_continued_and_counted(client: openai.AsyncOpenAI, n: int) -> None:
    got = await client.completions.create(model="random-chat", prompt=["One", "Two"], max_tokens=4, n=n)
    assert [choice.index for choice in got.choices] == list(range(2 * n))
    assert all(len(choice.text) == 4 for choice in got.choices)
    assert (got.object, got.usage.completion_tokens, got.usage.prompt_tokens) == ("text_completion", 8 * n, 6)
    stream = await client.completions.create(
        model="random-chat", prompt=["One", "Two"], max_tokens=4, n=n, stream=True
    )
    assert sum([len(c.choices[0].text) async for c in stream]) == 8 * n


async def test_equal_seeds_give_equal_answers_while_others_are_answered(client: openai.AsyncOpenAI) -> None:
    async def say(seed: int | None) -> str | None:
        answer = await client.chat.completions.create(
            model="random-chat", messages=HELLO, max_tokens=12, temperature=1.0, seed=seed
        )
        return answer.choices[0].message.content

    texts = await asyncio.gather(say(7), say(None), say(7), say(8), say(None), say(7))
    assert texts[0] == texts[2] == texts[5]
    assert texts[0] != texts[3]


async def test_a_stop_text_ends_the_answer(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="random-chat", messages=HELLO, stop=[", of"], extra_body=SAYS_YES
    )
    assert answer.choices[0].message.content == "yes"


async def test_many_are_answered_at_the_same_time(client: openai.AsyncOpenAI) -> None:
    async def say() -> str | None:
        answer = await client.chat.completions.create(model="random-chat", messages=HELLO, extra_body=SAYS_YES)
        return answer.choices[0].message.content

    assert await asyncio.gather(*(say() for _ in range(12))) == ["yes, of course"] * 12


async def test_a_response_model_is_as_the_engine_says(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="embedded:random-chat", messages=HELLO, extra_body=SAYS_YES
    )
    assert answer.model == "random-chat"


async def test_an_unknown_model_is_not_found_and_the_nearest_is_named(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await client.chat.completions.create(model="random-chta", messages=HELLO)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert "random-chat" in caught.value.body["hint"]  # type: ignore[index]


async def test_too_long_a_prompt_is_a_bad_request_with_both_numbers(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(
            model="random-chat", messages=[{"role": "user", "content": "x" * 20000}]
        )
    assert caught.value.code == "context_length_exceeded"
    body = caught.value.body
    assert isinstance(body, dict)
    assert body["n_prompt_tokens"] > body["n_ctx"] > 0
    assert f"{body['n_ctx']:,}" in body["message"]
    assert f"{body['n_prompt_tokens']:,}" in body["message"]


LONG = [
    {"role": "user", "content": "x" * 1500},
    {"role": "assistant", "content": "y"},
    {"role": "user", "content": "z" * 1500},
    {"role": "assistant", "content": "y"},
    *HELLO,
]


@pytest.mark.parametrize("stream", [False, True])
async def test_old_turns_are_dropped_for_who_asks_for_that_and_he_is_told(
    client: openai.AsyncOpenAI, stream: bool
) -> None:
    asked = {"model": "random-chat", "messages": LONG, "max_tokens": 5, "stream": stream}
    with pytest.raises(openai.BadRequestError, match="has room for"):
        await client.chat.completions.create(**asked)  # type: ignore[call-overload]
    got = await client.chat.completions.with_raw_response.create(
        **asked, extra_body={"truncation": "auto", **SAYS_YES}
    )  # type: ignore[call-overload]
    assert got.headers["x-lmbridge-dropped-turns"] == "2"


async def test_tools_that_do_not_fit_are_told_apart_from_the_words(client: openai.AsyncOpenAI) -> None:
    wordy = {**WEATHER, "function": {**WEATHER["function"], "description": "z" * 20000}}  # type: ignore[dict-item]
    with pytest.raises(openai.BadRequestError, match="tools") as caught:
        await client.chat.completions.create(model="random-chat", messages=HELLO, tools=[wordy])
    assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("none", None),
        ("required", {"weather", "get_time"}),
        ({"type": "function", "function": {"name": "get_time"}}, {"get_time"}),
    ],
)
async def test_a_tool_choice_is_obeyed_with_any_model(
    client: openai.AsyncOpenAI, choice: object, called: set[str] | None, stream: bool
) -> None:
    asked = {"model": "random-chat", "messages": HELLO, "tools": [WEATHER, CLOCK], "tool_choice": choice}
    got = await client.chat.completions.create(**asked, parallel_tool_calls=False, max_tokens=100, stream=stream)  # type: ignore[call-overload]
    if stream:
        deltas = [d for c in [c async for c in got] if c.choices for d in c.choices[0].delta.tool_calls or []]
        names = {delta.function.name for delta in deltas if delta.function.name}
    else:
        names = {call.function.name for call in got.choices[0].message.tool_calls or []}
    assert len(names) == (0 if called is None else 1)
    assert names <= (called or set())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("question", ["Get the weather for Paris.", "What is 3 + 4?"])
async def test_with_tools_and_a_shape_it_is_a_call_or_an_answer_of_that_shape(
    client: openai.AsyncOpenAI, question: str, stream: bool
) -> None:
    asked = {"model": "lmbridge-tiny", "tools": [CITY_WEATHER, CLOCK], "response_format": SHAPE, "temperature": 0}
    got = await client.chat.completions.create(
        **asked, messages=[{"role": "user", "content": question}], stream=stream
    )  # type: ignore[call-overload]
    if stream:
        chunks = [c.choices[0] async for c in got if c.choices]
        text = "".join(c.delta.content or "" for c in chunks)
        names = [d.function.name for c in chunks for d in c.delta.tool_calls or [] if d.function.name]
        reason = chunks[-1].finish_reason
    else:
        said = got.choices[0].message
        text, names = said.content or "", [call.function.name for call in said.tool_calls or []]
        reason = got.choices[0].finish_reason
    if "weather" in question:
        assert (text, names, reason) == ("", ["get_weather"], "tool_calls")
    else:
        assert (set(json.loads(text)), names, reason) == ({"answer"}, [], "stop")


async def test_the_wrong_kind_of_model_is_a_bad_request(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model="random-embed", messages=HELLO)
    assert caught.value.code == "wrong_model_kind"
    with pytest.raises(openai.BadRequestError) as caught:
        await client.embeddings.create(model="random-chat", input="x")
    assert caught.value.code == "wrong_model_kind"


async def test_an_unknown_parameter_is_refused_by_name(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="made_up") as caught:
        await client.chat.completions.create(model="random-chat", messages=HELLO, extra_body={"made_up": 1})
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "made_up")


async def test_leaving_a_stream_frees_the_engine(client: openai.AsyncOpenAI, engine_door: Running) -> None:
    stream = await client.chat.completions.create(
        model="random-chat", messages=HELLO, max_tokens=1900, stream=True
    )
    await anext(aiter(stream))
    await stream.close()
    await _idle(engine_door)


async def test_leaving_an_unstreamed_answer_frees_the_engine(
    client: openai.AsyncOpenAI, engine_door: Running
) -> None:
    asking = asyncio.ensure_future(
        client.chat.completions.create(model="random-chat", messages=HELLO, max_tokens=1900)
    )
    await until(lambda: any(tally.in_flight for tally in engine_door.hub.activity.tallies))
    asking.cancel()
    await asyncio.wait([asking])
    await _idle(engine_door)


async def test_a_crash_of_the_engine_is_an_error_at_once_and_the_next_request_is_answered(
    client: openai.AsyncOpenAI, engine_door: Running
) -> None:
    stream = await client.chat.completions.create(
        model="random-chat", messages=HELLO, max_tokens=1900, stream=True
    )
    await anext(aiter(stream))
    (provider,) = engine_door.hub.providers
    assert isinstance(provider, EmbeddedProvider)
    for engine in list(provider._engines.values()):
        os.kill(engine.pid, signal.SIGKILL)
    with pytest.raises(openai.APIError) as caught:
        _ = [chunk async for chunk in stream]
    assert caught.value.code == "engine_crashed"
    answer = await client.chat.completions.create(model="random-chat", messages=HELLO, extra_body=SAYS_YES)
    assert answer.choices[0].message.content == "yes, of course"


async def _idle(door: Running) -> None:
    """The gateway has let go of it, and the engine answers somebody else at once."""
    await until(lambda: not any(tally.in_flight for tally in door.hub.activity.tallies))
    assert not any(state.leases for state in await door.hub.instances())
