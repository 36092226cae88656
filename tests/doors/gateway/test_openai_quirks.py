"""OpenAI's routes with the setting `lmstudio_quirks`: what a program that knows LM Studio alone would see."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
from tests.doors.gateway.asking import Running, events, running
from tests.fakes.openai_server import FakeOpenAI

from lmbridge.core.provider import ProviderContext
from lmbridge.doors.gateway import GatewaySettings
from lmbridge.providers.openai import OpenAIProvider

CHAT = "/v1/chat/completions"
ASKED = {"model": "fake-chat", "messages": [{"role": "user", "content": "one two"}]}


@pytest.fixture
async def quirky(provider: OpenAIProvider, tmp_path: Path) -> AsyncIterator[Running]:
    async with running([provider], tmp_path, GatewaySettings(port=0, lmstudio_quirks=True)) as up:
        yield up


async def test_an_answer_has_lm_studios_empty_fields(quirky: Running) -> None:
    got = (await quirky.post(CHAT, ASKED)).json
    message = got["choices"][0]["message"]  # type: ignore[index]
    assert (message["content"], message["tool_calls"], message["reasoning_content"]) == (
        "You said: one two ",
        [],
        "",
    )
    assert (got["stats"], got["system_fingerprint"]) == ({}, "fake-chat")


async def test_a_stream_names_the_instance_in_every_piece(quirky: Running) -> None:
    *pieces, done = events((await quirky.post(CHAT, {**ASKED, "stream": True})).body)
    assert done == "[DONE]"
    assert {json.loads(piece)["system_fingerprint"] for piece in pieces} == {"fake-chat"}


async def test_fields_that_lm_studio_does_not_know_are_passed_over(quirky: Running, upstream: FakeOpenAI) -> None:
    got = await quirky.post(CHAT, {**ASKED, "n": 2, "logprobs": True, "made_up": 1, "ttl": "soon"})
    assert len(got.json["choices"]) == 1  # type: ignore[arg-type]
    assert {"n", "logprobs", "made_up", "ttl"}.isdisjoint(upstream.requests[-1][1])


async def test_vectors_come_as_numbers_whatever_was_asked_for(quirky: Running) -> None:
    asked = {"model": "fake-embed", "input": "a", "encoding_format": "base64"}
    got = (await quirky.post("/v1/embeddings", asked)).json
    assert isinstance(got["data"][0]["embedding"], list)  # type: ignore[index]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "Invalid tool_choice type: 'object'"),
        ({"response_format": {"type": "json_object"}}, "'response_format.type' must be 'json_schema' or 'text'"),
        ({"temperature": "warm"}, "temperature"),
    ],
)
async def test_what_is_wrong_is_told_as_a_bare_text(quirky: Running, more: dict[str, object], words: str) -> None:
    got = await quirky.post(CHAT, {**ASKED, **more})
    assert got.status == 400
    assert words in str(got.json["error"])
    assert isinstance(got.json["error"], str)


async def test_a_stream_that_breaks_ends_with_lm_studios_event(upstream: FakeOpenAI, tmp_path: Path) -> None:
    upstream.models = [{"id": "fault:cut"}]
    provider = OpenAIProvider.create({"url": upstream.url}, ProviderContext(tmp_path, "fake"))
    async with running([provider], tmp_path, GatewaySettings(port=0, lmstudio_quirks=True)) as up:
        got = await up.post(CHAT, {**ASKED, "model": "fault:cut", "stream": True})
    *_, last = got.body.decode().strip().split("\n\n")
    name, data = last.split("\n")
    assert name == "event: error"
    told = json.loads(data.removeprefix("data: "))
    assert told["error"]["message"] == told["message"]


async def test_the_older_api_passes_them_over_too(quirky: Running) -> None:
    got = await quirky.post("/api/v0/chat/completions", {**ASKED, "n": 2})
    assert got.status == 200
    assert got.json["stats"]


async def test_the_official_client_understands_all_that(quirky: Running) -> None:
    async with openai.AsyncOpenAI(base_url=f"{quirky.url}/v1", api_key="x", max_retries=0) as client:
        answer = await client.chat.completions.create(**ASKED)  # type: ignore[call-overload]
        assert answer.choices[0].message.content == "You said: one two "
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(**ASKED, tool_choice={"type": "function"})  # type: ignore[call-overload]
