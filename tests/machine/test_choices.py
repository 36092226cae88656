from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from lmbridge.core.errors import ConfigInvalid
from lmbridge.machine.choices import Choices, change_choices, read_choices, secret_tables, with_setting
from lmbridge.machine.home import choices_file
from lmbridge.machine.secrets import SecretStore, system_keyring

MANY = """
import sys
from pathlib import Path
from msgspec.structs import replace
from lmbridge.machine.choices import change_choices
for number in range(10):
    change_choices(Path(sys.argv[1]), lambda now: replace(now, order=(*now.order, f"{sys.argv[2]}{number}")))
"""


def test_without_a_file_nothing_is_chosen(tmp_path: Path) -> None:
    assert read_choices(tmp_path) == Choices()


def test_what_is_changed_is_read_again(tmp_path: Path) -> None:
    home = tmp_path / "home"
    change_choices(home, lambda now: replace(now, default="a", disabled=("b",)))
    change_choices(home, lambda now: replace(now, providers=with_setting(now.providers, ("x", "url"), "u")))
    assert read_choices(home) == Choices("a", (), ("b",), {"x": {"url": "u"}})


def test_several_programs_that_change_it_lose_nothing(tmp_path: Path) -> None:
    running = [subprocess.Popen([sys.executable, "-c", MANY, str(tmp_path), letter]) for letter in "abc"]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert len(read_choices(tmp_path).order) == 30


@pytest.mark.parametrize("text", ["not json", '{"default": 5}', '{"defaults": "x"}'])
def test_a_file_that_is_another_is_named_with_what_to_do(tmp_path: Path, text: str) -> None:
    choices_file(tmp_path).write_text(text)
    with pytest.raises(ConfigInvalid, match=r"Remove the file") as caught:
        read_choices(tmp_path)
    assert str(choices_file(tmp_path)) in str(caught.value)


def test_a_setting_that_is_taken_out_takes_empty_tables_along() -> None:
    tables = with_setting({}, ("openai", "a", "url"), "u")
    assert tables == {"openai": {"a": {"url": "u"}}}
    both = with_setting(tables, ("openai", "b", "url"), "v")
    assert with_setting(both, ("openai", "a", "url"), None) == {"openai": {"b": {"url": "v"}}}
    assert with_setting(tables, ("openai", "a", "url"), None) == {}
    assert with_setting(tables, ("openai", "a", "key"), None) == tables


def test_secrets_are_looked_up_unless_something_else_says_them(tmp_path: Path) -> None:
    store = SecretStore(tmp_path, system_keyring())
    store.put("openai/a/key", "sesame")
    names = Choices(secrets=("openai/a/key", "lmstudio/token", "openai/b/key"))
    given = {"lmstudio": {"token": "t"}, "openai": {"b": {"key": "k"}}}
    assert secret_tables(tmp_path, names, given) == {"openai": {"a": {"key": "sesame"}}}
    assert secret_tables(tmp_path, names, {"openai": {"a": 5}})["openai"] == {"a": {"key": "sesame"}}
    assert secret_tables(tmp_path, Choices(), {}) == {}
