"""LM Studio's older API for asking, against the real engine."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from tests.doors.gateway.asking import Running, events, running
from tests.fakes.gguf_files import chat_model, embedding_model

from lmbridge.core.provider import ProviderContext
from lmbridge.providers.embedded import EmbeddedProvider

UNDER = "/api/v0"
SAYS_YES = {"grammar": 'root ::= "yes, of course"'}
CHAT = {"model": "random-chat", "messages": [{"role": "user", "content": "Hello"}]}
TEXT = {"model": "random-chat", "prompt": "Once"}


@pytest.fixture(scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    home = tmp_path_factory.mktemp("home")
    (home / "models").mkdir()
    chat_model(home / "models" / "random-chat.gguf")
    embedding_model(home / "models" / "random-embed.gguf")
    provider = EmbeddedProvider.create({"lmstudio_models": False}, ProviderContext(home, "embedded"))
    async with running([provider], home) as up:
        yield up


def told(answer: dict[str, object]) -> tuple[object, ...]:
    """What ends an answer of this API."""
    stats, info, runtime = (answer[name] for name in ("stats", "model_info", "runtime"))
    assert isinstance(stats, dict)
    assert isinstance(info, dict)
    assert isinstance(runtime, dict)
    assert stats["time_to_first_token"] > 0
    assert stats["tokens_per_second"] > 0
    assert info["context_length"] > 0
    return stats["stop_reason"], info["arch"], info["format"], runtime["supported_formats"]


async def test_a_chat_tells_how_fast_it_was_and_what_made_it(door: Running) -> None:
    got = (await door.post(f"{UNDER}/chat/completions", {**CHAT, **SAYS_YES})).json
    assert got["choices"][0]["message"]["content"] == "yes, of course"  # type: ignore[index]
    assert str(got["id"]).startswith("chatcmpl-")
    assert told(got) == ("eosFound", "llama", "gguf", ["gguf"])
    got = (await door.post(f"{UNDER}/chat/completions", {**CHAT, "max_tokens": 3})).json
    assert told(got)[0] == "maxPredictedTokensReached"


@pytest.mark.parametrize(("path", "body"), [("chat/completions", CHAT), ("completions", TEXT)])
async def test_a_stream_tells_it_with_its_last_piece(door: Running, path: str, body: dict[str, object]) -> None:
    usage = {"stream": True, "stream_options": {"include_usage": True}}
    got = await door.post(f"{UNDER}/{path}", {**body, **SAYS_YES, **usage})
    *pieces, last, cost, done = events(got.body)
    assert done == "[DONE]"
    assert told(json.loads(last))[0] == "eosFound"
    assert json.loads(cost)["usage"]["completion_tokens"] > 0
    assert all("stats" not in json.loads(piece) for piece in pieces)
    said = [json.loads(piece)["choices"][0] for piece in pieces]
    text = "".join(each["text"] if "text" in each else each["delta"].get("content", "") for each in said)
    assert text == "yes, of course"


async def test_a_text_is_continued(door: Running) -> None:
    got = (await door.post(f"{UNDER}/completions", {**TEXT, **SAYS_YES})).json
    assert (got["object"], got["choices"][0]["text"]) == ("text_completion", "yes, of course")  # type: ignore[index]
    assert told(got)[0] == "eosFound"


async def test_texts_become_vectors(door: Running) -> None:
    got = (await door.post(f"{UNDER}/embeddings", {"model": "random-embed", "input": ["a", "b"]})).json
    assert len(got["data"]) == 2  # type: ignore[arg-type]


async def test_a_tool_is_called(door: Running) -> None:
    tool = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}
    body = {**CHAT, "tools": [tool], "tool_choice": "required", "parallel_tool_calls": False, "max_tokens": 100}
    got = (await door.post(f"{UNDER}/chat/completions", body)).json
    assert told(got)[0] == "toolCalls"
    assert got["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "clock"  # type: ignore[index]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("chat/completions", {**CHAT, "n": 2}, "n"),
        ("chat/completions", {**CHAT, "logprobs": True}, "logprobs"),
        ("completions", {**TEXT, "logprobs": 1}, "logprobs"),
        ("completions", {**TEXT, "prompt": ["a", "b"]}, "prompt"),
        ("chat/completions", {**CHAT, "made_up": 1}, "made_up"),
        ("embeddings", {"model": "random-embed", "input": []}, "input"),
    ],
)
async def test_what_cannot_be_told_here_is_refused_by_name_in_lm_studios_form(
    door: Running, path: str, body: dict[str, object], param: str
) -> None:
    got = await door.post(f"{UNDER}/{path}", body)
    assert got.status == 400
    assert got.error["param"] == param
    assert got.error["type"] == "invalid_request"


async def test_an_unknown_model_is_told_in_lm_studios_form(door: Running) -> None:
    got = await door.post(f"{UNDER}/chat/completions", {**CHAT, "model": "nobody"})
    assert (got.status, got.error["type"]) == (404, "model_not_found")


async def test_how_long_the_model_stays_is_heeded_by_who_loads_it(door: Running) -> None:
    await door.hub.unload("random-embed")
    body = {"model": "random-embed", "input": "a"}
    for seconds in (77, 88):  # the second finds it loaded, and changes nothing
        await door.post("/v1/embeddings", {**body, "ttl": seconds})
        (state,) = [s for s in await door.hub.instances() if s.model == "random-embed"]
        assert state.ttl == 77
    refused = await door.post("/v1/embeddings", {**body, "ttl": -1})
    assert (refused.status, refused.error["param"]) == (400, "ttl")
