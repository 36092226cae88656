"""How errors are told in Ollama's API."""

from __future__ import annotations

from typing import Final

from lmbridge.doors.gateway.family import Family
from lmbridge.wire.ollama.errors import error_body, error_line

OLLAMA: Final = Family("ollama", error_body, error_line)
