"""Server-sent events, as the WHATWG HTML standard defines them (section 9.2, "Server-sent events").

Bytes in, events out; what is inside an event's data is somebody else's language. Two deliberate
differences from the standard: an event cut off by the end of the stream is an error and not dropped,
and there is a limit to the size of one event.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

MAX_EVENT: Final = 16 * 2**20
"""Most bytes of one event unless told otherwise; an event may hold a whole answer."""

_BOM: Final = b"\xef\xbb\xbf"


class SSEError(ValueError):
    """The bytes are no proper event stream; the text says why."""


class SSEEvent(Struct, frozen=True, gc=False):
    """One event.

    Attributes:
        data: its data lines, joined by line feeds.
        name: value of its `event` field, "" when there was none.
    """

    data: bytes
    name: str = ""


class SSEDecoder:
    """Feed it bytes in any pieces; it gives back the events they complete.

    Args:
        limit: most bytes of one event.
    """

    __slots__ = ("_data", "_limit", "_name", "_partial", "_partial_size", "_size", "_started", "_was_cr")

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self._limit = limit
        self._partial: list[bytes] = []  # pieces of a line whose end has not come
        self._partial_size = 0
        self._data: list[bytes] = []  # data lines of the current event
        self._size = 0
        self._name = ""
        self._was_cr = False
        self._started = False

    def feed(self, data: bytes) -> list[SSEEvent]:
        """The events that *data* completes.

        Raises:
            SSEError: an event is over the limit.
        """
        if not self._started:
            data = self._start(data)
        if b"\r" in data or self._was_cr:
            data = self._with_line_feeds(data)
        if b"\n" not in data:
            self._keep(data)
            return []
        if self._partial:
            data = b"".join((*self._partial, data))
        lines = data.split(b"\n")
        last = lines.pop()
        events: list[SSEEvent] = []
        for line in lines:
            if not line:
                if self._data:
                    self._dispatch(events)
                self._name = ""
            elif line.startswith(b"data: "):
                self._data.append(line[6:])
                self._size += len(line)
            else:
                self._field(line)
            if self._size > self._limit:
                self._too_large()
        self._partial = []
        self._partial_size = 0
        self._keep(last)
        return events

    def close(self) -> None:
        """The stream has ended.

        Raises:
            SSEError: it ended within an event.
        """
        if self._data or self._partial_size:
            raise SSEError("the stream ended within an event")

    def _dispatch(self, events: list[SSEEvent]) -> None:
        lines = self._data
        events.append(SSEEvent(lines[0] if len(lines) == 1 else b"\n".join(lines), self._name))
        self._data = []
        self._size = 0

    def _field(self, line: bytes) -> None:
        """Any line that is not blank and not the usual `data: …`."""
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        self._size += len(line)
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._name = value.decode("utf-8", "replace")
        elif not self._data:
            self._size = 0  # comments (empty name), `id`, `retry`, unknown fields: nobody here needs them

    def _keep(self, piece: bytes) -> None:
        if piece:
            self._partial.append(piece)
            self._partial_size += len(piece)
            if self._partial_size + self._size > self._limit:
                self._too_large()

    def _too_large(self) -> None:
        raise SSEError(f"one event is larger than {self._limit:,} bytes")

    def _start(self, data: bytes) -> bytes:
        """Take a byte order mark off the very first bytes, which may come one by one."""
        data = b"".join((*self._partial, data))
        self._partial = []
        self._partial_size = 0
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._keep(data)
            return b""
        self._started = True
        return data.removeprefix(_BOM)

    def _with_line_feeds(self, data: bytes) -> bytes:
        """Make every line end a line feed; a CR LF may be split between two pieces."""
        if not data:
            return data
        if self._was_cr and data.startswith(b"\n"):
            data = data[1:]
            self._was_cr = False
            if not data:
                return data
        self._was_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
