"""The log of requests: one JSON object on a line for each, without a word of prompts or answers.

Who answers a request hands its line over, which costs next to nothing: lines are collected, and another thread
encodes and writes them a moment later. Files are put aside when they grow large, and the oldest is deleted, so
that the log never takes more than a fixed part of the disk.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from lmbridge.hub.later import DELAY_S, Later

LARGEST = 8 * 2**20
"""Bytes of one file."""
KEPT = 3
"""Files that were put aside and are kept."""
AT_ONCE = 2000
"""Lines that are written without waiting longer."""
MOST_WAITING = 20_000
"""Lines that may wait while the disk does not take them; what comes then is lost, and counted."""

log = logging.getLogger("lmbridge.log")

_NONE: Final = 0.0  # a name, as what is left out is the default itself and not what equals it


class Line(Struct, frozen=True, omit_defaults=True):
    """What is kept of one request. What is unknown or nothing is left out of the file.

    Attributes:
        time: of its end. path: without the query, which could hold a secret.
        status: as it was sent, 0 when the caller left before that.
        door: the language it came in. route: what was asked for, where a model was asked.
        provider, model: who answered; the name that was asked for, if it did not come to that.
        key: name of the key that was shown, never the key.
        first_event_s: seconds to the first word, None where that is not known. total_s: to the end.
        queued_s: seconds in the queue, a load included. ahead: callers before it there.
        cancelled: the caller went away. error: code of the error that ended it.
    """

    time: datetime
    method: str
    path: str
    status: int
    total_s: float
    door: str = ""
    route: str = ""
    provider: str = ""
    model: str = ""
    key: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    first_event_s: float | None = None
    queued_s: float = _NONE
    ahead: int = 0
    cancelled: bool = False
    error: str = ""


_encode_lines = msgspec.json.Encoder().encode_lines
_decode = msgspec.json.Decoder(Line).decode


class RequestLog:
    """Writes the log. It belongs to the one event loop that its user runs in.

    Args:
        path: the newest file; older ones are beside it, see `files`.
        largest: bytes of one file. kept: how many older ones are kept.
    """

    def __init__(self, path: Path, *, largest: int = LARGEST, kept: int = KEPT) -> None:
        self.path = path
        self._largest, self._kept = largest, kept
        self._later = Later(list[Line], self._begin, at_once=AT_ONCE, most=MOST_WAITING, delay_s=DELAY_S)
        self._failing = False

    def note(self, line: Line) -> None:
        """Take a line, to be written soon. Never fails: a request must not suffer from its log."""
        later = self._later
        if not later.full():
            later.waiting.append(line)
            later.more()

    async def aclose(self) -> None:
        """Write what waits. Idempotent."""
        await self._later.aclose()

    def _begin(self, lines: list[Line], lost: int) -> asyncio.Future[None]:
        return asyncio.get_running_loop().run_in_executor(None, self._write, lines, lost)

    def _write(self, lines: list[Line], lost: int) -> None:
        """Append to the file, in a thread. A disk that refuses is told of once, until it takes lines again."""
        if lost:
            log.warning("%d lines of the log of requests were lost: the disk was too slow.", lost)
        try:
            encoded = _encode_lines([_rounded(line) for line in lines])
            self._make_room(len(encoded))
            _append(self.path, encoded)
            self._failing = False
        except OSError as error:
            if not self._failing:
                log.warning("The log of requests cannot be written: %s", error)
            self._failing = True

    def _make_room(self, more: int) -> None:
        """Put the newest file aside if it would grow too large."""
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            return
        if size and size + more > self._largest:
            for number in range(self._kept, 0, -1):
                older = _numbered(self.path, number - 1)
                if older.exists():
                    older.replace(_numbered(self.path, number))


def _rounded(line: Line) -> Line:
    """Its times in whole microseconds: more digits tell nobody anything and take room."""
    first = line.first_event_s
    return replace(
        line,
        total_s=round(line.total_s, 6),
        queued_s=round(line.queued_s, 6) or _NONE,
        first_event_s=None if first is None else round(first, 6),
    )


def _append(path: Path, lines: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        left = memoryview(lines)
        while left:
            left = left[os.write(descriptor, left) :]
    finally:
        os.close(descriptor)


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}.{number}{path.suffix}") if number else path


def files(path: Path) -> list[Path]:
    """The files of a log that are there, newest first."""
    numbered = (_numbered(path, number) for number in range(KEPT + 1))
    return [file for file in numbered if file.exists()]


def newest_first(path: Path, *, older: bool = False) -> Iterator[Line]:
    """The lines of a log, the newest first. What is no line of it is passed over.

    Args:
        older: those of files that were put aside alone.

    Raises:
        OSError: a file cannot be read.
    """
    for file in files(path):
        if older and file == path:
            continue
        for raw in reversed(file.read_bytes().splitlines()):
            line = decode_line(raw)
            if line is not None:
                yield line


def decode_line(raw: bytes) -> Line | None:
    """One line of the file, None for what is none: it may have been cut short by a full disk."""
    try:
        return _decode(raw)
    except (ValueError, RecursionError):
        return None
