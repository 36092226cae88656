"""Errors in Ollama's form: `{"error": "…"}`, the whole body of an answer or the last line of a stream."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from lmbridge.core.errors import LONGEST_NAME, BridgeError, ModelNotFound


class _Shown(Struct):
    error: str


_encode: Final = msgspec.json.Encoder().encode


def error_body(error: BridgeError) -> bytes:
    """The body of an error answer. Clients show the text and nothing else, so it ends with the hint."""
    return _encode(_Shown(f"{_message(error)} {error.hint}".rstrip()))


def error_line(error: BridgeError) -> bytes:
    """The same as the last line of a stream, on which Ollama's clients raise. No `done` follows."""
    return error_body(error) + b"\n"


def _message(error: BridgeError) -> str:
    # Clients look for these very words, to offer the model for download.
    if isinstance(error, ModelNotFound) and not getattr(error, "where", ""):
        name = getattr(error, "name", "")
        return f"model {name[:LONGEST_NAME]!r} not found." if name else error.message
    return error.message
