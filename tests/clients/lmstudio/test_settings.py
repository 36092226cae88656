from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from lmbridge.clients.lmstudio.settings import DEFAULT_URL, LMStudioSettings, aliases, root_url
from lmbridge.core.errors import ConfigInvalid


def test_nothing_is_needed() -> None:
    settings = LMStudioSettings.read({})
    assert settings == LMStudioSettings()
    assert (settings.root, settings.tiers) == (DEFAULT_URL, {})


def test_the_table_may_hold_what_the_environment_gives_as_text() -> None:
    table = {"connect_timeout": "2.5", "native_api": "true", "autostart": "1", "model": "m", "fast": "f"}
    settings = LMStudioSettings.read(table)
    assert (settings.connect_timeout, settings.native_api, settings.autostart) == (2.5, True, True)
    assert settings.tiers == {"fast": "f"}


def test_the_variables_of_other_programs_win_over_the_table() -> None:
    table = {"url": "http://table:1", "token": "table", "native_api": True}
    environ = {
        "LMSTUDIO_BASE_URL": "http://host:5/v1",
        "LMSTUDIO_API_KEY": "key",
        "LM_API_TOKEN": "token",
        "LMSTUDIO_USE_NATIVE_API": "False",
    }
    settings = LMStudioSettings.read(table, environ)
    assert (settings.url, settings.token, settings.native_api) == ("http://host:5", "token", False)


@pytest.mark.parametrize(
    ("environ", "setting", "variable", "value"),
    [
        ({"CODEX_OSS_PORT": "4321"}, "url", "CODEX_OSS_PORT", "http://localhost:4321"),
        ({"CODEX_OSS_PORT": "1", "CODEX_OSS_BASE_URL": "http://h/v1"}, "url", "CODEX_OSS_BASE_URL", "http://h"),
        (
            {"CODEX_OSS_BASE_URL": "http://h", "LMSTUDIO_BASE_URL": "http://l"},
            "url",
            "LMSTUDIO_BASE_URL",
            "http://l",
        ),
        ({"LMSTUDIO_API_KEY": "a"}, "token", "LMSTUDIO_API_KEY", "a"),
        ({"LMSTUDIO_API_KEY": "a", "LMSTUDIO_API_TOKEN": " b "}, "token", "LMSTUDIO_API_TOKEN", "b"),
        ({"LMSTUDIO_USE_NATIVE_API": "on"}, "native_api", "LMSTUDIO_USE_NATIVE_API", True),
    ],
)
def test_an_alias_says_which_variable_it_came_from(
    environ: dict[str, str], setting: str, variable: str, value: object
) -> None:
    assert aliases(environ) == {setting: (variable, value)}


def test_blank_variables_say_nothing() -> None:
    names = (
        "LMSTUDIO_BASE_URL",
        "CODEX_OSS_BASE_URL",
        "CODEX_OSS_PORT",
        "LM_API_TOKEN",
        "LMSTUDIO_USE_NATIVE_API",
    )
    assert aliases(dict.fromkeys(names, " ")) == {}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CODEX_OSS_PORT", "abc"),
        ("CODEX_OSS_PORT", "0"),
        ("CODEX_OSS_PORT", "65536"),
        ("CODEX_OSS_PORT", "-1"),
        ("CODEX_OSS_PORT", "1234567890"),
        ("CODEX_OSS_BASE_URL", "ftp://h"),
        ("LMSTUDIO_BASE_URL", "http://"),
        ("LMSTUDIO_USE_NATIVE_API", "maybe"),
        ("LM_API_TOKEN", "a\nb"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(variable: str, value: str) -> None:
    with pytest.raises(ConfigInvalid) as raised:
        LMStudioSettings.read({}, {variable: value})
    assert raised.value.where == variable


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"autostrat": True}, "unknown setting 'autostrat'.*Did you mean 'autostart'"),
        ({"zzz": 1}, "unknown setting 'zzz'.*The settings are: url"),
        ({"connect_timeout": 0}, "`connect_timeout`: expected a number > 0"),
        ({"autostart": []}, "`autostart`: expected true or false"),
        ({"url": "http://u:secret@h"}, "`url`: it must not hold"),
        ({"token": "ä"}, "`token` has characters"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(table: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigInvalid, match=words) as raised:
        LMStudioSettings.read(table)
    assert raised.value.where == "[lmstudio]"
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("written", "root"),
    [
        ("http://localhost:1234", "http://localhost:1234"),
        ("http://localhost:1234/", "http://localhost:1234"),
        ("http://localhost:1234/v1", "http://localhost:1234"),
        ("http://localhost:1234/v1/", "http://localhost:1234"),
        ("http://localhost:1234/api/v1", "http://localhost:1234"),
        ("http://localhost:1234/api/v0/", "http://localhost:1234"),
        (" localhost:1234 ", "http://localhost:1234"),
        ("192.168.1.5", "http://192.168.1.5"),
        ("https://Example.com/lm/v1", "https://example.com/lm"),
        ("http://0.0.0.0:1234", "http://127.0.0.1:1234"),
        ("http://[::]:1234/v1", "http://[::1]:1234"),
        ("http://[::1]:1234", "http://[::1]:1234"),
    ],
)
def test_an_address_is_taken_as_people_write_it(written: str, root: str) -> None:
    assert root_url(written) == root
    assert LMStudioSettings(url=written).root == root


@pytest.mark.parametrize(
    "written",
    ["ws://h:1", "http:///path", "http://h:0", "http://h:99999", "http://u:p@h", "http://h?x=1", "http://h#x",
     "http://h/ä", "http://h/a b", "http://[::1"],
)  # fmt: skip
def test_what_is_no_address_is_refused_without_being_repeated(written: str) -> None:
    with pytest.raises(ValueError, match=r"^it ") as raised:
        root_url(written)
    assert written[5:] not in str(raised.value)


def test_a_token_is_never_shown() -> None:
    settings = LMStudioSettings(url="http://h:1", token="sk-lm-secret", autostart=True)
    console = Console(record=True, width=200, file=StringIO())
    console.print(settings)
    for shown in (repr(settings), str(settings), console.export_text()):
        assert "sk-lm" not in shown
        assert "http://h:1" in shown
    assert repr(LMStudioSettings()) == "LMStudioSettings()"
