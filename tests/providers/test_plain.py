from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lmbridge import extending
from lmbridge.core.errors import ConfigInvalid, InvalidRequest
from lmbridge.core.registering import provider_problem
from lmbridge.extending import (
    ChatRequest,
    EmbedRequest,
    Event,
    Finished,
    Instance,
    LoadOptions,
    Manifest,
    ModelInfo,
    PlainProvider,
    ProviderContext,
    Setting,
    Started,
    TextDelta,
)
from lmbridge.hub.hub import Hub

HERE = ProviderContext(Path("/nowhere"), "echo")


class Echo(PlainProvider):
    """Repeats what was said, so many times."""

    manifest = Manifest(
        "echo",
        "Echo",
        "local",
        "Repeats.",
        (Setting("times", "integer", "How often.", 1), Setting("on", "boolean", "?", True)),
    )

    async def models(self) -> Sequence[ModelInfo]:
        return [ModelInfo("echo", self.id)] if self.settings["on"] else []

    @asynccontextmanager
    async def chat(self, instance: Instance, request: ChatRequest) -> AsyncIterator[AsyncIterator[Event]]:
        yield self._events(request)

    async def _events(self, request: ChatRequest) -> AsyncIterator[Event]:
        yield Started(self.id, "echo")
        times = self.settings["times"]
        yield TextDelta(request.turns[-1].text * int(str(times)))
        yield Finished("stop")


def test_it_is_a_provider_with_nothing_missing() -> None:
    assert provider_problem(Echo) == ""
    assert provider_problem(Echo.create({}, HERE)) == ""


async def test_a_hub_asks_it_like_any_other() -> None:
    async with Hub([Echo.create({"times": 2}, HERE)]) as hub:
        answer = await hub.answer(ChatRequest("echo:echo", "hi"))
        assert (answer.text, answer.provider) == ("hihi", "echo")
        assert [state.model for state in await hub.instances()] == ["echo"]
        assert (await hub.unload("echo")).model == "echo"
        provider = hub.providers[0]
        instance = await provider.load(ModelInfo("echo", "echo"), LoadOptions())
        with pytest.raises(InvalidRequest, match="makes no embeddings"):
            await provider.embed(instance, EmbedRequest("", ("x",)))


async def test_it_is_there_if_it_has_a_model() -> None:
    assert (await Echo.create({}, HERE).probe()).state == "ready"
    assert (await Echo.create({"on": "false"}, HERE).probe()).state == "unavailable"


def test_its_settings_are_of_the_types_of_the_manifest_also_from_the_environment() -> None:
    assert Echo.create({"times": "3", "on": "False"}, HERE).settings == {"times": 3, "on": False}
    for wrong in ({"times": "many"}, {"tims": 1}, {"times": True}):
        with pytest.raises(ConfigInvalid, match=r"\[echo\]"):
            Echo.create(wrong, HERE)


async def test_nothing_of_it_can_die_and_nothing_is_relayed_to_it() -> None:
    echo, told = Echo.create({}, HERE), []
    instance = await echo.load(ModelInfo("echo", "echo"), LoadOptions(), told.append)
    assert (told, instance.endpoint.language) == ([1.0], "none")
    body = {"model": "echo"}
    assert echo.prepare(instance, body) is body
    assert (await echo.room(), await echo.estimate(instance.model, LoadOptions())) == (None, 0)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(echo.gone(instance))
        await asyncio.sleep(0)
        assert not watching.done()
        watching.cancel()
    await echo.unload(instance)
    await echo.aclose()


def test_every_name_for_packages_is_there() -> None:
    assert extending.__all__ == sorted(extending.__all__)
    assert all(getattr(extending, name) is not None for name in extending.__all__)
