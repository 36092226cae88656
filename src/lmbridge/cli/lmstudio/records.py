"""LM Studio's log records as lines for people. Pure: a record in, lines out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import msgspec
from msgspec import Struct

from lmbridge.cli.render import printable

QUIET_LEVELS = ("", "info", "log")


class _Record(Struct):
    """One record; every field that may be missing has a default, as other versions have others."""

    data: dict[str, object]
    timestamp: float = 0.0


def lines(record: bytes) -> Iterator[str]:
    """The lines of one record; what is no record is passed on as it is, made harmless for a terminal."""
    try:
        found = msgspec.json.decode(record, type=_Record)
    except (ValueError, RecursionError):
        yield printable(record.decode("utf-8", "replace"))
        return
    title, text = _told(found.data)
    first, *rest = [printable(line.rstrip()) for line in f"{title}{text}".strip().split("\n")]
    yield f"{_clock(found.timestamp)}  {first}"
    yield from (f"{'':<10}{line}" for line in rest)


def _told(data: Mapping[str, object]) -> tuple[str, str]:
    """What one record says: a title, and the text below or behind it."""

    def text(name: str) -> str:
        value = data.get(name)
        return value if isinstance(value, str) else ""

    level = "" if text("level").lower() in QUIET_LEVELS else f"{text('level').upper()} "
    match data.get("type"):
        case "server.log":
            return level, text("content")
        case "runtime.log":
            return f"{level}{text('engineName')}: ", text("message")
        case "llm.prediction.input":
            return f"→ {text('modelIdentifier') or 'model'}\n", text("input")
        case "llm.prediction.output":
            return f"← {text('modelIdentifier') or 'model'}{_figures(data.get('stats'))}\n", text("output")
        case _:
            return "", msgspec.json.encode(data).decode()


def _figures(stats: object) -> str:
    if not isinstance(stats, dict):
        return ""
    rate, tokens, reason = (stats.get(n) for n in ("tokensPerSecond", "predictedTokensCount", "stopReason"))
    told = [
        f"{tokens:.0f} tokens" if isinstance(tokens, int | float) else "",
        f"{rate:.0f} tokens/s" if isinstance(rate, int | float) else "",
        reason if isinstance(reason, str) else "",
    ]
    said = ", ".join(filter(None, told))
    return f" ({said})" if said else ""


def _clock(milliseconds: float) -> str:
    try:
        return time.strftime("%H:%M:%S", time.localtime(milliseconds / 1000))
    except (OverflowError, ValueError, OSError):
        return "--:--:--"
