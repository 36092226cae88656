from __future__ import annotations

import msgspec
import pytest
from tests.fakes.provider import ScriptedProvider, ScriptedRuntime

from lmbridge.core.errors import InvalidRequest, ModelBusy, ModelNotFound, ModelNotLoaded
from lmbridge.core.models import LoadOptions, ModelInfo
from lmbridge.core.requests import ChatRequest, EmbedRequest
from lmbridge.hub.hub import Hub

CHAT, EMBED = ModelInfo("talker", "scripted"), ModelInfo("embedder", "scripted", kind="embedding")


async def test_what_a_runtime_holds_by_itself_is_shown_and_can_be_unloaded() -> None:
    big, small = ModelInfo("org/big", "runtime", size_bytes=9), ModelInfo("org/small", "runtime")
    runtime = ScriptedRuntime([big, small])
    runtime.keep(big)
    runtime.keep(big, "org/big:2")
    async with Hub([runtime]) as hub:
        await hub.load("org/small")
        states = {state.name or state.model: state for state in await hub.instances()}
        assert set(states) == {"org/small", "org/big", "org/big:2"}
        assert not states["org/small"].kept
        assert states["org/big:2"].kept
        assert (states["org/big"].memory, states["org/big"].context_length) == (9, 512)
        assert (await hub.unload("org/big:2")).name == "org/big:2"
        assert [i.endpoint.model for i in runtime.kept] == ["org/big"]
        assert (await hub.unload("big")).model == "org/big"
        assert runtime.kept == []
        with pytest.raises(ModelNotFound, match="'org/big'"):
            await hub.unload("org/big")
        assert (await hub.unload("org/small")).model == "org/small"
        assert await hub.instances() == []


async def test_a_copy_of_a_model_in_use_is_unloaded_alone() -> None:
    big = ModelInfo("org/big", "runtime")
    runtime = ScriptedRuntime([big])
    async with Hub([runtime]) as hub:
        await hub.load("org/big")
        runtime.keep(big, "org/big:2")
        async with hub.lease("org/big"):
            assert (await hub.unload("org/big:2")).name == "org/big:2"
            with pytest.raises(ModelBusy):
                await hub.unload("org/big")
        runtime.keep(big, "org/big:3")
        await hub.unload("org/big")
        assert (runtime.kept, await hub.instances()) == ([], [])


async def test_a_provider_that_cannot_hold_a_model_twice_is_not_asked_to() -> None:
    big, small = ModelInfo("org/big", "runtime"), ModelInfo("org/small", "runtime")
    runtime = ScriptedRuntime([big, small])
    runtime.keep(big)
    async with Hub([runtime]) as hub:
        assert (await hub.load_another("org/small")).model == "org/small"
        for name in ("org/small", "org/big"):
            with pytest.raises(InvalidRequest, match=f"lmbridge unload {name}"):
                await hub.load_another(name)
        assert runtime.loads == ["org/small"]


async def test_without_jit_what_others_hold_in_their_memory_answers() -> None:
    class Far(ScriptedProvider):
        manifest = msgspec.structs.replace(ScriptedProvider.manifest, runs="server")

    big, small = ModelInfo("org/big", "runtime"), ModelInfo("org/small", "runtime")
    runtime = ScriptedRuntime([big, small], fetches=True)
    runtime.keep(big)
    async with Hub([runtime, Far([ModelInfo("cloud", "scripted")])], jit=False) as hub:
        async with hub.lease("org/big"), hub.lease("cloud"):
            with pytest.raises(ModelNotLoaded):
                await hub.acquire("org/small", "chat", False, None)
        with pytest.raises(ModelNotFound):
            await hub.acquire("org/new", "chat", False, None)
    assert runtime.downloads == []


async def test_an_unknown_name_is_answered_by_the_only_chat_model_in_memory_where_that_is_wished() -> None:
    other = ModelInfo("other", "scripted")
    async with Hub([ScriptedProvider([CHAT, other, EMBED])]) as hub:
        await hub.load("talker")
        await hub.load("embedder")
        with pytest.raises(ModelNotFound):
            await hub.answer(ChatRequest("no/such", "hi"))
        hub.substitutes = True
        assert (await hub.answer(ChatRequest("no/such", "hi"))).model == "talker"
        with pytest.raises(ModelNotFound):
            await hub.embed(EmbedRequest("no/such", ("hi",)))
        await hub.load("other")
        with pytest.raises(ModelNotFound):
            await hub.answer(ChatRequest("no/such", "hi"))


async def test_a_copy_is_asked_shown_and_unloaded_by_its_name_and_forgotten_when_it_goes() -> None:
    scripted = ScriptedProvider([CHAT, EMBED], slots=1)
    async with Hub([scripted]) as hub:
        assert (await hub.load_another("talker")).name == ""
        copy = await hub.load_another("talker", LoadOptions(ttl=5))
        assert (copy.model, copy.name, copy.state, copy.ttl) == ("talker", "talker:2", "ready", 5)
        async with hub.lease("talker"), hub.lease("talker:2") as lease:
            assert lease.name == "talker:2"
            assert [(s.model, s.name, s.leases) for s in await hub.instances()] == [
                ("talker", "", 1),
                ("talker", "talker:2", 1),
            ]
        assert (await hub.answer(ChatRequest("scripted:talker:2", "x"))).model == "talker:2"
        assert (await hub.load_another("talker:2")).name == "talker:3"
        assert [m.id for m in await hub.models()] == ["talker", "embedder"]
        for name in ("talker:2", "talker:3"):
            assert (await hub.unload(name)).name == name
            with pytest.raises(ModelNotFound, match=name):
                await hub.resolve(name)
        assert [s.name or s.model for s in await hub.instances()] == ["talker"]
