"""One provider of a hub, against a real server that comes and goes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from tests.fakes.openai_server import FakeOpenAI, fake_openai
from tests.fakes.provider import ScriptedProvider, ScriptedRuntime

from lmbridge.core.errors import ModelNotFound, ProviderUnavailable, ShuttingDown
from lmbridge.core.events import Finished, TextDelta
from lmbridge.core.messages import Message, Tool
from lmbridge.core.models import ModelInfo
from lmbridge.core.provider import ProviderContext, ProviderState
from lmbridge.core.requests import Sampling
from lmbridge.hub.hub import Hub
from lmbridge.providers.openai import OpenAIProvider

TOOL = Tool("look_up", "Looks it up.", {"type": "object", "properties": {"what": {"type": "string"}}})


@pytest.fixture
async def server() -> AsyncIterator[FakeOpenAI]:
    async with fake_openai() as server:
        yield server


def hub_of(server: FakeOpenAI, default: str = "there", **settings: str) -> Hub:
    context = ProviderContext(Path("/nowhere"), "there")
    provider = OpenAIProvider.create({"url": server.url, "display_name": "Mine", **settings}, context)
    return Hub([ScriptedProvider([]), provider], default_provider=default)


def asked(server: FakeOpenAI) -> list[object]:
    return [body["model"] for route, body in server.requests if route.startswith("POST")]


async def test_with_its_server_up_a_provider_is_there_with_its_models(server: FakeOpenAI) -> None:
    async with hub_of(server) as hub:
        there = hub.provider("there")
        assert (there.id, repr(there)) == ("there", "ProviderHandle('there')")
        assert await there.is_configured()
        assert [model.id for model in await there.models()] == ["fake-chat"]
        able = await there.capabilities()
        assert (able.models, able.streaming, able.vision) == (("fake-chat",), True, None)
        state = await there.state()
        assert (state.state, state.display_name, state.default) == ("ready", "Mine", True)


async def test_with_its_server_down_it_is_not_configured_and_nothing_breaks(server: FakeOpenAI) -> None:
    server.server.stop_listening()
    async with hub_of(server) as hub:
        there = hub.provider("there")
        assert not await there.is_configured()
        assert (await there.state()).state == "unavailable"
        assert (await there.capabilities()).models == ()
        with pytest.raises(ProviderUnavailable):
            await there.complete("Hello")
        server.server.listen()
        assert (await there.complete("Hello")).text  # found at the next use
        assert await there.is_configured()


async def test_what_was_found_before_is_not_believed_when_it_is_asked_anew(server: FakeOpenAI) -> None:
    async with hub_of(server) as hub:
        there = hub.provider("there")
        await there.models()
        server.models = [{"id": "another"}]
        assert [m.id for m in await there.models()] == ["fake-chat"]
        await there.reset_client()
        assert [m.id for m in await there.models()] == ["another"]
        server.models = [{"id": "third"}]
        assert [m.id for m in await there.refresh_models()] == ["third"]


async def test_an_answer_tells_its_cost_and_why_it_ended(server: FakeOpenAI) -> None:
    async with hub_of(server) as hub:
        there = hub.provider("there")
        answer = await there.complete("Hello", system="Be short.", sampling=Sampling(temperature=0.0))
        assert answer.usage is not None
        assert answer.usage.completion_tokens > 0
        assert answer.stop_reason == "end_turn"
        roles = [m["role"] for m in server.requests[-1][1]["messages"]]  # type: ignore[attr-defined]
        assert roles == ["system", "user"]
        cut = await there.chat([Message("user", "Hello")], sampling=Sampling(max_tokens=1))
        assert cut.stop_reason == "max_tokens"


async def test_a_stream_comes_in_pieces_and_ends_with_its_cost(server: FakeOpenAI) -> None:
    async with hub_of(server) as hub, hub.provider("there").stream("Hello") as events:
        got = [event async for event in events]
    assert any(isinstance(event, TextDelta) for event in got)
    assert isinstance(got[-1], Finished)
    assert got[-1].usage is not None


async def test_calls_of_tools_end_a_turn_and_their_results_go_back(server: FakeOpenAI) -> None:
    async with hub_of(server) as hub:
        there = hub.provider("there")
        said = [Message("user", "Look it up")]
        first = await there.complete_with_tools(said, [TOOL], tool_choice="required")
        assert first.stop_reason == "tool_use"
        call = first.tool_calls[0]
        result = Message("tool", "42", tool_call_id=call.id)
        again = await there.complete_with_tools([*said, first.message, result], [TOOL])
        assert again.finish.reason


async def test_a_tier_is_the_model_that_the_settings_name_for_it(server: FakeOpenAI) -> None:
    server.models = [{"id": "fake-embed"}, {"id": "small"}, {"id": "large"}]
    async with hub_of(server, fast="small", premium="large", standard="small") as hub:
        there = hub.provider("there")
        await there.complete("Hello", tier="fast")
        await there.complete("Hello", tier="premium")
        await there.complete("Hello")
        await there.complete("Hello", tier="fast", model="large")
        await there.complete("Hello", model="there:large")
    assert asked(server) == ["small", "large", "small", "large", "large"]


async def test_a_tier_that_is_not_set_is_a_model_that_was_found_and_never_an_embedding_model(
    server: FakeOpenAI,
) -> None:
    server.models = [{"id": "fake-embed"}, {"id": "found"}]
    async with hub_of(server) as hub:
        for tier in ("fast", "standard", "premium"):
            await hub.provider("there").complete("Hello", tier=tier)  # type: ignore[arg-type]
    assert asked(server) == ["found"] * 3


async def test_without_an_id_it_is_whoever_answers_who_names_no_model(server: FakeOpenAI) -> None:
    async with hub_of(server) as hub:
        assert (await hub.provider().complete("Hello")).provider == "there"
        assert (await hub.provider().state()).provider == "there"
    async with hub_of(server, default="") as hub:
        assert (await hub.provider().complete("Hello", model="fake-chat")).text
        assert (await hub.provider().state()).state == "ready"


async def test_one_that_does_not_exist_is_not_configured(server: FakeOpenAI) -> None:
    async with hub_of(server) as hub:
        nobody = hub.provider("nobody")
        assert not await nobody.is_configured()
        assert (await nobody.state()).detail == "There is no such provider."
        with pytest.raises(ModelNotFound):
            await nobody.complete("Hello")


class Closing(Hub):
    """A hub that cannot be asked any more, as a gateway that went away."""

    async def probe(self) -> Sequence[ProviderState]:
        raise ShuttingDown

    async def refresh(self, provider: str = "") -> Sequence[ModelInfo]:
        raise ShuttingDown


async def test_a_hub_that_cannot_be_asked_makes_no_exception_of_it() -> None:
    async with Closing([]) as hub:
        assert (await hub.provider("there").state()).state == "unavailable"
        assert not await hub.provider("there").is_configured()


async def test_who_names_none_has_no_provider_where_there_is_only_a_cloud() -> None:
    far = ScriptedRuntime([ModelInfo("paid", "runtime")])
    far.nearby = False
    async with Hub([far]) as hub:
        assert not await hub.provider().is_configured()
        assert await hub.provider("runtime").is_configured()
    async with Hub([far], default_provider="runtime") as hub:
        assert await hub.provider().is_configured()
