from __future__ import annotations

from pathlib import Path

import pytest
from tests.doors.gateway.asking import Running, running
from tests.fakes.hostile_server import hostile_server
from tests.fakes.openai_server import FakeOpenAI

from lmbridge.core.errors import ProviderRefused
from lmbridge.core.provider import ProviderContext
from lmbridge.core.requests import ChatRequest, EmbedRequest
from lmbridge.doors.gateway.using import OF_A_SERVER
from lmbridge.hub.happenings import Happening, RequestEnded, RequestStarted
from lmbridge.providers.openai import OpenAIProvider
from lmbridge.tools.functions import FunctionTools


@pytest.mark.parametrize("stream", [False, True])
async def test_what_a_provider_says_of_itself_is_not_told_as_said_of_the_gateway(
    tmp_path: Path, stream: bool
) -> None:
    async with hostile_server() as server:
        provider = OpenAIProvider.create({"url": server.url}, ProviderContext(tmp_path, "other"))
        async with running([provider], tmp_path) as up:
            for code in OF_A_SERVER:
                asked = {"model": f"chat-error-{code}", "messages": [{"role": "user", "content": "Hi"}]}
                got = await up.post("/v1/chat/completions", {**asked, "stream": stream})
                key = code in ("unauthorized", "forbidden")
                assert (got.status, got.code) == (502, "provider_needs_key" if key else "provider_refused")
                assert "www-authenticate" not in got.headers
                assert "allow" not in got.headers


HELLO = [{"role": "user", "content": "hello"}]
EMBED = {"model": "fake-embed", "input": "hello"}
USES: dict[str, dict[str, object]] = {
    "/v1/chat/completions": {"messages": HELLO},
    "/v1/completions": {"prompt": "hello"},
    "/v1/responses": {"input": "hello"},
    "/v1/messages": {"messages": HELLO, "max_tokens": 9},
    "/api/chat": {"messages": HELLO},
    "/api/generate": {"prompt": "hello"},
    "/api/v1/chat": {"input": "hello"},
    "/api/v0/chat/completions": {"messages": HELLO},
    "/api/v0/completions": {"prompt": "hello"},
    "/v1/embeddings": EMBED,
    "/api/embed": EMBED,
    "/api/v0/embeddings": EMBED,
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("route", USES)
async def test_who_listens_hears_of_every_use_of_a_model_at_every_route(
    door: Running, route: str, stream: bool
) -> None:
    heard: list[Happening] = []
    door.hub.activity.listen(heard.append)
    asked = {"model": "fake-chat", **USES[route]}
    got = await door.post(route, asked if "embed" in route else {**asked, "stream": stream})
    assert got.status == 200
    assert _uses(heard) == [("fake", asked["model"], "")]


async def test_who_listens_hears_of_every_use_in_python_and_of_each_round_with_tools(
    door: Running, upstream: FakeOpenAI
) -> None:
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    upstream.models = [*upstream.models, {"id": "fault:429"}]
    hub, heard = door.hub, list[Happening]()
    hub.activity.listen(heard.append)
    await hub.answer(ChatRequest("fake-chat", "hello"))
    await hub.embed(EmbedRequest("fake-embed", ("hello",)))
    async with hub.chat(ChatRequest("fake-chat", "hello")) as events:
        await anext(events)
    with pytest.raises(ProviderRefused):
        await hub.answer(ChatRequest("fault:429", "hello"))
    model = await hub.model("fake-chat")
    rounds = await model.act("Add 1 and 2.", [FunctionTools([add])], max_rounds=2)
    assert _uses(heard) == [
        ("fake", "fake-chat", ""),
        ("fake", "fake-embed", ""),
        ("fake", "fake-chat", "cancelled"),
        ("fake", "fault:429", "provider_refused"),
        *[("fake", "fake-chat", "")] * rounds.rounds,
    ]


def _uses(heard: list[Happening]) -> list[tuple[str, str, str]]:
    """Whose model, which one, and how it went wrong: of each use that began and ended."""
    begun = [each for each in heard if isinstance(each, RequestStarted)]
    ended = [each for each in heard if isinstance(each, RequestEnded)]
    assert [(b.number, b.door, b.route) for b in begun] == [(e.number, e.door, e.route) for e in ended]
    return [(e.provider, e.model, "cancelled" if e.cancelled else e.error) for e in ended]
