"""What `lmbridge providers` was told: a small file written by the program, below lmbridge.toml.

lmbridge.toml belongs to its user, with its comments and its order, so it is never written here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from lmbridge.core.errors import ConfigInvalid
from lmbridge.machine.files import write_whole
from lmbridge.machine.home import choices_file
from lmbridge.machine.locks import alone


class Choices(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What was chosen.

    Attributes:
        default: id of the provider that answers who names no model; "" lets the hub choose.
        order: ids of providers, those that come first where a name fits models of several.
        disabled: ids of providers and of extensions that are not to be used.
        providers: settings by table; a server of a named sort is a table within that of its sort.
        extensions: settings of extensions, by id.
        secrets: names of the secrets that were set, `TABLE/NAME`; what they are is elsewhere (`machine.secrets`).
    """

    default: str = ""
    order: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()
    providers: dict[str, dict[str, object]] = {}
    extensions: dict[str, dict[str, object]] = {}
    secrets: tuple[str, ...] = ()


def read_choices(home: Path) -> Choices:
    """What was chosen; nothing where there is no file.

    Raises:
        ConfigInvalid: the file is not what it should be.
    """
    file = choices_file(home)
    try:
        return msgspec.json.decode(file.read_bytes(), type=Choices)
    except FileNotFoundError:
        return Choices()
    except (OSError, msgspec.DecodeError) as error:
        reason = getattr(error, "strerror", None) or f"is not what `lmbridge providers` writes: {error}"
        hint = "Remove the file; the providers then are as lmbridge.toml says."
        raise ConfigInvalid(str(file), reason, hint=hint) from error


def change_choices(home: Path, change: Callable[[Choices], Choices]) -> Choices:
    """Change what is chosen, one process at a time; the file is replaced in one step.

    Raises:
        ConfigInvalid: the file is not what it should be. OSError: it cannot be written.
    """
    with alone(choices_file(home)):
        changed = change(read_choices(home))
        write_whole(choices_file(home), msgspec.json.format(msgspec.json.encode(changed), indent=2))
    return changed


def secret_tables(
    home: Path, choices: Choices, given: Mapping[str, Mapping[str, object]]
) -> dict[str, dict[str, object]]:
    """The secrets as settings in their tables; those that *given* has already are not looked up.

    Raises:
        ConfigInvalid: their file is not one of secrets.
    """
    tables: dict[str, dict[str, object]] = {}
    wanted = [name for name in choices.secrets if not _has(given, tuple(name.split("/")))]
    if not wanted:
        return tables
    # Imported here alone: a keyring takes its time, and few have secrets.
    from lmbridge.machine.secrets import SecretStore

    store = SecretStore.of(home)
    for name in wanted:
        if (secret := store.get(name)) is not None:
            tables = with_setting(tables, tuple(name.split("/")), secret)
    return tables


def _has(tables: object, path: tuple[str, ...]) -> bool:
    for name in path:
        if not isinstance(tables, Mapping) or name not in tables:
            return False
        tables = tables[name]
    return True


def with_setting(
    tables: Mapping[str, dict[str, object]], path: tuple[str, ...], value: object | None
) -> dict[str, dict[str, object]]:
    """The same tables with one setting changed; None takes it out, and with it a table that becomes empty.

    Args:
        path: the table, the table within it if there is one, and the name of the setting.
    """
    return {name: table for name, table in _set(tables, path, value).items() if isinstance(table, dict)}


def _set(table: Mapping[str, object], path: tuple[str, ...], value: object | None) -> dict[str, object]:
    name, *rest = path
    if rest:
        inner = table.get(name)
        value = _set(inner if isinstance(inner, dict) else {}, tuple(rest), value) or None
    changed = {key: kept for key, kept in table.items() if key != name}
    return changed if value is None else {**changed, name: value}
