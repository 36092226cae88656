"""What all decoders of a streamed answer have in common, whatever the language of its events."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Final, Generic, TypeVar

from lmbridge.core.errors import BridgeError, BrokenAnswer
from lmbridge.wire.sse import SSEDecoder, SSEError

CUT: Final = "the stream ended before the answer did"

E = TypeVar("E")


class StreamDecoder(Generic[E]):
    """The bytes of a streamed answer into events. Feed it every piece, then `close()` it.

    A language says in `_take` what one event of the stream means, and in `_unmarked` whether an answer may be
    complete without the mark that ends it.

    Args:
        provider: id of the provider that answers, for `Started` and for errors.
        clock: monotonic seconds. sent: when the request was sent, by that clock; None for now.
    """

    __slots__ = ("_clock", "_done", "_error", "_first", "_provider", "_sent", "_sse")

    def __init__(
        self, provider: str, clock: Callable[[], float] = perf_counter, sent: float | None = None
    ) -> None:
        self._provider, self._clock = provider, clock
        self._sse = SSEDecoder()
        self._sent = clock() if sent is None else sent
        self._first: float | None = None  # when the first piece of the answer came
        self._error: BridgeError | None = None  # to be raised by the next call
        self._done = False

    @property
    def done(self) -> bool:
        """Whether the answer is complete or has failed: nothing more needs to be read."""
        return self._done

    def feed(self, data: bytes) -> list[E]:
        """The events that *data* completes; those before an error are given first, the error by the next call.

        Raises:
            BrokenAnswer: not an event stream, or not of this language's shape.
            BridgeError: an error reported in the stream.
        """
        if self._error is not None:
            raise self._error
        events: list[E] = []
        try:
            for event in self._sse.feed(data):
                if self._done:
                    break
                self._take(event.data, event.name, events)
        except SSEError as error:
            self._fail(BrokenAnswer(self._provider, str(error)), events)
        except BridgeError as error:
            self._fail(error, events)
        return events

    def close(self) -> list[E]:
        """The stream has ended; its last events.

        Raises:
            BrokenAnswer: it was cut off before the answer was complete.
            BridgeError: an error that is still to be raised.
        """
        if self._error is not None:
            raise self._error
        if self._done:
            return []
        try:
            events = self.feed(b"\n\n")  # the last event may lack the empty line after it
        except BrokenAnswer as error:
            raise BrokenAnswer(self._provider, CUT) from error
        if (late := self._late()) is not None:
            raise late
        if not self._done:
            self._unmarked(events)
        return events

    def _late(self) -> BridgeError | None:
        return self._error

    def _fail(self, error: BridgeError, events: list[E]) -> None:
        self._error, self._done = error, True
        if not events:
            raise error

    def _take(self, data: bytes, name: str, events: list[E]) -> None:
        """Append to *events* what one event of the stream means; raises what it says went wrong."""
        raise NotImplementedError

    def _unmarked(self, events: list[E]) -> None:
        """The stream has ended without the mark that ends an answer.

        Raises:
            BrokenAnswer: then it is not complete.
        """
        raise BrokenAnswer(self._provider, CUT)
