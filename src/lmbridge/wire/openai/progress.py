"""How far an engine has read a prompt, told by events of a stream that nobody but us has asked for."""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Struct

from lmbridge.wire.openai.usage import Count

MARK: Final = b'"prompt_progress"'

_EVENT: Final = re.compile(rb".*?(?:\r\n\r\n|\n\n)", re.DOTALL)


class _Reading(Struct, gc=False):
    total: Count = 0
    processed: Count = 0


class _Told(Struct):
    prompt_progress: _Reading | None = None


_decode: Final = msgspec.json.Decoder(_Told).decode


def without_progress(events: bytes) -> tuple[bytes, float | None]:
    """Whole events less those that tell how far the prompt is read, and how far: 0 to 1, None if none tells."""
    if MARK not in events:
        return events, None
    kept: list[bytes] = []
    fraction: float | None = None
    for event in _EVENT.findall(events):
        told = _read(event)
        if told is None:
            kept.append(event)
        else:
            fraction = told
    return b"".join(kept), fraction


def _read(event: bytes) -> float | None:
    if MARK not in event:
        return None
    try:
        told = _decode(event[event.find(b"data:") + 5 :]).prompt_progress
    except (ValueError, RecursionError):  # words about it, or something that is for others to judge
        return None
    return None if told is None else min(1.0, told.processed / told.total) if told.total else 1.0
