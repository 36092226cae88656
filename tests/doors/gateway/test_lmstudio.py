"""The official `openai` package against the gateway, with LM Studio's models behind it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
from tests.doors.gateway.asking import Running, running
from tests.fakes.byte_server import ByteServer
from tests.fakes.lmstudio import GOOD_TOKEN, FakeLMStudio, fake_lmstudio

from lmbridge.core.provider import ProviderContext
from lmbridge.providers.lmstudio import provider as provider_module
from lmbridge.providers.lmstudio.provider import LMStudioProvider

CHAT, EMBED = "qwen/qwen3-4b-2507", "text-embedding-nomic-embed-text-v1.5"
HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
OTHER = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[FakeLMStudio]:
    async with fake_lmstudio(tmp_path / "user", token=GOOD_TOKEN) as one:
        yield one


@pytest.fixture
async def door(fake: FakeLMStudio, tmp_path: Path) -> AsyncIterator[Running]:
    table = {"url": fake.url, "token": GOOD_TOKEN}
    provider = LMStudioProvider.create(table, ProviderContext(tmp_path / "home", "lmstudio"))
    async with running([provider], tmp_path) as up:
        yield up


@pytest.fixture
async def client(door: Running) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{door.url}/v1", api_key="none", max_retries=0, timeout=60) as one:
        yield one


async def test_its_models_are_listed_loaded_and_answer(client: openai.AsyncOpenAI, fake: FakeLMStudio) -> None:
    assert {CHAT, EMBED} <= {model.id async for model in client.models.list()}
    answer = await client.chat.completions.create(model=CHAT, messages=HELLO)
    assert answer.choices[0].message.content == "You said: Hello "
    stream = await client.chat.completions.create(model=CHAT, messages=HELLO, stream=True)
    assert "".join([c.choices[0].delta.content or "" async for c in stream]) == "You said: Hello "
    assert fake.routes.count("POST /api/v1/models/load") == 1


async def test_simultaneous_first_requests_load_a_model_once(
    client: openai.AsyncOpenAI, fake: FakeLMStudio
) -> None:
    ask = [client.chat.completions.create(model=CHAT, messages=HELLO) for _ in range(6)]
    await asyncio.gather(*ask)
    assert fake.routes.count("POST /api/v1/models/load") == 1


async def test_vectors_are_the_same_however_they_are_asked_for(client: openai.AsyncOpenAI) -> None:
    packed = await client.embeddings.create(model=EMBED, input=["one", "two"])  # this client asks for base64
    plain = await client.embeddings.create(model=EMBED, input=["one", "two"], encoding_format="float")
    for a, b in zip(packed.data, plain.data, strict=True):
        assert a.embedding == pytest.approx(b.embedding, rel=1e-6)


async def test_what_lm_studio_would_refuse_or_misunderstand_is_put_right(
    client: openai.AsyncOpenAI, fake: FakeLMStudio
) -> None:
    answer = await client.chat.completions.create(
        model=CHAT,
        messages=[*HELLO, {"role": "assistant", "content": None, "tool_calls": _calls()}, _result()],
        tools=[OTHER, TOOL],
        tool_choice={"type": "function", "function": {"name": "weather"}},
        max_completion_tokens=50,
    )
    assert [call.function.name for call in answer.choices[0].message.tool_calls or []] == ["weather"]
    sent = fake.requests[-1].body
    assert (sent["tool_choice"], sent["max_tokens"]) == ("required", 50)
    assert sent["messages"][1]["content"] == ""


def _calls() -> list[dict[str, object]]:
    return [{"id": "1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}]


def _result() -> dict[str, object]:
    return {"role": "tool", "tool_call_id": "1", "content": "noon"}


async def test_what_lm_studio_would_ignore_is_refused_by_name(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="'n'"):
        await client.chat.completions.create(model=CHAT, messages=HELLO, n=2)
    with pytest.raises(openai.BadRequestError, match="'logprobs'"):
        await client.chat.completions.create(model=CHAT, messages=HELLO, logprobs=True)


async def test_another_model_never_answers_in_its_place(client: openai.AsyncOpenAI, fake: FakeLMStudio) -> None:
    await client.chat.completions.create(model=CHAT, messages=HELLO)
    fake.inject("wrong-model", "POST /v1/chat/completions")
    for stream in (False, True):
        with pytest.raises(openai.APIStatusError) as failed:
            await client.chat.completions.create(model=CHAT, messages=HELLO, stream=stream)
        assert failed.value.body["code"] == "wrong_model"  # type: ignore[index]


@pytest.mark.parametrize("fault", ["overflow", "overflow-event"])
async def test_too_long_a_prompt_is_called_that_whatever_it_is_called_there(
    client: openai.AsyncOpenAI, fake: FakeLMStudio, fault: str
) -> None:
    fake.inject(fault, "POST /v1/chat/completions")
    with pytest.raises(openai.APIError) as failed:
        async for _ in await client.chat.completions.create(model=CHAT, messages=HELLO, stream=True):
            pass
    assert failed.value.code == "context_length_exceeded"


async def test_a_model_that_somebody_unloaded_is_loaded_again_for_the_next_request(
    client: openai.AsyncOpenAI, fake: FakeLMStudio
) -> None:
    fake.runtime.jit = False
    await client.chat.completions.create(model=CHAT, messages=HELLO)
    fake.runtime.unload(CHAT)
    with pytest.raises(openai.InternalServerError) as failed:
        await client.chat.completions.create(model=CHAT, messages=HELLO)
    assert (failed.value.status_code, failed.value.response.headers["retry-after"]) == (503, "1")
    assert (await client.chat.completions.create(model=CHAT, messages=HELLO)).choices


async def test_a_program_that_took_its_address_gets_neither_prompt_nor_token(
    client: openai.AsyncOpenAI, door: Running, fake: FakeLMStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.chat.completions.create(model=CHAT, messages=HELLO)
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            heard.append(data)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
            await writer.drain()

    await fake.stop()
    # All that was believed for a moment is over.
    monkeypatch.setattr(provider_module, "monotonic", lambda: time.monotonic() + 60)
    async with ByteServer(serve, port=fake.port):
        for stream in (False, True):
            got = await door.post("/v1/chat/completions", {"model": CHAT, "messages": HELLO, "stream": stream})
            assert (got.status, got.code) == (502, "foreign_server")
    assert b"GET /lmstudio-greeting " in b"".join(heard)
    assert b"Hello" not in b"".join(heard)
    assert b"sk-lm" not in b"".join(heard)
    await fake.start(fake.port)
    assert (await client.chat.completions.create(model=CHAT, messages=HELLO)).choices


async def test_its_token_is_in_no_answer(door: Running, fake: FakeLMStudio) -> None:
    fake.token = "sk-lm-12345678:0123456789abcdefghij"  # another one than we have
    got = await door.post("/v1/chat/completions", {"model": CHAT, "messages": HELLO})
    assert got.status >= 400
    assert b"sk-lm" not in got.body


async def test_its_own_language_is_spoken_over_its_models_too(door: Running, fake: FakeLMStudio) -> None:
    body = {"model": CHAT, "context_length": 4096, "echo_load_config": True}
    loaded = (await door.post("/api/v1/models/load", body)).json
    assert (loaded["instance_id"], loaded["load_config"]) == (CHAT, {"context_length": 4096, "parallel": 4})
    first = (await door.post("/api/v1/chat", {"model": CHAT, "input": "hi"})).json
    assert first["output"] == [{"type": "message", "content": "You said: hi "}]
    follow = {"model": CHAT, "input": "more", "previous_response_id": first["response_id"]}
    assert (await door.post("/api/v1/chat", follow)).status == 200
    assert [turn["role"] for turn in fake.requests[-1].body["messages"]] == ["user", "assistant", "user"]
    assert (await door.post("/api/v1/models/unload", {"instance_id": CHAT})).json == {"instance_id": CHAT}
    assert fake.runtime.loaded() == []
