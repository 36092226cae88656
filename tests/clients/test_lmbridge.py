"""The remote hub against a real gateway, and against one that breaks the rules."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from inspect import signature
from pathlib import Path

import msgspec
import pytest
from tests.doors.gateway.asking import SESSION, Running, running
from tests.fakes.byte_server import ByteServer, always, answer, read_request
from tests.fakes.openai_server import FakeOpenAI, fake_openai
from tests.fakes.provider import ScriptedProvider

from lmbridge.clients.http import HTTPClient
from lmbridge.clients.lmbridge import RemoteHub
from lmbridge.core.errors import (
    BadModelFile,
    BrokenAnswer,
    ContextExceeded,
    InvalidRequest,
    ModelNotFound,
    NotRunning,
    ProviderRefused,
    ProviderUnavailable,
    Unauthorized,
    WrongModelKind,
)
from lmbridge.core.events import Finished, Started, TextDelta
from lmbridge.core.hub import AnyHub
from lmbridge.core.models import LoadOptions, ModelInfo
from lmbridge.core.provider import ProviderContext
from lmbridge.core.requests import ChatRequest, EmbedRequest
from lmbridge.doors.gateway import GatewaySettings
from lmbridge.hub.hub import Hub
from lmbridge.providers.openai import OpenAIProvider
from lmbridge.wire.openai.errors import error_body

HELLO = ChatRequest("fake-chat", "hello world")


@pytest.fixture
async def upstream() -> AsyncIterator[FakeOpenAI]:
    async with fake_openai() as server:
        yield server


@pytest.fixture
def scripted() -> ScriptedProvider:
    return ScriptedProvider([ModelInfo("local", "scripted")])


@pytest.fixture
async def door(upstream: FakeOpenAI, scripted: ScriptedProvider, tmp_path: Path) -> AsyncIterator[Running]:
    server = OpenAIProvider.create({"url": upstream.url}, ProviderContext(tmp_path, "server"))
    async with running([scripted, server], tmp_path, GatewaySettings(port=0, require_key=True)) as up:
        yield up


@pytest.fixture
async def hub(door: Running) -> AsyncIterator[RemoteHub]:
    async with RemoteHub(door.url, SESSION) as hub:
        yield hub


def test_it_is_a_hub_like_ours() -> None:
    def as_any(hub: RemoteHub) -> AnyHub:
        return hub

    assert callable(as_any)
    for name in ("probe", "models", "resolve", "instances", "load", "unload", "chat", "answer", "embed", "aclose"):
        assert signature(getattr(RemoteHub, name)).parameters == signature(getattr(AnyHub, name)).parameters
        assert signature(getattr(Hub, name)).parameters == signature(getattr(AnyHub, name)).parameters


async def test_it_says_where_it_is_and_keeps_its_key_to_itself(door: Running) -> None:
    hub = RemoteHub(door.url + "/", "sesame")
    assert hub.where == door.url
    assert "sesame" not in repr(hub)
    with pytest.raises(Unauthorized) as caught:
        await hub.models()
    assert "sesame" not in str(caught.value)
    await hub.aclose()
    await hub.aclose()


async def test_providers_and_models_are_those_of_the_gateway(hub: RemoteHub, door: Running) -> None:
    assert [state.provider for state in await hub.probe()] == ["scripted", "server"]
    assert list(await hub.models()) == list(await door.hub.models())
    assert (await hub.status()).uptime_s >= 0


async def test_names_mean_what_they_mean_there(hub: RemoteHub) -> None:
    assert (await hub.resolve("fake-embed", "embedding")).provider == "server"
    with pytest.raises(ModelNotFound, match="fake-chat"):
        await hub.resolve("fake-chta")
    with pytest.raises(WrongModelKind):
        await hub.resolve("fake-embed")


async def test_a_model_is_loaded_and_unloaded_there(
    hub: RemoteHub, door: Running, scripted: ScriptedProvider
) -> None:
    scripted.gate.clear()
    told: list[float] = []

    def progress(done: float) -> None:
        told.append(done)
        scripted.gate.set()

    state = await hub.load("local", LoadOptions(ttl=60), progress)
    assert (state.model, state.state, state.ttl) == ("local", "ready", 60)
    assert told
    assert [instance.model for instance in await hub.instances()] == ["local"]
    assert (await hub.unload("local")).model == "local"
    assert await hub.instances() == ()
    with pytest.raises(ModelNotFound):
        await hub.unload("local")


async def test_a_load_that_fails_is_the_error_it_is_there(hub: RemoteHub, scripted: ScriptedProvider) -> None:
    scripted.failure = BadModelFile("x.gguf", "truncated")
    with pytest.raises(BadModelFile, match="truncated"):
        await hub.load("local")
    with pytest.raises(ModelNotFound):
        await hub.load("nothing")


async def test_a_load_that_fails_after_it_has_begun_is_the_same_error(
    hub: RemoteHub, scripted: ScriptedProvider
) -> None:
    scripted.gate.clear()
    scripted.failure = BadModelFile("x.gguf", "truncated")
    with pytest.raises(BadModelFile, match="truncated"):
        await hub.load("local", progress=lambda done: scripted.gate.set())


async def test_chat_is_streamed_and_whole(hub: RemoteHub) -> None:
    async with hub.chat(HELLO) as events:
        got = [event async for event in events]
    assert isinstance(got[0], Started)
    assert got[0].model == "fake-chat"
    assert "".join(event.text for event in got if isinstance(event, TextDelta)) == "You said: hello world "
    assert isinstance(got[-1], Finished)
    assert got[-1].usage is not None
    assert (await hub.answer(HELLO)).text == "You said: hello world "


async def test_errors_of_a_chat_are_those_of_the_gateway(hub: RemoteHub, upstream: FakeOpenAI) -> None:
    upstream.models = [{"id": f"fault:{fault}"} for fault in ("cut", "context", "429")]
    with pytest.raises(ModelNotFound):
        await hub.answer(ChatRequest("nothing", "hi"))
    for fault, error in (("cut", BrokenAnswer), ("context", ContextExceeded), ("429", ProviderRefused)):
        with pytest.raises(error):
            await hub.answer(ChatRequest(f"server:fault:{fault}", "hi"))


async def test_leaving_a_chat_frees_its_place(hub: RemoteHub, upstream: FakeOpenAI) -> None:
    upstream.pace = 0.01
    async with hub.chat(ChatRequest("fake-chat", "word " * 2000)) as events:
        assert isinstance(await anext(events), Started)
    async with asyncio.timeout(10):
        while any(instance.leases for instance in await hub.instances()):
            await upstream.server.one_ended()


async def test_vectors_come_through(hub: RemoteHub) -> None:
    got = await hub.embed(EmbedRequest("fake-embed", ("a", "bb")))
    assert [vector[0] for vector in got.vectors] == [1.0, 2.0]


async def test_what_a_call_is_for_goes_along_and_usage_is_that_of_the_gateway(hub: RemoteHub) -> None:
    await hub.answer(msgspec.structs.replace(HELLO, task="grüßen, 100 %"))
    await hub.embed(EmbedRequest("fake-embed", ("a",), task="search"))
    await hub.embed(EmbedRequest("fake-embed", ("a",)))
    report = await hub.usage("task")
    assert sorted(row.name for row in report.rows) == ["grüßen, 100 %", "openai embedding", "search"]
    (row,) = (await hub.usage("where", since=1.0, until=1e11, model="FAKE-chat")).rows
    assert (row.name, row.calls) == ("gateway", 1)
    assert (await hub.usage(until=1.0)).total.calls == 0
    with pytest.raises(InvalidRequest):
        await hub.answer(msgspec.structs.replace(HELLO, task="a\nb"))


async def test_a_gateway_that_is_gone_is_not_running() -> None:
    async with ByteServer(always(b"")) as server:
        url = server.url
    async with RemoteHub(url, "key") as hub:
        for ask in (hub.models(), hub.answer(HELLO), hub.embed(EmbedRequest("", ("a",))), hub.load("x")):
            with pytest.raises(NotRunning):
                await ask
        with pytest.raises(NotRunning):
            async with hub.chat(HELLO):
                pass


async def test_a_provider_that_is_gone_is_not_a_gateway_that_is_gone(tmp_path: Path) -> None:
    async with fake_openai() as upstream:
        provider = OpenAIProvider.create({"url": upstream.url}, ProviderContext(tmp_path, "server"))
        assert await provider.models()
    async with running([provider], tmp_path) as door, RemoteHub(door.url, SESSION) as hub:
        with pytest.raises(ProviderUnavailable, match="'server'"):
            await hub.answer(HELLO)


EVENT = ("content-type: text/event-stream",)


@pytest.mark.parametrize(
    "reply",
    [
        answer(b"{}"),
        answer(b"<html>"),
        answer(b'data: {"progress": 1.0}\n\n', *EVENT),
        answer(b'data: {"progress": "x"}\n\n', *EVENT),
        answer(b"data: x\n\n", *EVENT),
        answer(b'data: {"instance"', *EVENT),
        answer(b'data: {"instance": {"model": 5}}\n\n', *EVENT),
        answer(b'data: {"progress": 0.5}\n\n', *EVENT)[:-2],
    ],
)
async def test_a_gateway_that_breaks_the_rules_gives_a_broken_answer(reply: bytes) -> None:
    async with ByteServer(always(reply, keep=False)) as server, RemoteHub(server.url, "") as hub:
        with pytest.raises(BrokenAnswer):
            await hub.load("x")
        with pytest.raises(BrokenAnswer):
            await hub.models()


async def test_shutting_down_ends_the_gateway(door: Running) -> None:
    async with HTTPClient() as http:
        hub = RemoteHub(door.url, SESSION, http=http)
        await hub.shutdown()
        await hub.aclose()  # does not close what it was given
        with pytest.raises((NotRunning, BrokenAnswer)):
            await _ask_often(hub)


async def _ask_often(hub: RemoteHub) -> None:
    async with asyncio.timeout(30):
        while True:
            await hub.models()


async def test_a_wish_to_trim_is_passed_on_and_what_does_not_fit_tells_the_share_of_the_tools() -> None:
    asked: list[bytes] = []
    told = error_body(ContextExceeded(30, 20, 10))

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, body = await read_request(reader)
            asked.append(body)
            resolved = head.startswith(b"POST /api/lmbridge/models/resolve ")
            found = answer(msgspec.json.encode(ModelInfo("m", "server")))
            writer.write(found if resolved else answer(told, status="400 Bad Request"))
            await writer.drain()

    async with ByteServer(handle) as server, RemoteHub(server.url, "") as hub:
        for truncate in (True, False):
            with pytest.raises(ContextExceeded, match="10 of them for its tools") as caught:
                await hub.answer(ChatRequest("m", "x", truncate=truncate))
            assert caught.value.tool_tokens == 10
    assert [b'"truncation":"auto"' in body for body in asked] == [False, True, False, False]


async def test_one_provider_of_the_gateway_is_asked_like_one_of_ours(hub: RemoteHub, upstream: FakeOpenAI) -> None:
    server = hub.provider("server")
    assert await server.is_configured()
    assert (await server.state()).display_name == "OpenAI-compatible server"
    assert (await server.capabilities()).models == ("fake-chat",)
    answer = await server.complete("hello world")
    assert (answer.stop_reason, answer.usage is not None) == ("end_turn", True)
    assert list(await hub.refresh("server")) == list(await hub.models())
    assert await hub.default_provider() == ""
    assert not await hub.provider("nobody").is_configured()


async def test_a_gateway_that_went_away_is_no_provider_and_raises_nothing() -> None:
    async with RemoteHub("http://127.0.0.1:1", "") as hub:
        assert not await hub.provider("server").is_configured()
        assert (await hub.provider("server").state()).state == "unavailable"


async def test_a_gateway_takes_no_providers_of_ours(hub: RemoteHub, scripted: ScriptedProvider) -> None:
    with pytest.raises(InvalidRequest, match="providers of its own"):
        hub.register(scripted)
    with pytest.raises(InvalidRequest, match="gateway=False"):
        await hub.unregister("scripted")
