from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from tests.fakes import extensions as fakes
from tests.fakes.extensions import Echo, Good, Installed, extension
from tests.registry.conftest import Home

from lmbridge.core.errors import ConfigInvalid
from lmbridge.core.requests import ChatRequest
from lmbridge.hub.activity import Activity
from lmbridge.hub.hub import Hub
from lmbridge.registry import Registry
from lmbridge.registry.extensions import provider_problem

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
        registry.extensions.listen_to(hub.activity)
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
    registry.extensions.listen_to(activity)
    with caplog.at_level(logging.WARNING):
        activity.queued(1)
        activity.queued(2)
    assert fakes.Deaf.heard == 1
    assert "too loud" in caplog.text
    await registry.aclose()
    activity.queued(3)


def test_what_is_no_provider_is_told_why() -> None:
    class NoId(Echo):
        id = 5  # type: ignore[assignment]

        def __init__(self) -> None: ...

    assert "needs a `manifest`" in provider_problem(object())
    assert "has no `id`" in provider_problem(NoId())
    assert provider_problem(Echo) == ""


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
