"""OpenAI's clients, and those of the other doors, before a provider that speaks Anthropic's language."""

from __future__ import annotations

import json
import struct
from base64 import b64decode
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import anthropic
import openai
import pytest
from pydantic import BaseModel
from tests.doors.gateway.asking import SESSION, Running, events, running
from tests.fakes.anthropic_server import FakeAnthropic, fake_anthropic
from tests.fakes.gguf_files import chat_model

from lmbridge.clients.lmbridge import RemoteHub
from lmbridge.core.events import Embeddings, Event, Usage
from lmbridge.core.models import Instance, ModelInfo
from lmbridge.core.provider import Manifest, ProviderContext
from lmbridge.core.requests import ChatRequest, EmbedRequest, Schema
from lmbridge.providers.anthropic import AnthropicProvider
from lmbridge.providers.embedded import EmbeddedProvider
from lmbridge.providers.plain import PlainProvider

HELLO = [{"role": "user", "content": "hello"}]
TOOL = {"type": "function", "function": {"name": "one", "parameters": {"type": "object", "properties": {}}}}
CHAT = {"model": "fake-claude", "messages": HELLO}


class Shape(BaseModel):
    answer: str


@pytest.fixture
async def upstream() -> AsyncIterator[FakeAnthropic]:
    async with fake_anthropic(key="sesame") as server:
        faults = ("401", "429", "529", "context", "cut", "error-event", "silent")
        assert isinstance(server.models, list)
        server.models = [*server.models, *({"id": f"fault:{name}"} for name in faults)]
        yield server


@pytest.fixture
async def door(upstream: FakeAnthropic, tmp_path: Path) -> AsyncIterator[Running]:
    """A gateway whose only provider speaks Anthropic's language."""
    settings = {"url": upstream.url, "key": "sesame"}
    provider = AnthropicProvider.create(settings, ProviderContext(tmp_path, "claude"))
    async with running([provider], tmp_path) as up:
        yield up


@pytest.fixture
async def client(door: Running) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{door.url}/v1", api_key="none", max_retries=0, timeout=60) as one:
        yield one


# ---- OpenAI's package


async def test_a_chat_is_answered_whole(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="fake-claude", messages=HELLO, max_tokens=2)  # type: ignore[arg-type]
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("You said: ", "length")
    assert (answer.object, answer.model) == ("chat.completion", "fake-claude")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (6, 2)
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 2


async def test_a_chat_is_streamed_with_thoughts_and_counts(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="fake-claude",
        messages=HELLO,  # type: ignore[arg-type]
        stream=True,
        stream_options={"include_usage": True},
        reasoning_effort="high",
    )
    chunks = [chunk async for chunk in stream]
    said = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert said[0].role == "assistant"
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in said) == "Let me think. "
    assert "".join(delta.content or "" for delta in said) == "You said: hello "
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_tool_is_called_and_its_result_goes_back(client: openai.AsyncOpenAI, streamed: bool) -> None:
    messages = list(HELLO)
    if streamed:
        async with client.chat.completions.stream(model="fake-claude", messages=messages, tools=[TOOL]) as stream:  # type: ignore[arg-type, list-item]
            choice = (await stream.get_final_completion()).choices[0]
    else:
        done = await client.chat.completions.create(model="fake-claude", messages=messages, tools=[TOOL])  # type: ignore[arg-type, list-item]
        choice = done.choices[0]  # type: ignore[assignment]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("one", {"text": "hello"})
    said = {
        "role": "assistant",
        "content": None,
        "tool_calls": [json.loads(call.model_dump_json(include=INCLUDED))],
    }
    result = {"role": "tool", "tool_call_id": call.id, "content": "no tool"}
    done = await client.chat.completions.create(
        model="fake-claude",
        messages=[*messages, said, result],  # type: ignore[list-item]
        tools=[TOOL],  # type: ignore[list-item]
    )
    assert done.choices[0].message.content == "You said: no tool "


INCLUDED = {"id": True, "type": True, "function": {"name": True, "arguments": True}}


@pytest.mark.parametrize("model", ["fake-claude", "fake-older"])
async def test_an_answer_is_parsed_whatever_the_model_can(client: openai.AsyncOpenAI, model: str) -> None:
    messages = [{"role": "user", "content": "answer"}]
    answer = await client.chat.completions.parse(model=model, messages=messages, response_format=Shape)  # type: ignore[arg-type]
    assert answer.choices[0].message.parsed == Shape(answer="yes")


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"seed": 7}, "seed"),
        ({"n": 2}, "n"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"frequency_penalty": 1}, "frequency_penalty"),
        ({"temperature": 1.5}, "temperature"),
        ({"logprobs": True}, "logprobs"),
        ({"extra_body": {"min_p": 0.1}}, "min_p"),
        ({"extra_body": {"grammar": "x"}}, "grammar"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
async def test_what_it_cannot_honour_is_refused_by_name(
    client: openai.AsyncOpenAI, more: dict[str, object], param: str, streamed: bool
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model="fake-claude", messages=HELLO, stream=streamed, **more)  # type: ignore[call-overload]
    assert (caught.value.param, caught.value.code) == (param, "unsupported_parameter")


async def test_texts_and_vectors_are_refused_with_the_reason(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="continues no texts"):
        await client.completions.create(model="fake-claude", prompt="x")
    with pytest.raises(openai.BadRequestError, match="cannot serve") as caught:
        await client.embeddings.create(model="fake-claude", input="x")
    assert caught.value.code == "wrong_model_kind"


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("401", 502, "provider_needs_key"),
        ("429", 429, "provider_refused"),
        ("529", 503, "provider_refused"),
        ("context", 400, "context_length_exceeded"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
async def test_what_goes_wrong_has_a_status_that_clients_understand(
    client: openai.AsyncOpenAI, fault: str, status: int, code: str, streamed: bool
) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        await client.chat.completions.create(model=f"fault:{fault}", messages=HELLO, stream=streamed)  # type: ignore[call-overload]
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("fault", ["cut", "error-event"])
async def test_a_stream_that_breaks_is_an_error_and_never_a_short_success(door: Running, fault: str) -> None:
    answer = await door.post("/v1/chat/completions", {**CHAT, "model": f"fault:{fault}", "stream": True})
    assert answer.status == 200
    *_, word, last = map(json.loads, events(answer.body))
    assert word["choices"][0]["delta"]["content"] == "You "
    assert last["error"]["code"] in ("broken_answer", "provider_refused")


async def test_who_goes_away_ends_the_work(
    client: openai.AsyncOpenAI, upstream: FakeAnthropic, door: Running
) -> None:
    upstream.server.ended = 0
    stream = await client.chat.completions.create(model="fault:silent", messages=HELLO, stream=True)  # type: ignore[call-overload]
    await anext(aiter(stream))
    await stream.close()
    await upstream.server.one_ended()
    assert (await door.post("/v1/chat/completions", CHAT)).status == 200


async def test_a_conversation_is_trimmed_where_that_is_wanted(door: Running, upstream: FakeAnthropic) -> None:
    assert isinstance(upstream.models, list)
    upstream.models = [{**upstream.models[0], "id": "small", "max_input_tokens": 40}]
    long = [{"role": "user", "content": "old " * 50}, {"role": "assistant", "content": "x"}, *HELLO]
    body = {"model": "small", "messages": long, "truncation": "auto", "max_tokens": 9}
    answer = await door.post("/v1/chat/completions", body)
    assert answer.headers["x-lmbridge-dropped-turns"] == "2"
    assert len(upstream.last["messages"]) == 1  # type: ignore[arg-type]


# ---- the other doors


async def test_lm_studio_s_older_api_is_answered(door: Running) -> None:
    answer = await door.post("/api/v0/chat/completions", CHAT)
    assert answer.json["choices"][0]["message"]["content"] == "You said: hello "  # type: ignore[index]
    assert "stats" in answer.json


async def test_the_newer_doors_are_answered(door: Running) -> None:
    response = await door.post("/v1/responses", {"model": "fake-claude", "input": "hello"})
    assert response.json["status"] == "completed"
    ollama = await door.post("/api/chat", {**CHAT, "stream": False})
    assert ollama.json["message"]["content"] == "You said: hello "  # type: ignore[index]
    native = await door.post("/api/v1/chat", {"model": "fake-claude", "input": "hello"})
    assert native.json["output"][0]["content"] == "You said: hello "  # type: ignore[index]


async def test_anthropic_s_package_gets_through_as_well(door: Running) -> None:
    tool = {"name": "one", "input_schema": {"type": "object"}}
    async with anthropic.AsyncAnthropic(base_url=door.url, api_key="none", max_retries=0) as client:
        async with client.messages.stream(
            model="fake-claude",
            max_tokens=99,
            messages=HELLO,
            tools=[tool],  # type: ignore[arg-type, list-item]
        ) as stream:
            final = await stream.get_final_message()
        counted = await client.messages.count_tokens(model="fake-claude", messages=HELLO)  # type: ignore[arg-type]
    assert final.stop_reason == "tool_use"
    assert (final.content[0].name, final.content[0].input) == ("one", {"text": "hello"})  # type: ignore[union-attr]
    assert counted.input_tokens == 6


async def test_another_program_of_ours_gets_through_the_gateway(door: Running) -> None:
    async with RemoteHub(door.url, SESSION) as hub:
        shape = Schema({"type": "object", "properties": {"answer": {"type": "string"}}})
        answer = await hub.answer(ChatRequest("fake-claude", "answer", schema=shape))
        assert (answer.text, answer.stop_reason) == ('{"answer": "yes"}', "end_turn")


# ---- our own gateway as the server that speaks Anthropic's language


async def test_the_engine_answers_through_two_gateways_and_both_languages(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    chat_model(tmp_path / "models" / "random-chat.gguf")
    engine = EmbeddedProvider.create({"lmstudio_models": False}, ProviderContext(tmp_path, "embedded"))
    second = tmp_path / "second"
    second.mkdir()
    async with running([engine], tmp_path) as inner:
        settings = {"url": inner.url, "key": SESSION}
        provider = AnthropicProvider.create(settings, ProviderContext(second, "claude"))
        async with (
            running([provider], second) as outer,
            openai.AsyncOpenAI(base_url=f"{outer.url}/v1", api_key="none", max_retries=0, timeout=60) as client,
        ):
            shape = {"type": "object", "properties": {"answer": {"type": "string", "maxLength": 5}}}
            wanted = {"name": "shape", "schema": {**shape, "required": ["answer"], "additionalProperties": False}}
            async with client.chat.completions.stream(
                model="random-chat",
                messages=HELLO,  # type: ignore[arg-type]
                response_format={"type": "json_schema", "json_schema": wanted},  # type: ignore[arg-type]
                stream_options={"include_usage": True},
            ) as stream:
                final = await stream.get_final_completion()
            assert json.loads(final.choices[0].message.content or "").keys() == {"answer"}
            assert final.usage is not None
            assert final.usage.completion_tokens > 1
            with pytest.raises(openai.BadRequestError) as caught:
                await client.chat.completions.create(
                    model="random-chat",
                    messages=[{"role": "user", "content": "much " * 100_000}],
                )
            assert caught.value.code == "context_length_exceeded"


# ---- providers without any endpoint


class Parrot(PlainProvider):
    """Repeats, in this process."""

    manifest = Manifest(id="parrot", display_name="Parrot", runs="local", description="Repeats.")

    async def models(self) -> Sequence[ModelInfo]:
        return [ModelInfo("parrot-vectors", self.id, "embedding")]

    def chat(self, instance: Instance, request: ChatRequest) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        raise NotImplementedError

    async def embed(self, instance: Instance, request: EmbedRequest) -> Embeddings:
        return Embeddings(tuple((float(len(text)), 0.5) for text in request.inputs), self.id, "", Usage(2))


async def test_a_provider_without_an_endpoint_makes_vectors_too(tmp_path: Path) -> None:
    provider = Parrot.create({}, ProviderContext(tmp_path, "parrot"))
    async with running([provider], tmp_path) as door:
        body = {"model": "parrot-vectors", "input": ["a", "bcd"]}
        plain = (await door.post("/v1/embeddings", body)).json
        packed = (await door.post("/v1/embeddings", {**body, "encoding_format": "base64"})).json
    assert [each["embedding"] for each in plain["data"]] == [[1.0, 0.5], [3.0, 0.5]]  # type: ignore[index, attr-defined]
    assert struct.unpack("<2f", b64decode(packed["data"][1]["embedding"])) == (3.0, 0.5)  # type: ignore[index]
    assert (plain["model"], plain["usage"]["total_tokens"]) == ("parrot-vectors", 2)  # type: ignore[index]
