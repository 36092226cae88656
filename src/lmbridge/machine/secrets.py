"""Secrets of providers and extensions: in the system's keyring where there is one, else in a file.

The keyring is a package of its own (`lmbridge[keyring]`) that may be missing, and a service that may be locked or
absent. Whatever fails there, the file of this user takes its place; nothing is lost, and nothing is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias

import msgspec

from lmbridge.core.errors import ConfigInvalid
from lmbridge.machine.files import write_whole
from lmbridge.machine.home import home as default_home
from lmbridge.machine.home import secrets_file
from lmbridge.machine.locks import alone

Place: TypeAlias = Literal["keyring", "file"]

SERVICE: Final = "lmbridge"


class Keyring(Protocol):
    """What of the package `keyring` is used."""

    def get_password(self, service_name: str, username: str) -> str | None:
        """The secret, None if there is none."""

    def set_password(self, service_name: str, username: str, password: str) -> None:
        """Keep one."""

    def delete_password(self, service_name: str, username: str) -> None:
        """Forget one."""


def system_keyring() -> Keyring | None:
    """The system's keyring; None where there is none, or the package is missing."""
    try:
        import keyring
        from keyring.backends import fail, null
    except ImportError:
        return None
    try:
        found = keyring.get_keyring()
    except Exception:  # noqa: BLE001 - a backend may raise anything while it is looked for
        return None
    # The one raises at every use; the other takes everything and keeps nothing.
    return None if isinstance(found, fail.Keyring | null.Keyring) else found


class SecretStore:
    """The secrets of one home folder.

    Args:
        home: lmbridge's own folder. keyring: the system's; None where there is none.
    """

    def __init__(self, home: Path, keyring: Keyring | None) -> None:
        self._file = secrets_file(home)
        self._keyring = keyring
        # Two homes of one user do not share their secrets.
        self._service = SERVICE if home == default_home({}) else f"{SERVICE} {home.absolute()}"

    @classmethod
    def of(cls, home: Path) -> SecretStore:
        """That of a folder, with the system's keyring if it has one."""
        return cls(home, system_keyring())

    def put(self, name: str, secret: str) -> Place:
        """Keep a secret; tells where it is kept.

        Raises:
            ConfigInvalid: the file is not one of secrets. OSError: it cannot be written.
        """
        if self._kept_in_keyring(name, secret):
            self._change_file(name, None)
            return "keyring"
        self._change_file(name, secret)
        return "file"

    def get(self, name: str) -> str | None:
        """A secret; None if there is none, or a keyring that is locked does not give it.

        Raises:
            ConfigInvalid: the file is not one of secrets.
        """
        if (found := self._read().get(name)) is not None:
            return found
        if self._keyring is None:
            return None
        try:
            return self._keyring.get_password(self._service, name)
        except Exception:  # noqa: BLE001 - backends have errors of their own, and may quote what they were given
            return None

    def remove(self, name: str) -> None:
        """Forget a secret; one that is not there is no error."""
        self._change_file(name, None)
        if self._keyring is not None:
            with suppress(Exception):  # there is none, or the keyring is locked: nobody asks for it any more
                self._keyring.delete_password(self._service, name)

    def _kept_in_keyring(self, name: str, secret: str) -> bool:
        if self._keyring is None:
            return False
        try:
            self._keyring.set_password(self._service, name, secret)
            return self._keyring.get_password(self._service, name) == secret
        except Exception:  # noqa: BLE001 - whatever is wrong with it, the file takes its place
            return False

    def _change_file(self, name: str, secret: str | None) -> None:
        if secret is None and name not in self._read():
            return
        with alone(self._file):
            kept = {key: value for key, value in self._read().items() if key != name}
            if secret is not None:
                kept[name] = secret
            write_whole(self._file, msgspec.json.encode(kept))

    def _read(self) -> Mapping[str, str]:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as error:
            # Not the decoder's words, which may quote what is there.
            reason = getattr(error, "strerror", None) or "not a file of secrets"
            hint = "Remove the file, and set the secrets again with `lmbridge providers set ID NAME -`."
            raise ConfigInvalid(str(self._file), reason, hint=hint) from None
