"""How a language's tables say what becomes of its fields. Each wire has its own tables; the reference page
of parameters is made from them.

What a body struct declares and no table names is honoured as it is; a field in neither is refused by its name.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from lmbridge.core.errors import UnsupportedParameter


class Ignored(Struct, frozen=True):
    """A field that changes nothing here.

    Attributes:
        why: why ignoring it breaks no promise.
    """

    name: str
    why: str


class Translated(Struct, frozen=True):
    """A field that is honoured in other words.

    Attributes:
        how: what it becomes.
    """

    name: str
    how: str


class Refused(Struct, frozen=True):
    """A field that cannot be honoured and would be missed if it were ignored.

    Attributes:
        unless: values that ask for nothing special, so that they may pass. `null` may always pass.
        reason: why it is refused. hint: what to use instead.
    """

    name: str
    reason: str
    hint: str = ""
    unless: tuple[str | bool | int | float, ...] = ()


def refuse(body: Struct, table: Sequence[Refused]) -> None:
    """Refuse a body that asks for what a table says cannot be had.

    Raises:
        UnsupportedParameter: naming the first such field.
    """
    for field in table:
        value: object = getattr(body, field.name)
        if value is not None and not any(type(value) is type(ok) and value == ok for ok in field.unless):
            raise UnsupportedParameter(field.name, field.reason, hint=field.hint)
