from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import cast

import pytest
from msgspec import Struct
from msgspec.structs import replace
from tests.fakes.provider import ScriptedProvider, ScriptedRuntime

from lmbridge.core.errors import (
    BridgeError,
    ConfigInvalid,
    InvalidRequest,
    ModelBusy,
    ModelNotFound,
    ProviderUnavailable,
    ShuttingDown,
)
from lmbridge.core.models import Instance, LoadOptions, ModelInfo
from lmbridge.core.provider import Provider
from lmbridge.core.requests import ChatRequest
from lmbridge.hub.happenings import (
    ModelLoading,
    ModelUnloaded,
    ProviderRegistered,
    ProviderUnregistered,
    QueueChanged,
)
from lmbridge.hub.hub import Hub
from lmbridge.hub.roster import Roster, default_of

CHAT, EMBED = ModelInfo("talker", "scripted"), ModelInfo("embedder", "scripted", kind="embedding")


def provider() -> ScriptedProvider:
    return ScriptedProvider([CHAT, EMBED])


class Cloud(ScriptedProvider):
    """A server that does not tell where it is."""

    manifest = replace(ScriptedProvider.manifest, runs="server")


def called(id: str, kind: type[ScriptedProvider] = ScriptedProvider) -> ScriptedProvider:
    provider = kind([])
    provider.id = id
    return provider


def ids(roster: Roster) -> list[str]:
    return [provider.id for provider in roster.all]


def test_one_more_is_the_last_unless_it_is_to_go_before_another() -> None:
    roster = Roster([called("a"), called("b")])
    roster.add(called("c"))
    roster.add(called("d"), before="b")
    assert ids(roster) == ["a", "d", "b", "c"]
    with pytest.raises(InvalidRequest, match="no provider 'x'"):
        roster.add(called("e"), before="x")
    assert ids(roster) == ["a", "d", "b", "c"]


def test_what_is_no_provider_or_has_a_taken_name_is_refused() -> None:
    roster = Roster([called("a")])
    with pytest.raises(ConfigInvalid, match="'a' already"):
        roster.add(called("a"))
    with pytest.raises(ConfigInvalid, match="needs a `manifest`"):
        roster.add(cast("Provider", object()))
    with pytest.raises(ConfigInvalid, match="a class was given"):
        roster.add(cast("Provider", ScriptedProvider))
    assert ids(roster) == ["a"]


def test_the_place_of_a_default_that_is_gone_takes_the_first_one_nearby_until_it_comes_back() -> None:
    chosen = called("b", Cloud)
    roster = Roster([called("cloud", Cloud), called("a"), chosen], "b")
    assert roster.default == "b"
    roster.remove(chosen)
    assert roster.default == "a"
    roster.add(chosen)
    assert roster.default == "b"


def test_no_cloud_takes_the_place_of_a_default_and_nobody_does_where_none_was_chosen() -> None:
    assert default_of("gone", [called("cloud", Cloud)]) == ""
    assert default_of("", [called("a")]) == ""


def test_a_server_that_does_not_tell_where_it_is_is_not_nearby() -> None:
    runtime = ScriptedRuntime([])
    roster = Roster([called("a"), called("cloud", Cloud), runtime])
    assert roster.nearby() == {"a", "runtime"}
    runtime.nearby = False
    assert roster.nearby() == {"a"}
    assert roster.servers() == {"cloud", "runtime"}


def test_a_provider_is_asked_for_by_its_id() -> None:
    one = called("a")
    roster = Roster([one])
    assert roster.named("a") is roster.of("a") is one
    with pytest.raises(InvalidRequest, match="There are: a"):
        roster.named("b")
    with pytest.raises(ProviderUnavailable, match="not registered any more"):
        roster.of("b")


def test_names_of_the_settings_are_those_of_the_earlier_provider() -> None:
    first, second = ScriptedRuntime([], names={"fast": "x"}), ScriptedRuntime([], names={"fast": "y", "big": "z"})
    second.id = "other"
    assert Roster([called("a"), first, second]).names() == {"fast": "runtime:x", "big": "other:z"}


# -- of a hub that runs ---------------------------------------------------------------------------


def happening(hub: Hub, kind: type[Struct]) -> asyncio.Event:
    """Set when something of that kind has happened."""
    event = asyncio.Event()
    hub.activity.listen(lambda each: event.set() if isinstance(each, kind) else None)
    return event


class Other(ScriptedProvider):
    """A second one."""

    def __init__(self, models: Sequence[ModelInfo] = (ModelInfo("newcomer", "other"),)) -> None:
        super().__init__(models)
        self.id = "other"


async def test_the_models_of_a_provider_that_is_registered_are_there_at_once() -> None:
    other = Other()
    async with Hub([provider()]) as hub:
        heard: list[object] = []
        hub.activity.listen(heard.append)
        assert "newcomer" not in [m.id for m in await hub.models()]
        hub.register(other)
        assert [m.id for m in await hub.models()] == ["talker", "embedder", "newcomer"]
        assert (await hub.answer(ChatRequest("newcomer", "hello"))).text == "hello"
        assert [s.provider for s in await hub.probe()] == ["scripted", "other"]
        assert await hub.provider("other").is_configured()
        assert heard[0] == ProviderRegistered("other")
    assert other.closed


async def test_one_that_goes_before_another_wins_where_a_name_fits_both() -> None:
    async with Hub([provider()]) as hub:
        hub.register(Other([ModelInfo("talker", "other")]), before="scripted")
        assert (await hub.resolve("talker")).provider == "other"


async def test_a_provider_that_is_unregistered_is_closed_and_its_models_are_gone_at_once() -> None:
    other, heard = Other(), list[object]()
    async with Hub([provider(), other]) as hub:
        await hub.answer(ChatRequest("newcomer", "hello"))
        hub.activity.listen(heard.append)
        await hub.unregister("other")
        assert heard == [ModelUnloaded("other", "newcomer", "asked"), ProviderUnregistered("other")]
        assert (other.closed, await hub.instances()) == (True, [])
        with pytest.raises(ModelNotFound):
            await hub.answer(ChatRequest("newcomer", "hello"))
        assert not await hub.provider("other").is_configured()
        with pytest.raises(InvalidRequest, match="no provider 'other'"):
            await hub.unregister("other")
        again = Other()
        hub.register(again)
        assert (await hub.answer(ChatRequest("newcomer", "hello"))).text == "hello"
        assert again.loads == ["newcomer"]


async def test_a_provider_whose_model_answers_or_loads_or_is_waited_for_is_not_taken_away() -> None:
    other = Other()
    async with Hub([provider(), other]) as hub, asyncio.TaskGroup() as group:
        async with hub.lease("newcomer"):
            with pytest.raises(ModelBusy, match="answering 1 request right"):
                await hub.unregister("other")
            waiting = group.create_task(hub.acquire("newcomer", "chat", True, None))
            await asyncio.sleep(0)
        hub.release(await waiting)
        await hub.unload("newcomer")
        other.gate.clear()
        loads = happening(hub, ModelLoading)
        loading = group.create_task(hub.load("newcomer"))
        await loads.wait()
        with pytest.raises(ModelBusy, match="being loaded right now"):
            await hub.unregister("other")
        other.gate.set()
        await loading
        await hub.unregister("other")


async def test_who_waits_for_room_keeps_its_provider() -> None:
    class Large(Other):
        async def estimate(self, model: ModelInfo, options: LoadOptions) -> int:
            return 6

        async def room(self) -> int | None:
            return 9 - 6 * len(here.alive)

    here, large = ScriptedProvider([CHAT], sizes={"talker": 6}, room=9), Large()
    async with Hub([here, large]) as hub, asyncio.TaskGroup() as group:
        async with hub.lease("talker"):
            waits = happening(hub, QueueChanged)
            waiting = group.create_task(hub.acquire("newcomer", "chat", False, None))
            await waits.wait()
            with pytest.raises(ModelBusy, match="'newcomer' is being loaded"):
                await hub.unregister("other")
        hub.release(await waiting)


async def test_room_that_a_provider_leaves_is_given_to_who_waits() -> None:
    room = {"free": 0}

    class Sharing(ScriptedProvider):
        async def room(self) -> int | None:
            return room["free"]

    class Freeing(Other):
        async def aclose(self) -> None:
            await super().aclose()
            room["free"] = 9

    here = Sharing([CHAT, EMBED], sizes={"talker": 6, "embedder": 0})
    async with Hub([here, Freeing()]) as hub, asyncio.TaskGroup() as group:
        await hub.load("newcomer")
        async with hub.lease("embedder", kind="embedding"):
            waits = happening(hub, QueueChanged)
            waiting = group.create_task(hub.acquire("talker", "chat", False, None))
            await waits.wait()
            await hub.unregister("other")
            hub.release(await waiting)


async def test_a_request_that_was_on_its_way_when_its_provider_went_is_told_so() -> None:
    class Slow(Other):
        async def estimate(self, model: ModelInfo, options: LoadOptions) -> int:
            asked.set()
            await go_on.wait()
            return 0

    asked, go_on = asyncio.Event(), asyncio.Event()
    async with Hub([provider(), Slow()]) as hub, asyncio.TaskGroup() as group:
        answer = group.create_task(_error_of(hub.answer(ChatRequest("newcomer", "x"))))
        await asked.wait()
        await hub.unregister("other")
        go_on.set()
        error = await answer
        assert isinstance(error, ProviderUnavailable)
        assert (error.provider, error.reason) == ("other", "it is not registered any more")


async def _error_of(work: Coroutine[object, object, object]) -> BaseException | None:
    try:
        await work
    except BridgeError as error:
        return error
    return None


async def test_a_list_that_was_being_made_when_a_provider_went_has_none_of_its_models() -> None:
    class Slow(Other):
        async def models(self) -> Sequence[ModelInfo]:
            asked.set()
            await go_on.wait()
            return self._offered

    asked, go_on = asyncio.Event(), asyncio.Event()
    async with Hub([provider(), Slow()]) as hub, asyncio.TaskGroup() as group:
        listing = group.create_task(hub.models())
        await asked.wait()
        await hub.unregister("other")
        go_on.set()
        assert list(await listing) == [CHAT, EMBED]


async def test_many_may_ask_while_providers_come_and_go_and_each_is_answered_or_told_why() -> None:
    async with Hub([provider()]) as hub, asyncio.TaskGroup() as group:
        asking = [group.create_task(_ask_on(hub)) for _ in range(8)]
        for _ in range(30):
            other = Other()
            hub.register(other)
            for _ in range(3):
                await asyncio.sleep(0)
            while True:
                try:
                    await hub.unregister("other")
                    break
                except ModelBusy:
                    await asyncio.sleep(0)
            assert other.closed
            assert other.alive == {}
        for task in asking:
            task.cancel()


async def _ask_on(hub: Hub) -> None:
    while True:
        error = await _error_of(hub.answer(ChatRequest("newcomer", "hello")))
        assert error is None or isinstance(error, ModelNotFound | ProviderUnavailable)
        await asyncio.sleep(0)


async def test_a_model_being_unloaded_does_not_keep_its_provider() -> None:
    class Sticky(Other):
        async def unload(self, instance: Instance) -> None:
            leaving.set()
            await go_on.wait()

    leaving, go_on = asyncio.Event(), asyncio.Event()
    async with Hub([provider(), Sticky()]) as hub, asyncio.TaskGroup() as group:
        await hub.load("newcomer")
        going = group.create_task(hub.unload("newcomer"))
        await leaving.wait()
        await hub.unregister("other")
        go_on.set()
        await going
        assert await hub.instances() == []


async def test_a_download_of_a_provider_that_is_unregistered_stops() -> None:
    runtime = ScriptedRuntime([])
    runtime.gate.clear()
    async with Hub([provider(), runtime]) as hub, asyncio.TaskGroup() as group:
        getting = group.create_task(_error_of(hub.download("slow/model", provider="runtime")))
        await runtime.downloading.wait()
        await hub.unregister("runtime")
        assert isinstance(await getting, ProviderUnavailable)


async def test_a_hub_that_is_closed_takes_no_provider() -> None:
    async with Hub([provider()]) as hub:
        pass
    with pytest.raises(ShuttingDown):
        hub.register(Other())


async def test_the_place_of_the_default_provider_that_goes_takes_the_next_one_until_it_is_back() -> None:
    heard: list[object] = []
    async with Hub([Other(), provider()], default_provider="scripted") as hub:
        hub.activity.listen(heard.append)
        assert (await hub.resolve("")).provider == "scripted"
        await hub.unregister("scripted")
        assert heard[-1] == ProviderUnregistered("scripted", "other")
        assert (await hub.resolve("")).provider == await hub.default_provider() == "other"
        assert [s.default for s in await hub.probe()] == [True]
        hub.register(provider())
        assert (await hub.resolve("")).provider == await hub.default_provider() == "scripted"
