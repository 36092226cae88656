"""A model works with tools, whoever runs it; with a gateway in between, and without `async`, too."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from tests.contract.providers import PROVIDERS_UNDER_TEST, UnderTest
from tests.contract.test_provider import params
from tests.doors.gateway.asking import SESSION, running

from lmbridge import Chat, tool
from lmbridge.clients.lmbridge import RemoteHub
from lmbridge.core.errors import InvalidRequest
from lmbridge.core.messages import ImagePart, Message
from lmbridge.core.provider import ProviderContext
from lmbridge.core.requests import ChatRequest, NamedTool, Sampling
from lmbridge.hub.act.actor import HubActor
from lmbridge.hub.hub import Hub
from lmbridge.providers.embedded import EmbeddedProvider
from lmbridge.sync import BlockingHub
from lmbridge.tools.functions import FunctionTools

SHORT = Sampling(max_tokens=60, temperature=0.0)


@tool
async def echo(text: str) -> str:
    """Say it again.

    Args:
        text: what to say.
    """
    return f"echo: {text}"


@tool
def weather(city: str) -> str:
    """Weather in a city."""
    return f"18 degrees in {city}, {threading.current_thread().name}"


@pytest.fixture(params=params(PROVIDERS_UNDER_TEST))
async def under(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[UnderTest]:
    async with PROVIDERS_UNDER_TEST[request.param](tmp_path) as under:
        yield under


async def test_a_model_calls_a_function_and_is_given_its_result(under: UnderTest) -> None:
    async with Hub([under.provider], toolbox_of=FunctionTools) as hub:
        model = await hub.model(under.chat)
        chat = Chat()
        chat.append("user", "hello")
        result = await model.act(
            chat.copy(),
            [echo],
            on_message=chat.append,
            tool_choice=NamedTool("echo"),
            sampling=SHORT,
            max_rounds=2,
            max_seconds=60,
        )
    assert result.stop in ("answered", "rounds", "length", "invalid_call")
    if result.stop == "length" and result.rounds == 1:
        return  # a model of random weights goes on and on
    calls = [call for message in chat for call in message.tool_calls]
    results = [message for message in chat if message.role == "tool"]
    assert [call.id for call in calls] == [message.tool_call_id for message in results]
    assert calls[0].name == "echo"
    assert results[0].text.startswith("echo: ") or "wrong" in results[0].text


@pytest.fixture
async def builtin(tmp_path: Path) -> AsyncIterator[EmbeddedProvider]:
    provider = EmbeddedProvider.create({"lmstudio_models": False}, ProviderContext(tmp_path, "embedded"))
    yield provider
    await provider.aclose()


ASKED = "What is the weather in Paris?"


async def test_the_built_in_model_answers_with_what_a_function_said(builtin: EmbeddedProvider) -> None:
    async with Hub([builtin], toolbox_of=FunctionTools) as hub:
        result = await (await hub.model("lmbridge-tiny")).act(ASKED, [weather], sampling=SHORT)
    assert (result.stop, result.rounds) == ("answered", 2)
    assert "18 degrees in Paris" in result.text
    assert result.tokens.completion_tokens > 0


async def test_over_a_gateway_the_functions_are_called_here(builtin: EmbeddedProvider, tmp_path: Path) -> None:
    async with (
        running([builtin], tmp_path) as door,
        RemoteHub(door.url, SESSION, actor=HubActor(FunctionTools)) as hub,
    ):
        model = await hub.model("lmbridge-tiny")
        result = await model.act(ASKED, [weather], sampling=SHORT)
        assert result.messages[1].text == "18 degrees in Paris, lmbridge-tool"
        tokens = await model.count(ASKED)
        assert tokens is not None
        assert tokens > await model.count("hi")  # type: ignore[operator]
        assert (await model.respond("hello", sampling=SHORT)).text
        picture = (Message("user", (ImagePart("http://127.0.0.1/x.png"),)),)
        with pytest.raises(InvalidRequest, match="nothing is fetched"):
            await hub.count(ChatRequest("lmbridge-tiny", picture))


def test_without_async_it_is_the_same(tmp_path: Path) -> None:
    provider = EmbeddedProvider.create({"lmstudio_models": False}, ProviderContext(tmp_path, "embedded"))
    with start_blocking_portal() as portal:
        made = portal.call(make_hub, provider)
        hub = BlockingHub(made, portal)
        model = hub.model("lmbridge-tiny")
        assert (model.info.id, repr(model)) == ("lmbridge-tiny", "Model('embedded:lmbridge-tiny')")
        chat = Chat()
        chat.append("user", ASKED)
        result = model.act(chat.copy(), [weather], on_message=chat.append, sampling=SHORT)
        assert "18 degrees in Paris" in result.text
        assert len(chat) == 4
        assert model.trim(chat, 1000) == chat
        assert model.count("hello") == hub.count(ChatRequest("lmbridge-tiny", "hello"))
        with model.stream("hello", sampling=SHORT) as events:
            assert [type(event).__name__ for event in events][-1] == "Finished"
        assert model.respond("hello", sampling=SHORT).text
        assert len(hub.model("lmbridge-tiny-embed", "embedding").embed(["a", "b"]).vectors) == 2
        with pytest.raises(ZeroDivisionError):
            model.act(ASKED, [weather], on_round_start=lambda _: 1 // 0)
        portal.call(made.aclose)


async def make_hub(provider: EmbeddedProvider) -> Hub:
    return Hub([provider], toolbox_of=FunctionTools)
