from __future__ import annotations

from typing import Literal

import pytest
from tests.fakes.provider import ScriptedProvider, ScriptedRuntime

from lmbridge.core.errors import (
    BridgeError,
    ForeignServer,
    InvalidRequest,
    ModelNotFound,
    NoModels,
    ProviderNeedsKey,
    ProviderUnavailable,
)
from lmbridge.core.models import ModelInfo
from lmbridge.core.provider import Provider
from lmbridge.core.requests import ChatRequest
from lmbridge.hub import catalogue
from lmbridge.hub.hub import Hub

LOCAL = ModelInfo("mine", "scripted", size_bytes=5)
BIG = ModelInfo("org/big", "runtime", size_bytes=9)
SMALL = ModelInfo("org/small", "runtime", size_bytes=3)
EMBED = ModelInfo("org/vectors", "runtime", kind="embedding")


def hub(runtime: ScriptedRuntime, *more: Provider) -> Hub:
    return Hub([runtime, ScriptedProvider([LOCAL]), *more])


async def test_a_name_of_the_settings_is_the_model_it_stands_for() -> None:
    async with hub(ScriptedRuntime([BIG, SMALL], names={"fast": "org/small", "premium": "org/big"})) as it:
        assert await it.resolve("fast") == SMALL
        assert await it.find("premium") == BIG


async def test_a_name_of_the_settings_whose_model_is_missing_is_never_another_model() -> None:
    async with hub(ScriptedRuntime([BIG], names={"fast": "org/small"})) as it:
        with pytest.raises(ModelNotFound, match="runtime:org/small"):
            await it.resolve("fast")


async def test_a_name_of_the_settings_of_a_server_that_is_down_says_so() -> None:
    async with hub(ScriptedRuntime([BIG], state="unavailable", names={"fast": "org/small"})) as it:
        with pytest.raises(ProviderUnavailable, match="runtime start"):
            await it.resolve("fast")


async def test_a_model_that_is_really_called_so_comes_before_a_name_of_the_settings() -> None:
    fast = ModelInfo("fast", "scripted")
    runtime = ScriptedRuntime([BIG], names={"fast": "org/big"})
    async with Hub([runtime, ScriptedProvider([fast])]) as it:
        assert await it.resolve("fast") == fast


async def test_the_settings_of_a_provider_choose_for_who_names_no_model() -> None:
    runtime = ScriptedRuntime([SMALL, BIG, EMBED], names={"chat": "org/big", "embedding": "org/vectors"})
    async with hub(runtime) as it:
        assert await it.resolve("") == BIG
        assert await it.resolve("", "embedding") == EMBED


async def test_the_settings_of_a_provider_that_is_down_choose_nothing() -> None:
    async with hub(ScriptedRuntime([BIG], state="unavailable", names={"chat": "org/big"})) as it:
        assert await it.resolve("") == LOCAL


async def test_a_model_that_a_runtime_holds_already_is_preferred() -> None:
    runtime = ScriptedRuntime([SMALL, BIG])
    async with hub(runtime) as it:
        assert await it.resolve("") == SMALL
        runtime.keep(BIG)
        assert await it.resolve("") == BIG


async def test_a_provider_alone_means_one_of_its_models() -> None:
    async with hub(ScriptedRuntime([BIG, SMALL])) as it:
        assert await it.resolve("scripted:") == LOCAL
        assert await it.resolve("runtime:") == SMALL
        assert await it.find("scripted:") == LOCAL
        with pytest.raises(ModelNotFound):
            await it.resolve("nobody:")


async def test_a_provider_alone_that_is_down_says_so() -> None:
    async with hub(ScriptedRuntime([BIG], state="unavailable")) as it:
        with pytest.raises(ProviderUnavailable, match="It sleeps"):
            await it.resolve("runtime:")


@pytest.mark.parametrize(("state", "error"), [("needs_key", ProviderNeedsKey), ("foreign", ForeignServer)])
async def test_a_server_that_wants_a_key_or_is_another_one_is_not_called_down(
    state: Literal["needs_key", "foreign"], error: type[BridgeError]
) -> None:
    async with hub(ScriptedRuntime([], state=state)) as it:
        with pytest.raises(error, match="runtime"):
            await it.resolve("runtime:")


async def test_a_provider_alone_without_models_has_none() -> None:
    async with hub(ScriptedRuntime([])) as it:
        with pytest.raises(NoModels):
            await it.resolve("runtime:")


async def test_a_model_of_an_old_list_is_found_by_its_name_and_never_chosen() -> None:
    old = ModelInfo("org/old", "runtime", size_bytes=1, stale_s=60.0)
    async with hub(ScriptedRuntime([old], state="unavailable")) as it:
        assert await it.resolve("org/old") == old
        assert await it.resolve("") == LOCAL


async def test_a_provider_that_does_not_exist_is_named() -> None:
    async with hub(ScriptedRuntime([BIG])) as it:
        with pytest.raises(InvalidRequest, match=r"no provider 'nobody'.*runtime, scripted"):
            await it.download("x/y", provider="nobody")


async def test_a_model_that_has_just_come_is_found_although_the_list_is_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(catalogue, "AGAIN_S", 0.0)
    runtime = ScriptedRuntime([])
    async with hub(runtime) as it:
        for search in (it.resolve, it.find):
            runtime._offered = ()
            it._catalogue.forget()
            assert list(await it.models()) == [LOCAL]
            runtime._offered = (SMALL,)
            assert await search("org/small") == SMALL


async def test_that_a_model_is_missing_is_believed_for_a_moment() -> None:
    runtime = ScriptedRuntime([BIG])
    async with hub(runtime) as it:
        await it.models()
        runtime._offered = (BIG, SMALL)
        with pytest.raises(ModelNotFound):
            await it.resolve("org/small")


async def test_a_server_that_comes_up_a_moment_after_it_was_asked_is_found_at_once() -> None:
    runtime = ScriptedRuntime([BIG], state="unavailable")
    async with hub(runtime) as it:
        assert list(await it.models()) == [LOCAL]
        runtime.state = "ready"
        assert await it.resolve("runtime:") == BIG
        assert await it.resolve("runtime:org/big") == BIG


async def test_the_standard_model_of_a_provider_is_for_who_asks_that_provider() -> None:
    runtime = ScriptedRuntime([SMALL, BIG, EMBED], names={"standard": "org/big"})
    async with hub(runtime) as it:
        assert await it.resolve("runtime:") == BIG
        assert await it.resolve("") == SMALL
        assert await it.resolve("runtime:", "embedding") == EMBED
    runtime = ScriptedRuntime([SMALL, BIG], names={"standard": "org/big", "chat": "org/small"})
    async with hub(runtime) as it:
        assert await it.resolve("runtime:") == SMALL


async def test_what_is_in_memory_is_known_without_asking_and_each_copy_by_its_name() -> None:
    async with hub(ScriptedRuntime([BIG])) as it:
        await it.load("mine")
        assert await it.resolve("mine") == await it.resolve("mine") == LOCAL
        copy = (await it.load_another("mine")).name
        assert ((await it.find(copy)).id, (await it.resolve(copy)).copy_of) == ("mine:2", "mine")
        assert list(await it.models()) == list(await it.models())


async def test_a_provider_is_had_by_its_id() -> None:
    runtime = ScriptedRuntime([BIG])
    async with hub(runtime) as it:
        assert (await it.download("x/y", provider="runtime")).id == "x/y"
    assert runtime.downloads == ["x/y"]


# -- who names no model --------------------------------------------------------------------------


def cloud(**names: str) -> ScriptedRuntime:
    """A server far away, whose models have been used already."""
    far = ScriptedRuntime([ModelInfo("paid", "runtime")], names=names)
    far.nearby = False
    far.keep(ModelInfo("paid", "runtime"))
    return far


async def test_no_cloud_answers_who_names_no_model_unless_it_is_the_default_provider() -> None:
    async with Hub([cloud(chat="paid"), ScriptedProvider([LOCAL])]) as hub:
        await hub.answer(ChatRequest("paid", "x"))
        assert (await hub.answer(ChatRequest("", "x"))).model == "mine"
        assert (await hub.resolve("runtime:")).id == "paid"
    async with Hub([ScriptedProvider([LOCAL]), cloud()], default_provider="runtime") as hub:
        assert (await hub.resolve("")).id == "paid"
    async with Hub([ScriptedProvider([LOCAL]), cloud()], default_model="paid") as hub:
        assert (await hub.resolve("")).id == "paid"


async def test_where_there_is_only_a_cloud_it_is_named_and_not_asked() -> None:
    async with Hub([cloud()]) as hub:
        with pytest.raises(NoModels, match="set-default runtime") as caught:
            await hub.answer(ChatRequest("", "x"))
        assert caught.value.elsewhere == "runtime:paid"
        with pytest.raises(NoModels) as other:
            await hub.resolve("", "embedding")
        assert other.value.elsewhere == ""
        with pytest.raises(NoModels) as third:
            await hub.resolve("runtime:", "embedding")
        assert third.value.elsewhere == ""


async def test_an_unknown_name_is_answered_by_no_cloud() -> None:
    async with Hub([cloud(), ScriptedProvider([LOCAL])]) as hub:
        hub.substitutes = True
        with pytest.raises(ModelNotFound):
            await hub.answer(ChatRequest("no/such", "x"))
