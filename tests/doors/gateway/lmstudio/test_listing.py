from __future__ import annotations

from typing import cast

import pytest
from tests.fakes.provider import ScriptedProvider, ScriptedRuntime

from lmbridge.core.errors import ModelNotFound
from lmbridge.core.models import ModelInfo
from lmbridge.core.provider import Provider
from lmbridge.doors.gateway.lmstudio.listing import find, listed
from lmbridge.hub.hub import Hub

A, B = ModelInfo("a", "scripted"), ModelInfo("pub/b", "scripted")
SAME = ModelInfo("a", "runtime")


def hub_of(*providers: ScriptedProvider) -> Hub:
    return Hub(cast("tuple[Provider, ...]", providers))


async def test_every_instance_is_told_under_the_name_one_asks_for_it_by() -> None:
    async with hub_of(ScriptedProvider([A, B]), ScriptedRuntime([SAME])) as hub:
        await hub.load_another("a")
        await hub.load_another("a")
        await hub.load("runtime:a")
        found = {each.name: [name for name, _ in each.instances] for each in await listed(hub)}
        assert found == {"a": ["a", "a:2"], "pub/b": [], "runtime:a": ["runtime:a"]}
        assert [each.name for each in await listed(hub, loaded_only=True)] == ["a", "runtime:a"]


async def test_what_cannot_be_used_is_not_listed() -> None:
    broken = ModelInfo("broken", "scripted", problem="it is cut off")
    gone = ModelInfo("gone", "scripted", stale_s=60)
    async with hub_of(ScriptedProvider([A, broken, gone])) as hub:
        assert [each.name for each in await listed(hub)] == ["a"]


async def test_one_is_found_by_its_name_in_any_letters_or_by_that_of_an_instance() -> None:
    async with hub_of(ScriptedProvider([A, B])) as hub:
        await hub.load_another("a")
        await hub.load_another("a")
        assert (await find(hub, "PUB/B")).model == B
        second = await find(hub, "a:2")
        assert (second.name, [name for name, _ in second.instances]) == ("a:2", ["a:2"])
        with pytest.raises(ModelNotFound):
            await find(hub, "a:3")
