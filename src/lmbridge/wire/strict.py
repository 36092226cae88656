"""What msgspec says about a wrong body, in the words of the request: which field, and JSON's names for types."""

from __future__ import annotations

import re
from typing import Final, TypeVar

import msgspec

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter

MAX_WORDS: Final = 300
"""Letters that are told about a fault."""

_Body = TypeVar("_Body")

_UNKNOWN: Final = re.compile(r"unknown field `(.*?)`(?: - at `\$\.?(.*?)`)?$", re.DOTALL)
_MISSING: Final = re.compile(r"missing required field `(.*?)`(?: - at `\$\.?(.*?)`)?$")
_AT: Final = re.compile(r" - at `(?:key in )?\$\.?(.*?)`$")
_QUOTED: Final = re.compile(r"`([^`]*)`")
_WORDS: Final = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def decode_strictly(decoder: msgspec.json.Decoder[_Body], data: bytes) -> _Body:
    """Decode a request's body.

    Raises:
        UnsupportedParameter: an unknown field. InvalidRequest: anything else; `param` names the field.
    """
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise _explained(str(error)) from error
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.", hint="Send one JSON object.") from error
    except (ValueError, RecursionError) as error:  # text that is not UTF-8, or nested without end
        raise InvalidRequest("The body is not valid JSON in UTF-8, or nested too deeply.") from error


def _explained(text: str) -> InvalidRequest:
    if found := _UNKNOWN.search(text):
        name = f"{found[2]}.{found[1]}" if found[2] else found[1]
        return UnsupportedParameter(name[:200], "It is not known here.")
    if found := _MISSING.search(text):
        name = f"{found[2]}.{found[1]}" if found[2] else found[1]
        return InvalidRequest(f"`{name}` is missing.", param=name)
    at = _AT.search(text)
    param = at[1] if at else None
    words = _shown(_QUOTED.sub(_in_json_words, text[: at.start()] if at else text))
    return InvalidRequest(f"`{param}`: {words}." if param else f"The body: {words}.", param=param or None)


def _shown(words: str) -> str:
    """As much as is to be shown: msgspec repeats a wrong value at full length."""
    return words if len(words) <= MAX_WORDS else f"{words[:MAX_WORDS]}…"


def _in_json_words(found: re.Match[str]) -> str:
    return " or ".join(_WORDS.get(name, name) for name in found[1].split(" | "))
