from __future__ import annotations

import pytest

from lmbridge.core.errors import ConfigInvalid
from lmbridge.core.extension import SettingValue
from lmbridge.core.provider import Setting, SettingType
from lmbridge.core.settings import all_of, find, problem, typed

SOME = (
    Setting("url", "string", "Where it is.", "http://h"),
    Setting("token", "secret", "Its token."),
    Setting("retries", "integer", "How often.", 3),
    Setting("names", "list", "Which ones.", ()),
)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("string", "a b", "a b"),
        ("path", "/x", "/x"),
        ("secret", "s", "s"),
        ("integer", "5", 5),
        ("number", "0.5", 0.5),
        ("boolean", "True", True),
        ("boolean", " false ", False),
        ("list", "a, b,,c", ("a", "b", "c")),
    ],
)
def test_a_text_becomes_the_type_of_its_setting(kind: SettingType, text: str, value: SettingValue) -> None:
    got = typed(Setting("x", kind, "What."), text, "there", lenient=True)
    assert (got, type(got)) == (value, type(value))


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("integer", "five", "a whole number"),
        ("boolean", "yes", "true or false"),
        ("number", "1,5", "a number"),
    ],
)
def test_a_text_that_does_not_fit_is_told_with_what_would(kind: SettingType, value: str, said: str) -> None:
    with pytest.raises(ConfigInvalid, match=f"`x` must be {said}, not '{value}'"):
        typed(Setting("x", kind, "What."), value, "there", lenient=True)


def test_a_file_has_types_of_its_own_and_they_must_fit() -> None:
    assert typed(Setting("x", "list", "What."), ["a"], "there") == ("a",)
    assert typed(Setting("x", "number", "What."), 2, "there") == 2.0
    for kind, value in (("list", "a"), ("boolean", "true"), ("integer", "5"), ("string", 5)):
        with pytest.raises(ConfigInvalid, match="there"):
            typed(Setting("x", kind, "What."), value, "there")  # type: ignore[arg-type]


def test_a_secret_of_a_wrong_type_is_not_repeated() -> None:
    with pytest.raises(ConfigInvalid) as caught:
        typed(SOME[1], 123456, "there")
    assert "123456" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_every_setting_has_a_value_the_environment_first() -> None:
    got = all_of(SOME, {"url": "http://file", "names": ["a"]}, {"url": "http://env", "retries": "5"}, "[x]")
    assert got == {"url": "http://env", "token": None, "retries": 5, "names": ("a",)}


def test_a_setting_that_is_not_in_the_manifest_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigInvalid, match="Did you mean 'token'"):
        all_of(SOME, {"tokn": "x"}, {}, "[x]")
    with pytest.raises(ConfigInvalid, match="Its settings are: url, token, retries, names"):
        find(SOME, "zzz", "[x]")
    with pytest.raises(ConfigInvalid, match="Its settings are: none"):
        find((), "zzz", "[x]")
    assert find(SOME, "url", "[x]") is SOME[0]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ([*SOME], ""),
        (["url"], "of the type `Setting`"),
        ([SOME[0], SOME[0]], "the same name"),
        ([Setting("a b", "string", "X.")], "cannot be the name"),
        ([Setting("a", "colour", "X.")], "the type 'colour'"),  # type: ignore[arg-type]
        ([Setting("a", "integer", "X.", "five")], "another type"),
    ],
)
def test_what_is_wrong_with_the_settings_of_a_manifest_is_told(settings: list[Setting], said: str) -> None:
    assert said in problem(settings)
    assert bool(problem(settings)) == bool(said)
