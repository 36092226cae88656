"""How long a model stays loaded, as Ollama's clients say it: seconds, or a duration in Go's words."""

from __future__ import annotations

import re
from typing import Final

from lmbridge.core.errors import InvalidRequest

# https://pkg.go.dev/time#ParseDuration
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PIECE: Final = re.compile(r"(\d{1,15}(?:\.\d{0,9})?|\.\d{1,9})(ns|us|µs|μs|ms|s|m|h)")
_NUMBER: Final = re.compile(r"[+-]?\d{1,15}(?:\.\d{0,9})?")

LONGEST_S: Final = 2**63 / 1e9
"""Ollama counts nanoseconds in 64 bits; what is longer is for ever."""


def keep_alive_seconds(value: float | str, param: str = "keep_alive") -> float | None:
    """Seconds that a model stays loaded without work: 0 unloads it at once, None keeps it for ever.

    A number, or text that is one, is seconds; other text is a duration such as `5m` or `1h30m`; what is below zero
    means for ever (Ollama's `api/types.go`, `Duration`).

    Raises:
        InvalidRequest: it is neither.
    """
    seconds = float(value) if not isinstance(value, str) else _seconds(value.strip(), param)
    if seconds < 0 or seconds >= LONGEST_S:
        return None
    return seconds


def _seconds(text: str, param: str) -> float:
    if _NUMBER.fullmatch(text):
        return float(text)
    sign, rest = (-1.0, text[1:]) if text.startswith("-") else (1.0, text.removeprefix("+"))
    pieces = _PIECE.findall(rest)
    if not pieces or "".join(number + unit for number, unit in pieces) != rest:
        raise InvalidRequest(
            f"`{param}` is no duration.",
            hint='Send seconds, or text such as "5m" or "1h30m"; -1 is for ever.',
            param=param,
        )
    return sign * sum(float(number) * _UNITS[unit] for number, unit in pieces)
