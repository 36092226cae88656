from __future__ import annotations

import logging

import pytest
from msgspec.structs import replace
from tests.fakes.extensions import Installed, extension, provider
from tests.registry.conftest import Home

from lmbridge.core.errors import ConfigInvalid
from lmbridge.machine.choices import change_choices
from lmbridge.registry import Registry

TWO = '[openai.a]\nurl = "http://127.0.0.1:1"\nkey = "sesame"\n[openai.b]\nurl = "http://127.0.0.1:2"\n'


def ids(registry: Registry) -> list[str]:
    return [provider.id for provider in registry.providers]


def test_providers_of_other_packages_come_after_our_own(home: Home) -> None:
    registry = Registry(home.config(TWO), Installed(provider("echo", "Echo"), provider("second", "Second")))
    assert ids(registry) == ["embedded", "a", "b", "echo", "second"]
    entry = registry.entry("a")
    assert entry is not None
    assert (entry.table, entry.state, entry.settings["key"]) == (("openai", "a"), "built", "sesame")
    assert "sesame" not in repr(entry)
    assert registry.entry("nobody") is None


@pytest.mark.parametrize(
    ("attribute", "reason"),
    [
        ("Missing", "AttributeError"),
        ("Halfway", "lacks `probe`"),
        ("Unbuildable", "OSError: no such device"),
    ],
)
def test_a_provider_of_another_package_that_fails_is_an_entry_with_its_reason(
    home: Home, attribute: str, reason: str
) -> None:
    registry = Registry(home.config(), Installed(provider("bad", attribute)))
    entry = registry.entry("bad")
    assert entry is not None
    assert (entry.state, entry.provider) == ("failed", None)
    assert reason in entry.reason
    assert ids(registry) == ["embedded"]


def test_wrong_settings_of_a_provider_of_another_package_stop_no_other(home: Home) -> None:
    registry = Registry(home.config("[echo]\nbefore = 5\n"), Installed(provider("echo", "Echo")))
    entry = registry.entry("echo")
    assert entry is not None
    assert "`before` must be text" in entry.reason
    assert ids(registry) == ["embedded"]


def test_one_of_our_own_that_cannot_be_imported_is_an_error(home: Home) -> None:
    with pytest.raises(ModuleNotFoundError):
        Registry(home.config(), Installed(provider("gone", "X", "lmbridge.gone")))


def test_the_order_that_is_set_comes_first_and_the_usual_one_after_it(home: Home) -> None:
    registry = Registry(home.config(f'provider_order = ["b", "zzz", "a"]\n{TWO}'), Installed())
    assert ids(registry) == ["b", "a", "embedded"]


def test_the_default_is_the_one_that_was_chosen_and_when_it_goes_the_next(home: Home) -> None:
    change_choices(home.folder, lambda now: replace(now, default="a"))
    assert Registry(home.config(TWO), Installed()).default == "a"
    gone = home.config(f'provider_order = ["b"]\ndisabled = ["a"]\n{TWO}')
    assert Registry(gone, Installed()).default == "b"
    change_choices(home.folder, lambda now: replace(now, default=""))
    assert Registry(home.config(), Installed()).default == ""
    nothing = home.config('default_provider = "x"\ndisabled = ["embedded"]\n')
    assert Registry(nothing, Installed()).default == ""


def test_a_disabled_one_is_an_entry_that_is_not_built(home: Home) -> None:
    registry = Registry(home.config(f'disabled = ["a"]\n{TWO}'), Installed())
    entry = registry.entry("a")
    assert entry is not None
    assert (entry.state, entry.provider) == ("disabled", None)
    assert ids(registry) == ["embedded", "b"]


def test_what_lmbridge_providers_was_told_of_what_is_gone_is_no_error(home: Home) -> None:
    change_choices(
        home.folder,
        lambda now: replace(
            now, disabled=("gone",), providers={"gone": {"x": 1}}, extensions={"gone": {"x": 1}}, order=("gone",)
        ),
    )
    assert ids(Registry(home.config(""), Installed())) == ["embedded"]


def test_a_table_waits_for_an_extension_that_is_not_active(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    config = home.config('disabled = ["nobody"]\n[echo]\nbefore = "x"\n')
    with caplog.at_level(logging.INFO):
        registry = Registry(config, Installed(extension("raising", "Raising")))
    assert ids(registry) == ["embedded"]
    assert "The table [echo] is not used: an extension is not active (raising)" in caplog.text
    with pytest.raises(ConfigInvalid, match="no table 'echo'"):
        Registry(config, Installed())
    with pytest.raises(ConfigInvalid, match="'nobody', and there is no such provider"):
        Registry(home.config('disabled = ["nobody"]\n'), Installed())


def test_two_of_one_name_are_refused(home: Home) -> None:
    with pytest.raises(ConfigInvalid, match=r"\[openai\.embedded\]: there is a provider 'embedded' already"):
        Registry(home.config('[openai.embedded]\nurl = "http://h"\n'), Installed())


def test_one_that_is_disabled_is_not_even_imported(home: Home) -> None:
    points = Installed(provider("bad", "X", "no_such_module"), extension("worse", "X", "no_such_module"))
    registry = Registry(
        home.config('disabled = ["bad", "worse"]\n[bad]\nx = 1\n[extensions.worse]\ny = 1\n'), points
    )
    entry = registry.entry("bad")
    assert entry is not None
    assert (entry.state, registry.extensions.states[0].state) == ("disabled", "disabled")
    assert ids(registry) == ["embedded"]


def test_a_table_may_be_a_server_and_hold_others(home: Home) -> None:
    toml = '[openai]\nurl = "http://127.0.0.1:1"\n[openai.other]\nurl = "http://127.0.0.1:2"\n'
    assert ids(Registry(home.config(toml), Installed())) == ["embedded", "openai", "other"]


def test_wrong_settings_of_our_own_are_an_error(home: Home) -> None:
    with pytest.raises(ConfigInvalid, match="nonsense"):
        Registry(home.config("[embedded]\nnonsense = 1\n"), Installed())
