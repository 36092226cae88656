"""Settings by a manifest: what a file, the environment or a command line gives, in the type that is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Final, get_args

import msgspec

from lmbridge.core.errors import ConfigInvalid
from lmbridge.core.extension import SettingValue
from lmbridge.core.provider import Setting, SettingType

_KINDS: Final[Mapping[SettingType, type]] = {
    "string": str,
    "secret": str,
    "path": str,
    "integer": int,
    "number": float,
    "boolean": bool,
}
_WORDS: Final[Mapping[SettingType, str]] = {
    "string": "text",
    "secret": "text",
    "path": "a path",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "list": "texts, with commas between",
}
TYPES: Final[tuple[SettingType, ...]] = get_args(SettingType)


def typed(setting: Setting, value: object, where: str, *, lenient: bool = False) -> SettingValue:
    """A value as the type of its setting.

    Args:
        where: what errors name.
        lenient: the value is text for whatever type, as the environment and the command line have it.

    Raises:
        ConfigInvalid: it has another type. A secret is not repeated.
    """
    try:
        if setting.type == "list":
            return _listed(value, lenient)
        if lenient and setting.type == "boolean" and isinstance(value, str):
            value = value.strip().lower()
        kind: SettingValue = msgspec.convert(value, _KINDS[setting.type], strict=not lenient)
        return kind
    except msgspec.ValidationError:
        shown = "" if setting.type == "secret" else f", not {value!r}"
        hint = f"{setting.description.rstrip('.')}."
        reason = f"`{setting.name}` must be {_WORDS[setting.type]}{shown}"
        raise ConfigInvalid(where, reason, hint=hint) from None  # the cause may repeat the value


def _listed(value: object, lenient: bool) -> tuple[str, ...]:
    if lenient and isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return msgspec.convert(value, tuple[str, ...])


def find(settings: Sequence[Setting], name: str, where: str) -> Setting:
    """The setting of a name.

    Raises:
        ConfigInvalid: there is none; with the nearest, or all of them.
    """
    found = next((setting for setting in settings if setting.name == name), None)
    if found is not None:
        return found
    known = [setting.name for setting in settings]
    near = get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Its settings are: {', '.join(known) or 'none'}."
    raise ConfigInvalid(where, f"there is no setting {name!r}", hint=hint)


def all_of(
    settings: Sequence[Setting], table: Mapping[str, object], variables: Mapping[str, str], where: str
) -> dict[str, SettingValue]:
    """Every setting of a manifest: from the environment, else its table, else its default.

    Args:
        variables: by name of the setting.

    Raises:
        ConfigInvalid: one that is not in the manifest, or of a wrong type.
    """
    for name in (*variables, *table):
        find(settings, name, where)
    values: dict[str, SettingValue] = {}
    for setting in settings:
        if setting.name in variables:
            values[setting.name] = typed(setting, variables[setting.name], where, lenient=True)
        elif setting.name in table:
            values[setting.name] = typed(setting, table[setting.name], where)
        else:
            values[setting.name] = setting.default
    return values


def problem(settings: Sequence[Setting]) -> str:
    """What is wrong with the settings of a manifest, "" if nothing."""
    given: Sequence[object] = settings
    if not all(isinstance(setting, Setting) for setting in given):
        return "its settings must be of the type `Setting`"
    names = [setting.name for setting in settings]
    if len(set(names)) != len(names):
        return "two of its settings have the same name"
    for setting in settings:
        if not setting.name.isidentifier():
            return f"{setting.name!r} cannot be the name of a setting"
        if setting.type not in TYPES:
            return f"the setting {setting.name!r} has the type {setting.type!r}; there are {', '.join(TYPES)}"
        if setting.default is not None:
            try:
                typed(setting, setting.default, "manifest")
            except ConfigInvalid as error:
                return f"the default is of another type than the setting: {error.reason}"
    return ""
