"""MCP over standard input and output: nothing but the protocol is ever written there.

A thread reads from the very start. Until the server of the package is imported it answers what it can by itself
(`offer.greeting`); what it cannot waits for the server, which is also told of the handshake. Nothing that takes
long to import may be imported here.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from typing import Final

from lmbridge.core.errors import MissingExtra
from lmbridge.doors.mcp.lines import Lines, Message, answer, decode, id_of
from lmbridge.doors.mcp.offer import Offer, greeting

OPENINGS: Final = ("initialize", "server/discover")
"""Requests with which a host may begin."""
CHUNK: Final = 64 * 1024
FIRST_S: Final = 0.2
"""Seconds that a host has for its first message before the package is imported anyway."""


class Pipe:
    """The host's two pipes. Use `open_pipe`.

    Args:
        source, sink: file descriptors of our own that nobody else reads or writes.
    """

    def __init__(self, source: int, sink: int, offer: Offer) -> None:
        self._source, self._sink, self._offer = source, sink, offer
        self._writing, self._handing = threading.Lock(), threading.Lock()
        self._waiting: deque[Message | None] = deque()
        self._give: Callable[[Message | None], None] | None = None
        self._greeted = False
        self._heard = threading.Event()
        self._answered: set[str | int] = set()

    def start(self) -> None:
        """Begin to read."""
        threading.Thread(target=self._read, name="mcp-stdin", daemon=True).start()

    def wait_for_first(self) -> None:
        """Wait until the first message is dealt with, but not for a host that has nothing to say: what is imported
        next would hold up the thread that answers."""
        self._heard.wait(FIRST_S)

    def write(self, data: bytes) -> None:
        """Write one line whole; blocks while the host does not read.

        Raises:
            OSError: the host is gone.
        """
        with self._writing:
            left = memoryview(data)
            while left:
                left = left[os.write(self._sink, left) :]

    def answered(self, id: object) -> bool:
        """Whether a request was answered before the server was there; asked once for each answer of the server."""
        if id not in self._answered:
            return False
        self._answered.discard(id)
        return True

    def take_over(self, give: Callable[[Message | None], None]) -> list[Message | None]:
        """What the host has said that is not answered; what it says from now on is given to *give*.

        Args:
            give: called in the reading thread, and may wait; None is the end.
        """
        with self._handing:
            self._give = give
            waiting, self._waiting = list(self._waiting), deque()
        return waiting

    def _read(self) -> None:
        lines = Lines()
        with suppress(OSError):  # the host is gone, in one way or another
            while data := os.read(self._source, CHUNK):
                for line in lines.feed(data):
                    self._take(decode(line))
                    self._heard.set()
        self._hand(None)

    def _take(self, message: Message | bytes | None) -> None:
        if isinstance(message, bytes):
            self.write(message)
        elif message is not None and not self._greet(message):
            self._hand(message)

    def _greet(self, message: Message) -> bool:
        """Whether the answer is given, and the server needs not know."""
        id = id_of(message)
        method = message.get("method")
        with self._handing:
            early = self._give is None and (self._greeted or method in OPENINGS)
        if not early or id is None or (result := greeting(self._offer, message)) is None:
            return False
        self.write(answer(id, result))
        if method != "initialize":
            return True
        self._greeted = True
        self._answered.add(id)
        return False

    def _hand(self, message: Message | None) -> None:
        """Give a message to the server; waits while that has enough to do."""
        with self._handing:
            if self._give is None:
                self._waiting.append(message)
                return
        self._give(message)


def need_mcp() -> None:
    """Make sure that the package is there that speaks MCP; without importing it.

    Raises:
        MissingExtra: with the command that installs it.
    """
    # Not `mcp`: a folder of that name, and the package's first version, can be imported as well.
    if find_spec("mcp_types") is None:
        raise MissingExtra("mcp", "The MCP server")


def open_pipe(offer: Offer) -> Pipe:
    """Take standard input and output for the protocol alone, and begin to answer.

    Whatever else in this process, or in a child of it, reads standard input finds its end, and what it prints goes
    to standard error.
    """
    source, sink = os.dup(0), os.dup(1)
    if sys.platform == "win32":
        import msvcrt

        for descriptor in (source, sink):
            msvcrt.setmode(descriptor, os.O_BINARY)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdout.flush()
    os.dup2(2, 1)
    pipe = Pipe(source, sink, offer)
    pipe.start()
    return pipe
