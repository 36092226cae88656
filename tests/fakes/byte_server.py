"""A server whose every byte a test decides: each connection is handed to a coroutine."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class ByteServer:
    """Listens on a free loopback port while its `async with` lasts; then ends every handler.

    What a handler raises ends the `async with` in an `ExceptionGroup`, a client who went away excepted.

    Attributes:
        port: chosen when it begins to listen, if it was 0.
        connections: how many were accepted.
        ended: how many of them are over.
    """

    def __init__(
        self, handle: Handle, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._handle, self._host, self._tls = handle, host, tls
        self._group = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()
        self._listener: socket.socket | None = None
        self._raw: set[socket.socket] = set()
        self._changed = asyncio.Event()
        self.port = port
        self.connections = 0
        self.ended = 0

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    def listen(self) -> None:
        """Take connections; again on the same port, after `stop_listening`.

        Raises:
            OSError: the port is taken.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._listener = socket.create_server((self._host, self.port), family=family)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def stop_listening(self) -> None:
        """Let connections be refused from now on; those that are open stay."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    async def connected(self) -> None:
        """Wait until a client is connected."""
        await self._until(lambda: self.connections > self.ended)

    async def one_ended(self) -> None:
        """Wait until a connection is over."""
        await self._until(lambda: self.ended > 0)

    async def all_ended(self) -> None:
        """Wait until every connection is over, and there was one."""
        await self._until(lambda: 0 < self.connections == self.ended)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def _accept(self) -> None:
        # Not `asyncio.start_server`: a connection that comes while that closes is left open for ever.
        assert self._listener is not None
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        connection.setblocking(False)
        self._raw.add(connection)
        task = self._group.create_task(self._serve(connection))
        self._running.add(task)
        task.add_done_callback(lambda task: self._done(task, connection))

    def _done(self, task: asyncio.Task[None], connection: socket.socket) -> None:
        self._running.discard(task)
        if connection in self._raw:  # it was cancelled before it began
            self._raw.discard(connection)
            connection.close()

    async def _serve(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        self._raw.discard(connection)
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, connection, ssl=self._tls, ssl_shutdown_timeout=1 if self._tls else None
            )
        except OSError:  # no handshake
            return
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        self.connections += 1
        self._changed.set()
        try:
            await self._handle(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self.ended += 1
            self._changed.set()

    async def __aenter__(self) -> Self:
        self.listen()
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_listening()
        for task in self._running:
            task.cancel()
        await self._group.__aexit__(kind, error, trace)
        await asyncio.sleep(0)  # the transports that were closed above say goodbye


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of the next request, by its content-length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return head, await reader.readexactly(length)


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A whole answer with a content-length."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def always(*parts: bytes, keep: bool = True) -> Handle:
    """A handler that answers every request with the same bytes; without *keep* it then closes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            for part in parts:
                writer.write(part)
                await writer.drain()
            if not keep:
                return

    return handle
