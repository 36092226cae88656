from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import keyring
import pytest
from keyring.backends import fail

from lmbridge.core.errors import ConfigInvalid
from lmbridge.machine import secrets
from lmbridge.machine.home import home as default_home
from lmbridge.machine.home import secrets_file
from lmbridge.machine.secrets import SecretStore, system_keyring


class Chest:
    """A keyring in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.locked = self.leaky = False

    def get_password(self, service_name: str, username: str) -> str | None:
        self._open()
        return self.kept.get((service_name, username))

    def set_password(self, service_name: str, username: str, password: str) -> None:
        self._open()
        if not self.leaky:
            self.kept[service_name, username] = password

    def delete_password(self, service_name: str, username: str) -> None:
        self._open()
        del self.kept[service_name, username]

    def _open(self) -> None:
        if self.locked:
            raise RuntimeError("the chest is locked: sesame")


def test_a_secret_goes_to_the_keyring_and_to_no_file(tmp_path: Path) -> None:
    chest = Chest()
    store = SecretStore(tmp_path, chest)
    assert store.put("lmstudio/token", "sesame") == "keyring"
    assert store.get("lmstudio/token") == "sesame"
    assert not secrets_file(tmp_path).exists()
    store.remove("lmstudio/token")
    store.remove("lmstudio/token")
    assert store.get("lmstudio/token") is None


def test_two_homes_of_one_user_do_not_share_their_secrets(tmp_path: Path) -> None:
    chest = Chest()
    SecretStore(tmp_path / "a", chest).put("x", "1")
    SecretStore(tmp_path / "b", chest).put("x", "2")
    SecretStore(default_home({}), chest).put("x", "3")
    assert len(chest.kept) == 3
    assert ("lmbridge", "x") in chest.kept
    assert SecretStore(tmp_path / "a", chest).get("x") == "1"


@pytest.mark.parametrize("fault", ["locked", "leaky", "none"])
def test_without_a_keyring_that_keeps_it_a_secret_goes_to_a_file_of_its_owner_alone(
    tmp_path: Path, fault: str
) -> None:
    chest = None if fault == "none" else Chest()
    if chest is not None:
        setattr(chest, fault, True)
    store = SecretStore(tmp_path / "home", chest)
    assert store.put("a/token", "sesame") == "file"
    assert store.put("b/token", "other") == "file"
    assert (store.get("a/token"), store.get("b/token"), store.get("c")) == ("sesame", "other", None)
    if os.name == "posix":
        assert stat.S_IMODE(secrets_file(tmp_path / "home").stat().st_mode) == 0o600
    store.remove("a/token")
    assert store.get("a/token") is None
    assert store.get("b/token") == "other"


def test_a_secret_that_moves_to_the_keyring_leaves_the_file(tmp_path: Path) -> None:
    chest = Chest()
    chest.locked = True
    store = SecretStore(tmp_path, chest)
    store.put("x", "old")
    chest.locked = False
    assert store.put("x", "new") == "keyring"
    assert "old" not in secrets_file(tmp_path).read_text()
    assert store.get("x") == "new"


def test_a_file_that_is_not_one_of_secrets_is_named_and_not_shown(tmp_path: Path) -> None:
    secrets_file(tmp_path).write_text('{"x": ["sesame"]}')
    with pytest.raises(ConfigInvalid, match="providers set") as caught:
        SecretStore(tmp_path, None).get("x")
    assert "sesame" not in str(caught.value)


def test_the_keyring_of_the_system_is_used_where_it_is_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    chest = Chest()
    monkeypatch.setattr(keyring, "get_keyring", lambda: chest)
    assert system_keyring() is chest
    assert SecretStore.of(tmp_path).put("x", "1") == "keyring"
    monkeypatch.setattr(keyring, "get_keyring", fail.Keyring)
    assert system_keyring() is None

    def broken() -> None:
        raise RuntimeError("no bus")

    monkeypatch.setattr(keyring, "get_keyring", broken)
    assert system_keyring() is None


def test_without_the_package_there_is_no_keyring() -> None:
    code = "import sys; sys.modules['keyring'] = None; from lmbridge.machine import secrets; "
    code += "print(secrets.system_keyring())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "None"
    assert "keyring" not in vars(secrets)
