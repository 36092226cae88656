from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.fakes.byte_server import ByteServer, always, answer
from tests.fakes.openai_server import FakeOpenAI, fake_openai

from lmbridge.core.errors import ConfigInvalid, ProviderUnavailable
from lmbridge.core.messages import Tool
from lmbridge.core.models import LoadOptions, ModelInfo
from lmbridge.core.provider import ProviderContext
from lmbridge.core.requests import ChatRequest, NamedTool
from lmbridge.providers.openai.provider import OpenAIProvider, Settings

HERE = ProviderContext(Path("/nowhere"), "there")


def made(**settings: object) -> OpenAIProvider:
    return OpenAIProvider.create(settings, HERE)


@pytest.fixture
async def server() -> AsyncIterator[FakeOpenAI]:
    async with fake_openai() as server:
        yield server


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://h", "http://h/v1"),
        ("http://h:1/", "http://h:1/v1"),
        ("http://h/v1", "http://h/v1"),
        ("https://h/v1/", "https://h/v1"),
        ("https://h/api/v3", "https://h/api/v3"),
        ("http://[::1]:1234", "http://[::1]:1234/v1"),
    ],
)
async def test_a_url_may_come_with_or_without_its_version(given: str, used: str) -> None:
    provider = made(url=given)
    assert provider._endpoint("m").url == used
    assert used in repr(provider)


def test_every_setting_is_in_the_manifest_with_its_default() -> None:
    shown = {setting.name: setting.default for setting in OpenAIProvider.manifest.settings}
    real = {f: getattr(Settings(url="x"), f) for f in Settings.__struct_fields__}
    assert shown.keys() == real.keys()
    for name, default in shown.items():
        assert name == "url" or default == real[name]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "no `url`"),
        ({"url": 5}, "url"),
        ({"url": ""}, "url"),
        ({"url": "localhost:1234"}, "http:// or https://"),
        ({"url": "http://"}, "name a host"),
        ({"url": "http://h:99999"}, "not a URL"),
        ({"url": "http://u:sesame@h"}, "must not hold a password"),
        ({"url": "http://h?key=sesame"}, "query"),
        ({"url": "http://h", "ulr": "x"}, "ulr"),
        ({"url": "http://h", "parallel": 0}, "parallel"),
        ({"url": "http://h", "connect_timeout": -1}, "connect_timeout"),
        ({"url": "http://h", "key": "sesame\n"}, "no header can carry"),
        ({"url": "http://h", "key": "sésame"}, "no header can carry"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigInvalid, match=reason) as caught:
        made(**settings)
    assert "[openai.there]" in str(caught.value)
    assert "same" not in str(caught.value)


def test_the_table_without_a_name_is_called_by_its_own() -> None:
    with pytest.raises(ConfigInvalid, match=r"^\[openai\]: "):
        OpenAIProvider.create({}, ProviderContext(Path(), "openai"))


async def test_settings_from_the_environment_are_text(server: FakeOpenAI) -> None:
    provider = made(url=server.url, parallel="3", models="fake-embed, other", connect_timeout="2.5")
    (model,) = await provider.models()
    assert model.id == "fake-embed"
    assert (await provider.load(model, LoadOptions())).slots == 3
    await provider.aclose()


async def test_a_server_that_answers_is_ready(server: FakeOpenAI) -> None:
    provider = made(url=server.url.removesuffix("/v1"))
    state = await provider.probe()
    assert (state.provider, state.state, state.detail) == ("there", "ready", f"at {server.url}")
    await provider.aclose()


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    async with fake_openai() as server:
        provider = made(url=server.url)
    state = await provider.probe()
    assert state.state == "unavailable"
    assert "nothing answers" in state.detail
    assert state.hint
    assert await provider.models() == ()
    await provider.aclose()


async def test_a_server_that_does_not_answer_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmbridge.providers.openai.provider.PROBE_LIMIT", 0.05)

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass

    async with ByteServer(mute) as server:
        provider = made(url=server.url)
        assert (await provider.probe()).state == "unavailable"
        slow = made(url=server.url, first_byte_timeout=0.01)
        assert "silent" in (await slow.probe()).detail
        await server.all_ended()


@pytest.mark.parametrize(
    ("reply", "state"),
    [
        (answer(b"oops", status="500 Oops"), "unavailable"),
        (answer(b"<html>", status="404 Not Found"), "foreign"),
        (answer(b"<html>Welcome to nginx"), "foreign"),
        (answer(b'{"error": {"message": "No.", "code": "unauthorized"}}', status="401 Unauthorized"), "needs_key"),
        (answer(b'{"error":"Unexpected endpoint or method. (GET /x/models)"}'), "foreign"),
        (answer(b'{"models": []}'), "foreign"),
        (b"SSH-2.0-x\r\n", "foreign"),
    ],
)
async def test_what_answers_instead_is_told_apart(reply: bytes, state: str) -> None:
    async with ByteServer(always(reply)) as server:
        provider = made(url=server.url)
        found = await provider.probe()
        assert found.state == state
        assert await provider.models() == ()
        await provider.aclose()


async def test_a_server_may_need_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    async with fake_openai(key="sesame") as server:
        bare = made(url=server.url)
        state = await bare.probe()
        assert (state.state, state.detail) == ("needs_key", "It wants an API key.")
        wrong = made(url=server.url, key="wrong-secret")
        state = await wrong.probe()
        assert (state.state, state.detail) == ("needs_key", "It refuses the key.")
        assert "wrong-secret" not in repr(wrong) + repr(state)
        right = made(url=server.url, key="sesame")
        assert (await right.probe()).state == "ready"
        monkeypatch.setenv("THE_KEY", "sesame")
        from_environment = made(url=server.url, key_env="THE_KEY")
        assert (await from_environment.probe()).state == "ready"
        monkeypatch.delenv("THE_KEY")
        unset = made(url=server.url, key_env="THE_KEY")
        state = await unset.probe()
        assert (state.state, state.detail) == ("needs_key", "$THE_KEY is not set.")
        with pytest.raises(ProviderUnavailable, match=r"\$THE_KEY"):
            await unset.load(ModelInfo("m", "there"), LoadOptions())
        for provider in (bare, wrong, right, from_environment, unset):
            await provider.aclose()


async def listed(*models: dict[str, object], **settings: object) -> list[ModelInfo]:
    async with fake_openai(models=models) as server:
        provider = made(url=server.url, **settings)
        found = list(await provider.models())
        await provider.aclose()
        return found


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ({"id": "llama"}, "chat"),
        ({"id": "text-embedding-nomic"}, "embedding"),
        ({"id": "nomic-Embed-text:latest"}, "embedding"),
        ({"id": "BAAI/bge-m3"}, "embedding"),
        ({"id": "bge"}, "embedding"),
        ({"id": "gteaser"}, "chat"),
        ({"id": "x", "type": "embeddings"}, "embedding"),
        ({"id": "embed-talk", "type": "llm"}, "chat"),
        ({"id": "embed-talk", "capabilities": ["completion"]}, "chat"),
        ({"id": "x", "capabilities": ["embedding"]}, "embedding"),
        ({"id": "mine"}, "embedding"),
    ],
)
async def test_the_kind_of_a_model_is_guessed_from_what_is_told(model: dict[str, object], kind: str) -> None:
    (info,) = await listed(model, embedding_models=["mine"])
    assert info.kind == kind


async def test_what_servers_tell_about_models_is_kept() -> None:
    llama = {
        "id": "a",
        "meta": {"n_ctx_train": 4096, "n_params": 7, "size": 9},
        "architecture": {"input_modalities": ["text", "image"]},
    }
    studio = {"id": "b", "type": "vlm", "arch": "qwen", "quantization": "4bit", "max_context_length": 8192}
    vllm = {"id": "c", "max_model_len": 2048, "capabilities": ["tool_use"]}
    hostile = {
        "id": "d",
        "meta": 5,
        "arch": ["x"],
        "quantization": "y" * 500,
        "max_model_len": -1,
        "architecture": [],
    }
    a, b, c, d = await listed(llama, studio, vllm, hostile, {"id": "a"}, {"id": ""}, {"id": "\x1b[31m"})
    assert (a.context_length, a.parameters, a.size_bytes, a.vision, a.tools) == (4096, 7, 9, True, None)
    assert (b.context_length, b.architecture, b.quantization, b.vision) == (8192, "qwen", "4bit", True)
    assert (c.context_length, c.tools, c.vision) == (2048, True, None)
    assert d == ModelInfo("d", "there")


@pytest.mark.parametrize(
    ("told", "context"),
    [
        ({"meta": {"n_ctx": 2048, "n_ctx_train": 4096}}, 2048),
        ({"max_model_len": 1024}, 1024),
        ({"max_context_length": 4096, "loaded_context_length": 512}, 512),
        ({"max_context_length": 4096}, None),
    ],
)
async def test_the_context_of_an_instance_is_what_the_server_gives(
    told: dict[str, object], context: int | None
) -> None:
    async with fake_openai(models=[{"id": "m", **told}]) as server:
        provider = made(url=server.url)
        (model,) = await provider.models()
        assert (await provider.load(model, LoadOptions())).context_length == context
        await provider.aclose()


async def test_a_server_may_tell_that_a_model_is_blind() -> None:
    (info,) = await listed({"id": "m", "architecture": {"input_modalities": ["text"]}})
    assert info.vision is False


async def test_a_burst_of_questions_asks_the_server_once(server: FakeOpenAI) -> None:
    provider = made(url=server.url)
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(provider.models()) for _ in range(20)]
    assert len({tuple(task.result()) for task in asked}) == 1
    assert len(server.requests) == 1
    await provider.aclose()


async def test_a_listing_grows_old(server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmbridge.providers.openai.provider.LISTED_FOR", 0.0)
    provider = made(url=server.url)
    assert len(await provider.models()) == 2
    server.models = []
    assert await provider.models() == ()
    await provider.aclose()


async def test_an_instance_is_there_at_once_and_costs_nothing(server: FakeOpenAI) -> None:
    provider = made(url=server.url, key="k", parallel=2)
    model = (await provider.models())[0]
    told: list[float] = []
    first = await provider.load(model, LoadOptions(ttl=5), told.append)
    second = await provider.load(model, LoadOptions())
    assert first.key != second.key
    assert (first.memory, first.slots, first.context_length, told) == (0, 2, None, [1.0])
    assert (first.endpoint.url, first.endpoint.model) == (server.url, "fake-chat")
    assert dict(first.endpoint.headers) == {"authorization": "Bearer k"}
    assert await provider.estimate(model, LoadOptions()) == 0
    assert await provider.room() is None
    await provider.unload(first)
    await provider.unload(first)
    await provider.aclose()


async def test_the_runtimes_own_name_goes_into_a_relayed_request(server: FakeOpenAI) -> None:
    provider = made(url=server.url)
    instance = await provider.load(ModelInfo("real", "there"), LoadOptions())
    body = {"model": "real", "x": 1}
    assert provider.prepare(instance, body) is body
    assert provider.prepare(instance, {"model": "there:real", "x": 1}) == body
    assert provider.prepare(instance, {"x": 1}) == body


async def test_a_choice_among_tools_is_made_one_that_every_server_obeys(server: FakeOpenAI) -> None:
    provider = made(url=server.url)
    instance = await provider.load(ModelInfo("real", "there"), LoadOptions())
    tools = [{"type": "function", "function": {"name": name}} for name in ("a", "b")]
    named = {"model": "real", "tools": tools, "tool_choice": {"type": "function", "function": {"name": "b"}}}
    assert provider.prepare(instance, named) == {"model": "real", "tools": tools[1:], "tool_choice": "required"}
    request = ChatRequest("real", "no tool", (Tool("a"), Tool("b")), NamedTool("b"))
    async with provider.chat(instance, request) as events:
        assert [event async for event in events]
    asked = server.requests[-1][1]
    assert (asked["tool_choice"], len(asked["tools"])) == ("required", 1)  # type: ignore[arg-type]
    async with provider.chat(instance, replace(request, tool_choice="none")) as events:
        assert [event async for event in events]
    assert "tools" not in server.requests[-1][1]
    await provider.aclose()


async def test_it_waits_for_ever_for_an_instance_to_go(server: FakeOpenAI) -> None:
    provider = made(url=server.url)
    instance = await provider.load(ModelInfo("m", "there"), LoadOptions())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await provider.gone(instance)


def test_a_cloud_is_not_nearby_and_a_server_of_ones_own_is() -> None:
    assert not made(preset="openai").nearby
    assert made(preset="ollama").nearby
    assert made(url="http://gpu:8000").nearby
