from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.fakes.anthropic_server import FakeAnthropic, fake_anthropic
from tests.fakes.byte_server import ByteServer, always, answer

from lmbridge.assembly import build_hub
from lmbridge.config import Config
from lmbridge.core.errors import (
    ConfigInvalid,
    InvalidRequest,
    ProviderNeedsKey,
    UnsupportedParameter,
    WrongModelKind,
)
from lmbridge.core.messages import Message, Tool
from lmbridge.core.models import LoadOptions, ModelInfo
from lmbridge.core.provider import Counter, Namer, ProviderContext, Remembering
from lmbridge.core.requests import ChatRequest, EmbedRequest, Sampling, Schema
from lmbridge.providers.anthropic import AnthropicProvider
from lmbridge.providers.anthropic.settings import KEY_ENV

HERE = ProviderContext(Path("/nowhere"), "there")
SHAPE = Schema({"type": "object", "properties": {"answer": {"type": "string"}}})


def made(**settings: object) -> AnthropicProvider:
    return AnthropicProvider.create(settings, HERE)


@pytest.fixture
async def server() -> AsyncIterator[FakeAnthropic]:
    async with fake_anthropic() as server:
        yield server


@pytest.fixture
async def provider(server: FakeAnthropic) -> AsyncIterator[AnthropicProvider]:
    provider = made(url=server.url, fast="fake-older", model="fake-claude")
    yield provider
    await provider.aclose()


async def told(provider: AnthropicProvider, request: ChatRequest, model: str = "fake-claude") -> None:
    models = {info.id: info for info in await provider.models()}
    instance = await provider.load(models[model], LoadOptions())
    async with provider.chat(instance, request) as events:
        assert [event async for event in events]


def test_a_key_that_is_there_for_another_program_makes_nobody_talk_to_a_cloud(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(KEY_ENV, "sesame")
    assert "anthropic" not in [each.id for each in build_hub(Config(tmp_path)).providers]
    asked = Config(tmp_path, providers={"anthropic": {}})
    assert "anthropic" in [each.id for each in build_hub(asked).providers]


def test_there_may_be_several(tmp_path: Path) -> None:
    tables: dict[str, object] = {"one": {"url": "http://h"}, "two": {"url": "http://g"}}
    ids = [each.id for each in build_hub(Config(tmp_path, providers={"anthropic": tables})).providers]
    assert ids[-2:] == ["one", "two"]


def test_a_wrong_setting_names_its_table() -> None:
    with pytest.raises(ConfigInvalid, match=r"^\[anthropic.there\]: "):
        made(ulr="x")
    with pytest.raises(ConfigInvalid, match=r"^\[anthropic\]: "):
        AnthropicProvider.create({"ulr": "x"}, ProviderContext(Path(), "anthropic"))


async def test_without_its_key_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_ENV, raising=False)
    provider = made()
    state = await provider.probe()
    assert (state.state, state.detail) == ("needs_key", f"${KEY_ENV} is not set.")
    assert await provider.models() == ()
    with pytest.raises(ProviderNeedsKey) as caught:
        await provider.load(ModelInfo("m", "there"), LoadOptions())
    assert KEY_ENV in caught.value.hint


async def test_a_server_that_answers_is_ready(server: FakeAnthropic) -> None:
    provider = made(url=server.url, display_name="Claude")
    state = await provider.probe()
    assert (state.state, state.detail, state.display_name) == ("ready", f"at {server.url}/v1", "Claude")
    assert repr(provider) == f"AnthropicProvider('there', '{server.url}/v1')"
    await provider.aclose()


async def test_a_key_may_be_refused_or_missing() -> None:
    async with fake_anthropic(key="sesame") as server:
        for settings, detail in (({"key": "wrong"}, "It refuses the key."), ({}, "It wants an API key.")):
            provider = made(url=server.url, **settings)
            state = await provider.probe()
            assert (state.state, state.detail) == ("needs_key", detail)
            await provider.aclose()


@pytest.mark.parametrize(
    ("reply", "state"),
    [
        (answer(b"oops", status="500 Oops"), "unavailable"),
        (answer(b'{"error": {"type": "overloaded_error", "message": "x"}}', status="529 X"), "unavailable"),
        (answer(b'{"error": {"type": "rate_limit_error", "message": "x"}}', status="429 X"), "unavailable"),
        (answer(b"<html>", status="404 Not Found"), "foreign"),
        (answer(b"<html>Welcome to nginx"), "foreign"),
        (answer(b'{"object": "list"}'), "foreign"),
    ],
)
async def test_what_answers_instead_is_told_apart(reply: bytes, state: str) -> None:
    async with ByteServer(always(reply)) as server:
        provider = made(url=server.url)
        assert (await provider.probe()).state == state
        assert await provider.models() == ()
        await provider.aclose()


async def test_a_server_that_is_not_there_or_does_not_answer_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lmbridge.providers.anthropic.provider.PROBE_LIMIT", 0.05)

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass

    async with ByteServer(mute) as server:
        provider = made(url=server.url)
        assert (await provider.probe()).detail == "It accepts connections but does not answer."
        await provider.aclose()
    gone = made(url=server.url)
    assert (await gone.probe()).state == "unavailable"
    await gone.aclose()


async def test_what_is_told_of_models_is_kept(server: FakeAnthropic) -> None:
    hostile: dict[str, object] = {"id": "d", "display_name": "x" * 500, "max_input_tokens": -1, "capabilities": 7}
    assert isinstance(server.models, list)
    server.models = [*server.models, hostile, {"id": "d"}, {"id": ""}, {"id": "\x1b[31m"}]
    server.page = 100
    provider = made(url=server.url)
    newer, _, retired, bare = await provider.models()
    assert newer == ModelInfo(
        "fake-claude",
        "there",
        display_name="Fake-Claude",
        context_length=200_000,
        tools=True,
        vision=True,
        reasoning=True,
    )
    assert retired.problem
    assert bare == ModelInfo("d", "there")
    await provider.aclose()


async def test_only_some_models_are_offered_where_that_is_wanted(server: FakeAnthropic) -> None:
    provider = made(url=server.url, models="fake-older, other")
    assert [info.id for info in await provider.models()] == ["fake-older"]
    await provider.aclose()


async def test_the_list_is_asked_for_once_until_it_is_forgotten(
    server: FakeAnthropic, provider: AnthropicProvider
) -> None:
    assert isinstance(provider, Remembering)
    await provider.models()
    await provider.models()
    assert len(server.requests) == 2  # pages
    provider.forget()
    await provider.models()
    assert len(server.requests) == 4


async def test_settings_name_its_models(provider: AnthropicProvider) -> None:
    assert isinstance(provider, Namer)
    assert provider.names == {"chat": "fake-claude", "fast": "fake-older"}


async def test_an_instance_is_there_at_once_and_costs_nothing(server: FakeAnthropic) -> None:
    provider = made(url=server.url, parallel=2, key="k")
    model = (await provider.models())[0]
    progress: list[float] = []
    instance = await provider.load(model, LoadOptions(ttl=5), progress.append)
    assert (instance.memory, instance.slots, instance.context_length, progress) == (0, 2, 200_000, [1.0])
    assert instance.endpoint.language == "anthropic"
    assert dict(instance.endpoint.headers)["x-api-key"] == "k"
    assert await provider.estimate(model, LoadOptions()) == 0
    assert await provider.room() is None
    await provider.unload(instance)
    await provider.aclose()


async def test_each_model_is_asked_as_it_can_be(server: FakeAnthropic, provider: AnthropicProvider) -> None:
    thinking = ChatRequest("", "answer", reasoning_effort="high")
    await told(provider, thinking)
    assert server.last["thinking"] == {"type": "adaptive", "display": "summarized"}
    await told(provider, thinking, "fake-older")
    assert server.last["thinking"] == {"type": "enabled", "budget_tokens": 32000}
    shaped = ChatRequest("", "answer", schema=SHAPE)
    await told(provider, shaped)
    assert "tools" not in server.last
    await told(provider, shaped, "fake-older")
    assert "output_config" not in server.last


async def test_the_limit_of_an_answer_is_a_setting(server: FakeAnthropic) -> None:
    provider = made(url=server.url, max_tokens=100)
    await told(provider, ChatRequest("", "hello"))
    assert server.last["max_tokens"] == 100
    await provider.aclose()


@pytest.mark.parametrize("cache", [False, True])
async def test_prompts_are_remembered_where_the_settings_say_so(server: FakeAnthropic, cache: bool) -> None:
    provider = made(url=server.url, cache=cache)
    await told(provider, ChatRequest("", "hello"))
    assert server.last.get("cache_control") == ({"type": "ephemeral"} if cache else None)
    mine = {"type": "ephemeral", "ttl": "1h"}
    await told(provider, ChatRequest("", "hello", extra={"cache_control": mine}))
    assert server.last["cache_control"] == mine
    await provider.aclose()


async def test_what_the_api_cannot_honour_is_refused_before_anything_is_sent(
    server: FakeAnthropic, provider: AnthropicProvider
) -> None:
    with pytest.raises(UnsupportedParameter, match="'seed'"):
        await told(provider, ChatRequest("", "hello", sampling=Sampling(seed=1)))
    assert all(route.startswith("GET") for route, _ in server.requests)


async def test_it_counts_tokens_so_that_a_conversation_can_be_made_to_fit(
    server: FakeAnthropic, tmp_path: Path
) -> None:
    assert isinstance(server.models, list)
    server.models = [{**server.models[0], "max_input_tokens": 40}]
    async with build_hub(Config(tmp_path, providers={"anthropic": {"url": server.url}})) as hub:
        assert isinstance(next(each for each in hub.providers if each.id == "anthropic"), Counter)
        assert await hub.count(ChatRequest("fake-claude", "one two three", (Tool("t"),))) == 8
        turns = (Message("user", "old " * 50), Message("assistant", "x"), Message("user", "new"))
        chat = ChatRequest("fake-claude", turns, sampling=Sampling(max_tokens=9), truncate=True)
        assert (await hub.answer(chat)).text == "You said: new "
        assert len(server.last["messages"]) == 1  # type: ignore[arg-type]


async def test_it_makes_no_vectors(server: FakeAnthropic, provider: AnthropicProvider, tmp_path: Path) -> None:
    instance = await provider.load(ModelInfo("m", "there"), LoadOptions())
    with pytest.raises(InvalidRequest, match="makes no embeddings"):
        await provider.embed(instance, EmbedRequest("", ("x",)))
    async with build_hub(Config(tmp_path, providers={"anthropic": {"url": server.url}})) as hub:
        with pytest.raises(WrongModelKind):
            await hub.embed(EmbedRequest("anthropic:fake-claude", ("x",)))


async def test_a_relayed_request_gets_the_server_s_own_name_of_the_model(provider: AnthropicProvider) -> None:
    instance = await provider.load(ModelInfo("real", "there"), LoadOptions())
    body = {"model": "real"}
    assert provider.prepare(instance, body) is body
    assert provider.prepare(instance, {"model": "there:real"}) == body


async def test_it_waits_for_ever_for_an_instance_to_go(provider: AnthropicProvider) -> None:
    instance = await provider.load(ModelInfo("m", "there"), LoadOptions())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await provider.gone(instance)


def test_anthropics_own_api_is_not_nearby_and_a_server_of_ones_own_is() -> None:
    assert not made().nearby
    assert made(url="http://127.0.0.1:4000").nearby
