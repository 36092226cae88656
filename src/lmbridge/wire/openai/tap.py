"""Reading along while an OpenAI answer is relayed byte by byte.

A tap never changes or delays what passes. It looks for the few things the bridge must know (how many
tokens, whether it ended, whether it failed) in the last bytes, once the stream has ended; while it runs
it only counts events.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from lmbridge.core.errors import BridgeError
from lmbridge.core.events import Usage
from lmbridge.wire.openai.errors import decode_error, is_error
from lmbridge.wire.openai.usage import TimingFields, UsageFields, to_usage

TAIL: Final = 64 * 1024
"""Bytes of a stream's end that are kept: what counts stands in its last few events."""

# A quotation mark inside a JSON string is written \", so none of these is ever part of an answer's text.
_COUNTS: Final = (b'"usage"', b'"timings"')


class _Told(Struct):
    usage: UsageFields | None = None
    timings: TimingFields | None = None
    error: msgspec.Raw = msgspec.Raw()


_decode: Final = msgspec.json.Decoder(_Told).decode


class UsageTap:
    """Feed it every piece that is relayed, in any split; `close()` it at the end, then read it.

    Args:
        provider: id of the provider that answers, named in `error`.

    Attributes:
        events: events seen so far, comments not counted.
        done: whether the answer is whole: `[DONE]` has come, and no error. A stream without was cut off.
            While the stream runs it may become true late, when `[DONE]` came in two pieces.
        finished: whether a reason to finish has come, which tells how far a cut stream got.
        error: the error the provider reported, None if it reported none.
        usage: tokens, None if they were not told.
        tokens_per_s: the engine's own measure of its speed, None if it told none.
    """

    __slots__ = (
        "_edge",
        "_provider",
        "_size",
        "_tail",
        "_trimmed",
        "done",
        "error",
        "events",
        "finished",
        "tokens_per_s",
        "usage",
    )

    def __init__(self, provider: str = "") -> None:
        self._provider = provider
        self.events = 0
        self.done = self.finished = False
        self.error: BridgeError | None = None
        self.usage: Usage | None = None
        self.tokens_per_s: float | None = None
        self._edge = b"\n"  # the last bytes before the next piece, too few for a mark of their own
        self._tail: list[bytes] = []
        self._size = 0
        self._trimmed = False

    def feed(self, data: bytes) -> None:
        """Take note of the next piece of a stream."""
        seen = self._edge + data
        self.events += seen.count(b"\ndata:")
        self._edge = seen[-5:]
        if seen.endswith(b"data: [DONE]\n\n"):
            self.done = self.error is None
        self._tail.append(data)
        self._size += len(data)
        if self._size > 2 * TAIL:
            self._tail = [b"".join(self._tail)[-TAIL:]]
            self._size = TAIL
            self._trimmed = True

    def close(self) -> None:
        """The stream has ended, or is left: read its last events. Idempotent."""
        lines = b"".join(self._tail).replace(b"\r", b"\n").split(b"\n")
        self._tail = []
        if self._trimmed:
            del lines[0]  # its beginning is gone
        done = False
        for line in lines:
            if line.startswith(b"data:"):
                data = line[5:].strip()
                if data == b"[DONE]":
                    done = True
                    self.events -= 1
                else:
                    self._notice(data)
        self.done = (done or self.done) and self.error is None

    def whole(self, body: bytes) -> None:
        """Read the body of an answer that was not streamed, instead of `feed` and `close`."""
        self._notice(body)
        self.done = self.error is None

    def _notice(self, data: bytes) -> None:
        self.finished = self.finished or _has_reason(data)
        if b'"error"' not in data and not any(mark in data for mark in _COUNTS):
            return
        try:
            told = _decode(data)
        except (ValueError, RecursionError):  # not for the tap to judge: it passes as it is
            return
        if self.error is None and is_error(told.error):
            self.error = decode_error(None, data, self._provider)
        self.usage = to_usage(told.usage, told.timings) or self.usage
        if told.timings is not None:
            self.tokens_per_s = told.timings.predicted_per_second


def _has_reason(data: bytes) -> bool:
    """Whether a `finish_reason` that is not null is in *data*."""
    named = data.count(b'"finish_reason"')
    return named > data.count(b'"finish_reason":null') + data.count(b'"finish_reason": null')
