"""The languages that settings are written in, with the same four things to do in each."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Final, Literal, Protocol, TypeAlias, cast

from msgspec import Struct

from lmbridge.machine.programs import block, jsonc, toml, yaml
from lmbridge.machine.programs.values import Path

LanguageName: TypeAlias = Literal["json", "jsonc", "toml", "yaml", "sh", "fish", "powershell", "env"]


class Values(Protocol):
    """What a text means; raises `Broken`."""

    def __call__(self, text: str) -> object:
        """Do it."""


class Put(Protocol):
    """The text with another value at a path."""

    def __call__(self, text: str, path: Path, value: object) -> str:
        """Do it."""


class Drop(Protocol):
    """The text without what is at a path."""

    def __call__(self, text: str, path: Path) -> str:
        """Do it."""


class Raw(Protocol):
    """How the value at a path is written; None where there is none."""

    def __call__(self, text: str, path: Path) -> str | None:
        """Do it."""


class PutRaw(Protocol):
    """The text with something else written at a path."""

    def __call__(self, text: str, path: Path, written: str) -> str:
        """Do it."""


class Language(Struct, frozen=True):
    """What can be done to a text of one language."""

    values: Values
    put: Put
    drop: Drop
    raw: Raw
    put_raw: PutRaw


def _json(comments: bool) -> Language:
    return Language(
        partial(jsonc.values, comments=comments),
        partial(jsonc.put, comments=comments),
        partial(jsonc.drop, comments=comments),
        partial(jsonc.raw, comments=comments),
        partial(jsonc.put_raw, comments=comments),
    )


def _block(dialect: block.Dialect) -> Language:
    return Language(
        partial(block.values, dialect=dialect),
        partial(block.put, dialect=dialect),
        partial(block.drop, dialect=dialect),
        partial(block.raw, dialect=dialect),
        partial(block.put_raw, dialect=dialect),
    )


LANGUAGES: Final[Mapping[LanguageName, Language]] = MappingProxyType(
    {
        "json": _json(comments=False),
        "jsonc": _json(comments=True),
        "toml": Language(toml.values, toml.put, toml.drop, toml.raw, toml.put_raw),
        "yaml": Language(yaml.values, yaml.put, yaml.drop, yaml.raw, yaml.put_raw),
        **{name: _block(name) for name in cast("tuple[block.Dialect, ...]", ("sh", "fish", "powershell", "env"))},
    }
)
