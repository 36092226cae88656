from __future__ import annotations

import pytest

from lmbridge.core.errors import ConfigInvalid
from lmbridge.providers.anthropic.settings import KEY_ENV, SETTINGS, URL, Settings, read_settings

HERE = "[anthropic.there]"


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_ENV, raising=False)


def test_every_setting_is_in_the_manifest_with_its_default() -> None:
    shown = {setting.name: setting.default for setting in SETTINGS}
    assert shown == {name: getattr(Settings(), name) for name in Settings.__struct_fields__}


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://h", "http://h/v1"),
        ("http://h:1/", "http://h:1/v1"),
        ("https://h/v1/", "https://h/v1"),
        ("https://h/proxy", "https://h/proxy/v1"),
    ],
)
def test_a_url_is_as_anthropic_s_package_takes_it_and_may_have_its_version(given: str, used: str) -> None:
    assert Settings(url=given).base == used


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"url": 5}, "url"),
        ({"url": ""}, "url"),
        ({"url": "localhost:1234"}, "http:// or https://"),
        ({"url": "http://u:sesame@h"}, "must not hold a password"),
        ({"ulr": "x"}, "ulr"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"embedding_model": "x"}, "embedding_model"),
        ({"key": "sesame\n"}, "no header can carry"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigInvalid, match=reason) as caught:
        read_settings(settings, HERE)
    assert HERE in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_settings_from_the_environment_are_text() -> None:
    settings = read_settings({"max_tokens": "100", "models": "a, b,", "parallel": "2"}, HERE)
    assert (settings.max_tokens, settings.only, settings.parallel) == (100, ["a", "b"], 2)
    assert read_settings({"models": ["a"]}, HERE).only == ("a",)


def test_the_usual_variable_is_read_for_anthropic_s_own_address_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings({}, HERE).secret() is None
    monkeypatch.setenv(KEY_ENV, "sesame")
    assert read_settings({}, HERE).secret() == "sesame"
    assert read_settings({"url": f"{URL}/v1/"}, HERE).secret() == "sesame"
    assert read_settings({"url": "http://h"}, HERE).secret() == ""
    assert read_settings({"key": "mine"}, HERE).secret() == "mine"


def test_another_variable_may_hold_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "sesame")
    settings = read_settings({"url": "http://h", "key_env": "THE_KEY"}, HERE)
    assert (settings.secret(), settings.key_variable) == ("sesame", "THE_KEY")
    monkeypatch.delenv("THE_KEY")
    assert settings.secret() is None
