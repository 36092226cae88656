"""Reading along while an OpenAI answer is relayed byte by byte.

A tap never changes or delays what passes. It looks for the few things the bridge must know (how many
tokens, whether it ended, whether it failed) with searches over the bytes. JSON is decoded only for the
event that holds the counts, and only when somebody asks for them.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from lmbridge.core.errors import BridgeError
from lmbridge.core.events import Usage
from lmbridge.wire.openai.errors import decode_error
from lmbridge.wire.openai.usage import TimingFields, UsageFields, to_usage

MAX_LINE: Final = 1024 * 1024
"""A line longer than this passes unread; no line that counts is."""

# A quotation mark inside a JSON string is written \", so none of these is ever part of an answer's text.
_COUNTS: Final = (b'"usage":{', b'"usage": {', b'"timings":{', b'"timings": {')


class _Told(Struct):
    usage: UsageFields | None = None
    timings: TimingFields | None = None
    error: msgspec.Raw = msgspec.Raw()


_decode: Final = msgspec.json.Decoder(_Told).decode


class UsageTap:
    """Feed it every piece that is relayed, in any split, then `close()` it; read it at any time.

    Args:
        provider: id of the provider that answers, named in `error`.

    Attributes:
        events: events seen, `[DONE]` not counted.
        done: whether `[DONE]` has come: without it a stream was cut off.
        finished: whether a reason to finish has come.
        error: the error the provider reported, None if it reported none.
    """

    __slots__ = ("_counts", "_provider", "_rest", "_skipping", "_told", "done", "error", "events", "finished")

    def __init__(self, provider: str = "") -> None:
        self._provider = provider
        self.events = 0
        self.done = self.finished = False
        self.error: BridgeError | None = None
        self._rest = b""  # a line whose end has not come
        self._skipping = False
        self._counts = b""  # data of the last event with counts in it
        self._told: _Told | None = None

    @property
    def usage(self) -> Usage | None:
        """Tokens as far as they have been told; None if they have not."""
        told = self._tell()
        return to_usage(told.usage, told.timings)

    @property
    def tokens_per_s(self) -> float | None:
        """The engine's own measure of its speed; None if it told none."""
        timings = self._tell().timings
        return timings.predicted_per_second if timings is not None else None

    def feed(self, data: bytes) -> None:
        """Look at the next piece of a stream."""
        end = data.rfind(b"\n") + 1
        if not end:
            if not self._skipping:
                self._hold(self._rest + data)
            return
        lines, rest = (data, b"") if end == len(data) else (data[:end], data[end:])
        if self._skipping:
            lines = lines[lines.index(b"\n") + 1 :]
            self._skipping = False
        elif self._rest:
            lines = self._rest + lines
        self._rest = b""
        if rest:
            self._hold(rest)
        self._look(lines)

    def close(self) -> None:
        """The stream has ended; a last line may lack its end."""
        if self._rest:
            self._look(self._rest)
            self._rest = b""

    def whole(self, body: bytes) -> None:
        """Look at the whole body of an answer that was not streamed."""
        self._counts = body
        self._told = None
        if b'"error"' in body:
            self._notice_error(body)
        self.done = self.finished = self.error is None

    def _hold(self, line: bytes) -> None:
        if len(line) > MAX_LINE:
            self._skipping = True
            line = b""
        self._rest = line

    def _look(self, lines: bytes) -> None:
        """Whole lines, most often of one event: search them, take them apart only if something is there."""
        self.events += lines.count(b"\ndata:") + lines.startswith(b"data:")
        if (
            b"[DONE]" in lines
            or b'"error"' in lines
            or any(mark in lines for mark in _COUNTS)
            or (not self.finished and _has_reason(lines))
        ):
            for line in lines.split(b"\n"):
                if line.startswith(b"data:"):
                    self._notice(line[5:].strip())

    def _notice(self, data: bytes) -> None:
        if data == b"[DONE]":
            self.done = True
            self.events -= 1
            return
        if any(mark in data for mark in _COUNTS):
            self._counts = data
            self._told = None
        if not self.finished and _has_reason(data):
            self.finished = True
        if self.error is None and b'"error"' in data:
            self._notice_error(data)

    def _notice_error(self, data: bytes) -> None:
        try:
            if _decode(data).error not in (b"", b"null"):
                self.error = decode_error(None, data, self._provider)
        except (ValueError, RecursionError):
            return

    def _tell(self) -> _Told:
        if self._told is None:
            try:
                self._told = _decode(self._counts)
            except (ValueError, RecursionError):  # nothing yet, or not what it seemed
                self._told = _Told()
        return self._told


def _has_reason(data: bytes) -> bool:
    """Whether a `finish_reason` that is not null is in *data*."""
    named = data.count(b'"finish_reason"')
    return named > data.count(b'"finish_reason":null') + data.count(b'"finish_reason": null')
