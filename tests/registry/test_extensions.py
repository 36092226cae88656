from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from tests.fakes import extensions as fakes
from tests.fakes.extensions import Echo, Good, Installed, extension
from tests.registry.conftest import Home

from lmbridge.core.errors import ConfigInvalid, ModelBusy, ModelNotFound, ShuttingDown
from lmbridge.core.extension import ExtensionContext
from lmbridge.core.provider import ProviderContext
from lmbridge.core.requests import ChatRequest
from lmbridge.hub.activity import Activity
from lmbridge.hub.hub import Hub
from lmbridge.registry import Registry

GOOD = extension("good", "Good")


@pytest.fixture(autouse=True)
def record() -> Iterator[list[object]]:
    Good.record.clear()
    yield Good.record
    Good.record.clear()


def states(registry: Registry) -> dict[str, str]:
    return {state.id: state.state for state in registry.extensions.states}


async def test_an_extension_is_handed_its_settings_a_folder_and_the_news(home: Home, record: list[object]) -> None:
    config = home.config('[extensions.good-one]\nretries = 5\n[echo]\nbefore = "> "\n')
    registry = Registry(config, Installed(GOOD))
    async with Hub(registry.providers, attached=[registry]) as hub:
        registry.serve(hub)
        assert (await hub.answer(ChatRequest("echo-model", "hi"))).text == "> hi"
    assert record[0] == ("settings", {"retries": 5, "token": None})
    assert "ModelLoaded" in record
    assert record[-1] == "deactivated"
    assert (home.folder / "extensions" / "good-one" / "kept").exists()
    state = registry.extensions.states[0]
    assert (state.id, state.state, state.providers, state.category) == ("good-one", "active", ("echo",), "ai")


def test_its_settings_may_come_from_the_environment(home: Home, record: list[object]) -> None:
    variables = {"LMBRIDGE_EXTENSIONS_GOOD_ONE_RETRIES": "7", "LMBRIDGE_EXTENSIONS_GOOD_ONE_TOKEN": "t"}
    Registry(home.config("", **variables), Installed(GOOD))
    assert record == [("settings", {"retries": 7, "token": "t"})]


@pytest.mark.parametrize(
    ("attribute", "reason"),
    [
        ("Raising", "ValueError: out of order"),
        ("Exiting", "SystemExit: 3"),
        ("Asynchronous", "must not be `async`"),
        ("Twice", "there is a provider 'second' already"),
        ("Wrong", "'halfway' lacks `probe`, `models`"),
        ("NoManifest", "of the type `ExtensionManifest`"),
        ("NotActive", "has no `activate`"),
        ("BadId", "its id 'Bad Id' must be"),
        ("Nameless", "a display name and a description"),
        ("BadCategory", "'games' is none of ai, core, integrations, messaging"),
        ("BadSetting", "'a b' cannot be the name of a setting"),
        ("SameId", "there is an extension 'good-one' already"),
        ("Missing", "AttributeError"),
    ],
)
def test_one_that_fails_is_a_fact_with_its_reason_and_stops_no_other(
    home: Home, attribute: str, reason: str
) -> None:
    registry = Registry(home.config(), Installed(GOOD, extension("zz", attribute)))
    good, bad = registry.extensions.states
    assert (good.id, good.state, bad.state) == ("good-one", "active", "failed")
    assert reason in bad.reason
    assert [p.id for p in registry.providers] == ["embedded", "echo"]


def test_one_whose_module_is_not_there_or_breaks_is_a_fact_too(home: Home) -> None:
    absent = extension("absent", "X", "no_such_module")
    registry = Registry(home.config(), Installed(absent, GOOD))
    assert states(registry) == {"absent": "failed", "good-one": "active"}
    assert "ModuleNotFoundError" in registry.extensions.states[0].reason


def test_a_setting_of_a_wrong_type_is_the_reason_of_its_failure(home: Home) -> None:
    registry = Registry(home.config('[extensions.good-one]\nretries = "many"\n'), Installed(GOOD))
    assert "`retries` must be a whole number" in registry.extensions.states[0].reason


def test_one_that_is_switched_off_is_not_activated(home: Home, record: list[object]) -> None:
    registry = Registry(home.config('disabled = ["good-one"]\n[echo]\nbefore = "x"\n'), Installed(GOOD))
    assert states(registry) == {"good-one": "disabled"}
    assert record == []
    assert [p.id for p in registry.providers] == ["embedded"]


async def test_a_provider_may_come_ready_made_and_one_that_will_not_end_stops_no_other(
    home: Home, record: list[object], caplog: pytest.LogCaptureFixture
) -> None:
    registry = Registry(home.config(), Installed(GOOD, extension("ready", "ready")))
    async with Hub(registry.providers) as hub:
        assert (await hub.answer(ChatRequest("made:made-model", "hi"))).text == "ready: hi"
    await registry.aclose()
    await registry.aclose()
    assert record[-1] == "deactivated"
    assert record.count("deactivated") == 1
    assert "it does not want to end" in caplog.text


async def test_a_listener_that_raises_is_not_called_again(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    registry = Registry(home.config(), Installed(extension("deaf", "Deaf")))
    activity = Activity()
    registry.extensions.serve(activity, registry)
    with caplog.at_level(logging.WARNING):
        activity.queued(1)
        activity.queued(2)
    assert fakes.Deaf.heard == 1
    assert "too loud" in caplog.text
    await registry.aclose()
    activity.queued(3)


def test_an_extension_may_not_take_the_name_of_a_provider(home: Home) -> None:
    registry = Registry(home.config(), Installed(GOOD, fakes.provider("echo", "Echo")))
    assert "'echo' already" in registry.extensions.states[0].reason
    assert [p.id for p in registry.providers] == ["embedded", "echo"]


def test_a_table_of_an_extension_that_is_not_installed_is_refused(home: Home) -> None:
    with pytest.raises(ConfigInvalid, match="there is no extension 'other'"):
        Registry(home.config("[extensions.other]\nx = 1\n"), Installed(GOOD))


async def test_one_may_end_without_waiting_for_anything(home: Home, record: list[object]) -> None:
    await Registry(home.config(), Installed(extension("plain", "Plain"))).aclose()
    assert record == ["plain ended"]


# -- while a hub runs ----------------------------------------------------------------------------


@asynccontextmanager
async def coming(home: Home, toml: str = "") -> AsyncIterator[tuple[Hub, Registry, ExtensionContext]]:
    """A hub with an extension that brings its providers later."""
    config = home.config(toml)
    registry = Registry(config, Installed(extension("coming", "Coming")))
    async with Hub(registry.providers, attached=[registry], default_provider=config.default_provider) as hub:
        registry.serve(hub)
        yield hub, registry, fakes.Coming.context


async def test_a_provider_that_comes_later_is_built_from_its_table_and_asked_at_once(home: Home) -> None:
    async with coming(home, '[echo]\nbefore = "> "\n') as (hub, registry, context):
        await hub.models()
        context.register_provider(Echo)
        assert (await hub.answer(ChatRequest("echo-model", "hi"))).text == "> hi"
        assert registry.extensions.states[0].providers == ("echo",)
        await context.unregister_provider("echo")
        with pytest.raises(ModelNotFound):
            await hub.answer(ChatRequest("echo-model", "hi"))
        assert registry.extensions.states[0].providers == ()
        context.register_provider(Echo({"before": "again: "}, ProviderContext(home.folder, "echo")))
        assert (await hub.answer(ChatRequest("echo-model", "hi"))).text == "again: hi"


async def test_the_order_and_the_default_of_the_settings_count_for_one_that_comes_later(home: Home) -> None:
    settings = 'provider_order = ["echo", "embedded"]\ndefault_provider = "second"\n'
    async with coming(home, settings) as (hub, _, context):
        assert await hub.default_provider() == "embedded"
        context.register_provider(fakes.Second)
        context.register_provider(Echo)
        assert [p.id for p in hub.providers] == ["echo", "embedded", "second"]
        assert await hub.default_provider() == "second"
        assert (await hub.resolve("")).provider == "second"


async def test_one_that_is_switched_off_stays_away_when_it_comes_later(home: Home) -> None:
    async with coming(home, 'disabled = ["second"]\n') as (hub, registry, context):
        context.register_provider(fakes.Second)
        assert [p.id for p in hub.providers] == ["embedded"]
        entry = registry.entry("second")
        assert entry is not None
        assert entry.state == "disabled"


async def test_what_cannot_come_later_is_told_why_and_changes_nothing(home: Home) -> None:
    async with coming(home, "[echo]\nbefore = 5\n") as (hub, _, context):
        for wrong, words in (
            (Echo, "`before` must be text"),
            (fakes.Unbuildable, "no such device"),
            (fakes.Halfway, "lacks `probe`"),
        ):
            with pytest.raises(ConfigInvalid, match=words):
                context.register_provider(wrong)  # type: ignore[arg-type]
        context.register_provider(fakes.Second)
        with pytest.raises(ConfigInvalid, match="'second' already"):
            context.register_provider(fakes.Second)
        for id in ("embedded", "nobody"):
            with pytest.raises(ConfigInvalid, match=f"registered no provider '{id}'"):
                await context.unregister_provider(id)
        async with hub.lease("second-model"):
            with pytest.raises(ModelBusy):
                await context.unregister_provider("second")
        assert [p.id for p in hub.providers] == ["embedded", "second"]


async def test_before_a_hub_runs_nothing_can_be_taken_back_and_after_its_end_nothing_comes(home: Home) -> None:
    registry = Registry(home.config(), Installed(extension("coming", "Coming")))
    context = fakes.Coming.context
    with pytest.raises(ConfigInvalid, match="no hub runs"):
        await context.unregister_provider("echo")
    with pytest.raises(ShuttingDown):
        registry.join("coming", Echo)
    await registry.aclose()
    with pytest.raises(ConfigInvalid, match="it has ended"):
        context.register_provider(Echo)
