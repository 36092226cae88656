"""Bodies of LM Studio's own API, checked as strictly as it checks them (`/api/v1`, 0.4.0 and newer).

A field that is missing is told first, then every one that is not known, then the first of a wrong type: the
order and the words are those that its clients know.
"""

from __future__ import annotations

from functools import cache
from typing import Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from lmbridge.core.errors import InvalidRequest
from lmbridge.wire.strict import decode_strictly

_Body = TypeVar("_Body", bound=Struct)

FORMS: Final = frozenset({"input", "integrations"})
"""Fields that may have one of several forms: none of them is a mistake with a code of its own."""
MOST_NAMES: Final = 8
"""Unknown fields that are named."""


_fields: Final = msgspec.json.Decoder(dict[str, Raw])


def decode_body(data: bytes, shape: msgspec.json.Decoder[_Body]) -> _Body:
    """Decode a body into the struct of *shape*; a field without a default is one that must be there.

    Raises:
        InvalidRequest: naming what is missing, unknown or of a wrong type.
    """
    given = decode_strictly(_fields, data)  # or it is no JSON, or no object
    known = _known(shape.type)
    for name, required in known.items():
        if required and name not in given:
            raise InvalidRequest(f'"{name}" is required', hint="Send it.", param=name, flaw="missing")
    if strange := [name for name in given if name not in known]:
        raise _unknown(strange, list(known))
    try:
        return decode_strictly(shape, data)
    except InvalidRequest as error:
        field = (error.param or "").partition("[")[0].partition(".")[0]
        if field not in FORMS:
            raise
        raise InvalidRequest(f"Invalid input. {error.message}", param=field, flaw="forms") from error


@cache
def _known(shape: type[Struct]) -> dict[str, bool]:
    """The fields of a struct, and whether each must be there. Finding that out takes longer than decoding."""
    return {field.encode_name: field.required for field in msgspec.structs.fields(shape)}


def _unknown(strange: list[str], known: list[str]) -> InvalidRequest:
    named = ", ".join(repr(name[:100]) for name in strange[:MOST_NAMES])
    return InvalidRequest(
        f"Unrecognized key(s) in object: {named}",
        hint=f"This takes: {', '.join(known)}.",
        param=strange[0][:100],
        flaw="unknown",
    )
