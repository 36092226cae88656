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
        connections: how many were accepted.
        ended: how many of them are over.
    """

    def __init__(
        self, handle: Handle, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._handle, self._host, self._port, self._tls = handle, host, port, tls
        self._group = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._last = ("", 0)
        self._changed = asyncio.Event()
        self.connections = 0
        self.ended = 0

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    def stop_listening(self) -> None:
        """Let connections be refused from now on; those that are open stay."""
        assert self._server is not None
        self._last = self._host, self.port
        self._server.close()

    def listen_again(self) -> None:
        """Take connections again, on the same port."""
        listener = socket.socket(socket.AF_INET6 if ":" in self._host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(self._last)
        listener.listen()  # who connects before the task runs is kept waiting, not refused
        task = self._group.create_task(self._listen(listener))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _listen(self, listener: socket.socket) -> None:
        self._server = await asyncio.start_server(self._accept, sock=listener)

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

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._changed.set()
        task = self._group.create_task(self._serve(reader, writer))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._handle(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self.ended += 1
            self._changed.set()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._server = await asyncio.start_server(
            self._accept, self._host, self._port, ssl=self._tls, ssl_shutdown_timeout=1 if self._tls else None
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
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
