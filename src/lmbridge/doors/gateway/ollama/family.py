"""How errors are told in Ollama's API."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from lmbridge.doors.gateway.family import Family
from lmbridge.wire.ollama.errors import error_body, error_line


class OllamaError(Struct, frozen=True):
    """The body of an error, and the last line of a stream that fails: one sentence."""

    error: str


OLLAMA: Final = Family("ollama", error_body, error_line, shape=OllamaError)
