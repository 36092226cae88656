"""The fake as OpenAI's own package sees it: an outsider's word that its routes are those."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
from tests.fakes.lmstudio import GOOD_TOKEN, fake_lmstudio

CHAT, THINKER = "qwen/qwen3-4b-2507", "qwen/qwen3-1.7b"
PARAMETERS = {"type": "object", "properties": {"text": {"type": "string"}}}


@pytest.fixture(params=["0.3", "0.4"])
async def client(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[openai.AsyncOpenAI]:
    async with (
        fake_lmstudio(tmp_path, version=request.param, token=GOOD_TOKEN) as fake,
        openai.AsyncOpenAI(base_url=f"{fake.url}/v1", api_key=GOOD_TOKEN, max_retries=0) as client,
    ):
        yield client


async def test_it_chats(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model=CHAT, messages=[{"role": "user", "content": "hello"}])
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("You said: hello ", "stop")
    assert answer.model == CHAT


async def test_it_streams_tool_calls(client: openai.AsyncOpenAI) -> None:
    tools = [{"type": "function", "function": {"name": name, "parameters": PARAMETERS}} for name in ("one", "two")]
    messages = [{"role": "user", "content": "both tools"}]
    async with client.chat.completions.stream(model=CHAT, messages=messages, tools=tools) as stream:  # type: ignore[arg-type]
        final = await stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert calls is not None
    assert [call.function.name for call in calls] == ["one", "two"]


async def test_it_embeds(client: openai.AsyncOpenAI) -> None:
    model = "text-embedding-nomic-embed-text-v1.5"
    answer = await client.embeddings.create(model=model, input=["a b", "c"])
    assert [each.embedding[0] for each in answer.data] == [2.0, 1.0]


async def test_it_responds_in_events(client: openai.AsyncOpenAI) -> None:
    async with client.responses.stream(model=THINKER, input="hello") as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert "response.reasoning_text.delta" in kinds
    assert final.output_text == "You said: hello "


async def test_it_lists_and_refuses(client: openai.AsyncOpenAI) -> None:
    assert CHAT in [model.id async for model in client.models.list()]
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model="no/such", messages=[])
