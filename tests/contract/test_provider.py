"""What every provider promises (`core/provider.py`), whatever runs its models."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from tests.contract.providers import EMBEDDERS, PROVIDERS_UNDER_TEST, UnderTest

from lmbridge.clients.http import HTTPClient
from lmbridge.core.errors import BridgeError, ConfigInvalid
from lmbridge.core.events import AnswerBuilder, Event, Finished, ReasoningDelta, Started, TextDelta
from lmbridge.core.models import Instance, LoadOptions, ModelInfo
from lmbridge.core.provider import Namer, ProviderContext, Remembering
from lmbridge.core.requests import ChatRequest, EmbedRequest, Sampling
from lmbridge.core.tiers import TIERS
from lmbridge.hub.hub import Hub

SHORT = Sampling(max_tokens=4, temperature=0.0)
LIMIT_S = 30
CHAT_ROUTES = {"openai": "/chat/completions", "anthropic": "/messages"}


def params(names: Iterable[str]) -> list[object]:
    return [
        pytest.param(name, marks=[pytest.mark.live] if name.endswith("-live") else []) for name in sorted(names)
    ]


@pytest.fixture(params=params(PROVIDERS_UNDER_TEST))
async def under(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[UnderTest]:
    async with PROVIDERS_UNDER_TEST[request.param](tmp_path) as under:
        yield under


async def model(under: UnderTest, name: str) -> ModelInfo:
    return next(info for info in await under.provider.models() if info.id == name)


async def loaded(under: UnderTest, name: str) -> Instance:
    return await under.provider.load(await model(under, name), LoadOptions(context_length=256, parallel=2))


async def asked(under: UnderTest, instance: Instance, text: str = "hello there") -> list[Event]:
    async with asyncio.timeout(LIMIT_S):
        async with under.provider.chat(instance, ChatRequest("", text, sampling=SHORT)) as events:
            return [event async for event in events]


async def test_its_manifest_describes_it(under: UnderTest) -> None:
    manifest = under.provider.manifest
    assert manifest.id in PROVIDERS_UNDER_TEST
    assert manifest.display_name
    assert manifest.description
    names = [setting.name for setting in manifest.settings]
    assert len(names) == len(set(names))
    assert all(setting.description for setting in manifest.settings)


async def test_it_refuses_a_setting_it_does_not_know(under: UnderTest, tmp_path: Path) -> None:
    for bad in ({"frobnicate": 1}, {"url": "http://h", "frobnicate": 1}):
        with pytest.raises(ConfigInvalid):
            type(under.provider).create(bad, ProviderContext(tmp_path, "x"))


async def test_it_is_ready_and_says_so(under: UnderTest) -> None:
    state = await under.provider.probe()
    assert (state.provider, state.state) == (under.provider.id, "ready")
    assert state.detail


async def test_its_models_have_different_names_and_known_kinds(under: UnderTest) -> None:
    models = await under.provider.models()
    assert len({info.id for info in models}) == len(models)
    assert {info.provider for info in models} == {under.provider.id}
    kinds = {info.id: info.kind for info in models}
    assert kinds[under.chat] == "chat"
    assert not under.embedding or kinds[under.embedding] == "embedding"


async def test_what_loading_costs_is_known_before(under: UnderTest) -> None:
    assert await under.provider.estimate(await model(under, under.chat), LoadOptions()) >= 0
    room = await under.provider.room()
    assert room is None or room >= 0


async def test_a_loaded_model_says_where_and_what_it_is(under: UnderTest) -> None:
    told: list[float] = []
    wanted = await model(under, under.chat)
    instance = await under.provider.load(wanted, LoadOptions(), told.append)
    again = await under.provider.load(wanted, LoadOptions())
    assert instance.model == wanted
    assert instance.key != again.key
    assert instance.endpoint.url.startswith(("http://", "https://"))
    assert not instance.endpoint.url.endswith("/")
    assert instance.slots is None or instance.slots >= 1
    assert instance.context_length is None or instance.context_length > 0
    assert instance.memory >= 0
    assert told == sorted(told)
    assert all(0 <= part <= 1 for part in told)
    for secret in (value for _, value in instance.endpoint.headers):
        assert secret not in repr(instance)


async def test_an_answer_begins_and_ends_as_agreed(under: UnderTest) -> None:
    instance = await loaded(under, under.chat)
    events = await asked(under, instance)
    assert isinstance(events[0], Started)
    assert events[0].provider == under.provider.id
    assert isinstance(events[-1], Finished)
    assert all(isinstance(event, TextDelta | ReasoningDelta) for event in events[1:-1])
    builder = AnswerBuilder()
    for event in events:
        builder.feed(event)
    answer = builder.close()
    assert answer.text or answer.message.reasoning
    assert answer.finish.reason == "length"
    assert answer.finish.usage is not None
    assert answer.finish.usage.prompt_tokens > 0
    assert answer.finish.usage.completion_tokens in (3, 4)  # LM Studio counts one too few at the limit
    assert answer.finish.timings is not None
    assert 0 < answer.finish.timings.first_event_s <= answer.finish.timings.total_s


async def test_several_answers_at_once_keep_apart(under: UnderTest) -> None:
    instance = await loaded(under, under.chat)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asked(under, instance)) for _ in range(4)]
    for task in tasks:
        assert isinstance(task.result()[-1], Finished)


async def test_leaving_an_answer_frees_its_place(under: UnderTest) -> None:
    instance = await loaded(under, under.chat)
    endless = ChatRequest("", "hello " * 20, sampling=Sampling(max_tokens=200))
    for _ in range(4):  # more often than there are places
        async with under.provider.chat(instance, endless) as events:
            assert isinstance(await anext(events), Started)
    assert isinstance((await asked(under, instance))[-1], Finished)


async def test_cancelling_an_answer_frees_its_place(under: UnderTest) -> None:
    instance = await loaded(under, under.chat)
    for _ in range(4):
        begun = asyncio.Event()

        async def read(begun: asyncio.Event = begun) -> None:
            endless = ChatRequest("", "hello", sampling=Sampling(max_tokens=200))
            async with under.provider.chat(instance, endless) as events:
                async for _ in events:
                    begun.set()

        async with asyncio.TaskGroup() as group:
            task = group.create_task(read())
            await begun.wait()
            task.cancel()
    assert isinstance((await asked(under, instance))[-1], Finished)


@pytest.mark.parametrize("under", params(EMBEDDERS), indirect=True)
async def test_vectors_are_of_one_length_and_equal_for_equal_texts(under: UnderTest) -> None:
    instance = await loaded(under, under.embedding)
    got = await under.provider.embed(instance, EmbedRequest("", ("one", "another text", "one")))
    assert len(got.vectors) == 3
    assert len({len(vector) for vector in got.vectors}) == 1
    assert got.vectors[0] != got.vectors[1]
    assert got.provider == under.provider.id
    alone = await under.provider.embed(instance, EmbedRequest("", ("one",)))
    assert alone.vectors[0][0] == pytest.approx(got.vectors[0][0], rel=1e-3)


async def test_a_door_may_relay_to_its_endpoint(under: UnderTest) -> None:
    instance = await loaded(under, under.chat)
    plain = {
        "model": instance.endpoint.model,
        "messages": [{"role": "user", "content": "hello there"}],
        "max_tokens": 4,
    }
    assert under.provider.prepare(instance, plain) is plain
    prepared = under.provider.prepare(instance, {**plain, "model": "another name"})
    async with HTTPClient() as http:
        response = await http.request(
            "POST",
            f"{instance.endpoint.url}{CHAT_ROUTES[instance.endpoint.language]}",
            headers=instance.endpoint.headers,
            body=json.dumps(prepared).encode(),
            keep_alive=instance.endpoint.keep_alive,
        )
        assert response.status == 200
        answer = json.loads(await response.read())
        reason = answer["stop_reason"] if "stop_reason" in answer else answer["choices"][0]["finish_reason"]
        assert reason in ("length", "max_tokens")


async def test_an_instance_that_lives_is_not_gone(under: UnderTest) -> None:
    instance = await loaded(under, under.chat)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(under.provider.gone(instance))
        await asked(under, instance)
        assert not watching.done()
        watching.cancel()


async def test_unloading_twice_is_no_error_and_the_model_can_be_loaded_again(under: UnderTest) -> None:
    instance = await loaded(under, under.chat)
    await under.provider.unload(instance)
    await under.provider.unload(instance)
    assert isinstance((await asked(under, await loaded(under, under.chat)))[-1], Finished)


async def test_its_settings_name_models_for_the_tiers(under: UnderTest) -> None:
    assert {*TIERS, "model"} <= {setting.name for setting in under.provider.manifest.settings}
    assert isinstance(under.provider, Namer)


async def test_what_it_found_is_asked_anew_when_it_is_told_to_forget(under: UnderTest) -> None:
    before = [info.id for info in await under.provider.models()]
    if isinstance(under.provider, Remembering):
        under.provider.forget()
    assert [info.id for info in await under.provider.models()] == before


async def test_a_program_that_has_it_for_its_favourite_sees_it_there_and_asks_it(under: UnderTest) -> None:
    async with Hub([under.provider], default_provider=under.provider.id) as hub, asyncio.timeout(LIMIT_S):
        it = hub.provider(under.provider.id)
        assert await it.is_configured()
        able = await it.capabilities()
        assert under.chat in able.models
        assert under.embedding not in able.models
        answer = await it.complete("hello there", model=under.chat, sampling=SHORT)
        assert (answer.provider, answer.stop_reason) == (under.provider.id, "max_tokens")
        assert answer.usage is not None
        async with it.stream("hello there", model=under.chat, sampling=SHORT) as events:
            assert isinstance([event async for event in events][-1], Finished)
        for tier in TIERS:
            assert (await it.chat("hello there", tier=tier, sampling=SHORT)).finish.usage is not None
        assert (await hub.resolve("")).provider == under.provider.id


async def test_after_closing_nothing_answers(under: UnderTest) -> None:
    instance = await loaded(under, under.chat)
    await under.provider.aclose()
    await under.provider.aclose()
    with pytest.raises(BridgeError):
        await asked(under, instance)
