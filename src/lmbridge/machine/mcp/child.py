"""The process of an MCP server: lines to its standard input, lines from its standard output.

It has our environment without secrets and what its entry adds, and a process group of its own. A small process
between us and it (`lifeline`) ends it even if we are killed; on Windows, where that is not possible, it notices
by itself that its standard input ended, as the protocol demands. What it writes to standard error is kept, the
newest of it, for the message that tells of its end.

The order of ending is the protocol's: standard input is closed, then it is asked to leave, then it is killed
(https://modelcontextprotocol.io/specification/2025-11-25/basic/lifecycle#shutdown).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, cast

from lmbridge.core.errors import ToolServerUnavailable
from lmbridge.machine.environment import child_environment
from lmbridge.machine.lmstudio.output import last_words
from lmbridge.machine.mcp import lifeline
from lmbridge.machine.mcp.entries import Entry

GRACE: Final = 2.0
"""Seconds a server may take to leave when its standard input ended, and again when it was asked to."""
LAST_BYTES: Final = 16 * 1024
"""Of what it writes to standard error."""
MOST_LINE: Final = 32 * 2**20
"""Bytes of one message; pictures come in one."""
SHORTEST_SECRET: Final = 6
"""Letters of a value of its environment that is kept out of what it is quoted with."""


class Child:
    """A server that was started.

    Args:
        entry: what was started.
        lifeline: our end of the pipe, to be closed to end the server; None on Windows.

    Attributes:
        fault: what it did that ended the connection, where it did something.
    """

    def __init__(self, entry: Entry, pipes: _Pipes, lifeline: int | None) -> None:
        self.name, self._pipes, self._lifeline = entry.name, pipes, lifeline
        self.fault = ""
        self._secrets = [value for value in entry.env.values() if len(value) >= SHORTEST_SECRET]

    async def lines(self) -> AsyncIterator[bytes]:
        """What it says, until it closes its standard output.

        Raises:
            ToolServerUnavailable: it said something without end.
        """
        while True:
            try:
                line = await self._pipes.reader.readline()
            except ValueError as error:
                raise ToolServerUnavailable(
                    self.name, f"it sent a message of more than {MOST_LINE >> 20} MiB"
                ) from error
            if not line:
                return
            yield line

    async def write(self, line: bytes) -> None:
        """Say something to it; waits while it does not listen.

        Raises:
            OSError: it does not listen any more.
        """
        if self._pipes.exited.done() or self._pipes.stdin.is_closing():
            raise BrokenPipeError
        self._pipes.stdin.write(line)
        await self._pipes.writable.wait()

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self._pipes.exited.done()

    @property
    def last_words(self) -> str:
        """What it wrote to standard error last, or how it ended."""
        status = self._pipes.transport.get_returncode()
        how = "" if status is None else f"it ended with status {status}"
        said = last_words(self._pipes.err)
        for secret in self._secrets:
            said = said.replace(secret, "…")
        return f"{how}: {said}" if how and said else said or how

    async def gone(self, limit: float = GRACE) -> bool:
        """Wait for its end; False if that takes longer."""
        await asyncio.wait([self._pipes.exited], timeout=limit)
        return self.ended

    async def aclose(self) -> None:
        """End it and whatever it started. Idempotent."""
        transport = self._pipes.transport
        try:
            self._pipes.stdin.close()
            if not await self.gone():
                self._let_go()
                if not await self.gone(3 * GRACE):
                    with suppress(ProcessLookupError, PermissionError):
                        transport.kill()
                    await self.gone()
        finally:
            self._let_go()
            transport.close()

    def _let_go(self) -> None:
        handle, self._lifeline = self._lifeline, None
        if handle is not None:
            os.close(handle)
        elif sys.platform == "win32":
            with suppress(ProcessLookupError, PermissionError):
                self._pipes.transport.terminate()


class _Pipes(asyncio.SubprocessProtocol):
    """Collects what a server prints. Callbacks instead of tasks: nobody has to be waited for."""

    transport: asyncio.SubprocessTransport

    def __init__(self) -> None:
        self.exited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.reader = asyncio.StreamReader(MOST_LINE)
        self.writable = asyncio.Event()
        self.writable.set()
        self.err = b""
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.SubprocessTransport", transport)
        self.stdin = cast("asyncio.WriteTransport", self.transport.get_pipe_transport(0))
        # Who does not read makes it wait, and our memory stays as it is.
        self.reader.set_transport(cast("asyncio.Transport", self.transport.get_pipe_transport(1)))

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 2:
            self.err = (self.err + data)[-LAST_BYTES:]
        elif not self._ended:
            self.reader.feed_data(data)

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1:
            self._end()
        if fd == 0:
            self.writable.set()

    def process_exited(self) -> None:
        self.writable.set()
        if not self.exited.done():
            self.exited.set_result(None)
        # Others may hold the pipe open; what it had written is read by then.
        asyncio.get_running_loop().call_later(GRACE, self._end)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        if not self.exited.done():
            self.exited.set_result(None)

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self.reader.feed_eof()


async def start(entry: Entry, environ: Mapping[str, str] | None = None) -> Child:
    """Start the server of an entry. Whether that is allowed is somebody else's question (`consent`).

    Args:
        environ: what its environment is made from, secrets left out; default this process's.

    Raises:
        ToolServerUnavailable: there is no such program, or it cannot be started.
    """
    env = child_environment(environ) | entry.env
    program, folder = _found(entry, env.get("PATH"))
    try:
        if sys.platform == "win32":
            return await _start_alone(entry, program, env, folder)
        return await _start_with_lifeline(entry, program, env, folder)
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise ToolServerUnavailable(entry.name, f"{program} cannot be started: {said}") from error


def _found(entry: Entry, search: str | None) -> tuple[str, str]:
    """The program of an entry, and the folder to start it in: its own, else the user's.

    Raises:
        ToolServerUnavailable.
    """
    folder = os.path.expanduser(entry.cwd or "~")
    if not os.path.isdir(folder):
        raise ToolServerUnavailable(entry.name, f"there is no folder {folder!r} to start it in")
    program = find(entry.command, folder, search)
    if program is None:
        hint = "Install it, or name it by its whole path."
        raise ToolServerUnavailable(entry.name, f"there is no program {entry.command!r}", hint=hint)
    return program, folder


def find(command: str, folder: str, search: str | None) -> str | None:
    """The program that a command names, looked for where its own environment says; None if there is none."""
    given = Path(command).expanduser()
    if given.name != command and not given.is_absolute():
        given = Path(folder, given)
    return shutil.which(str(given), path=search)


async def _start_with_lifeline(entry: Entry, program: str, env: dict[str, str], folder: str) -> Child:
    theirs, ours = os.pipe()
    words = [sys.executable, "-I", "-S", lifeline.__file__, str(theirs), str(GRACE), program, *entry.args]
    try:
        _, pipes = await asyncio.get_running_loop().subprocess_exec(
            _Pipes, *words, env=env, cwd=folder, start_new_session=True, pass_fds=(theirs,)
        )
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    return Child(entry, pipes, ours)


async def _start_alone(entry: Entry, program: str, env: dict[str, str], folder: str) -> Child:
    windows = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | getattr(subprocess, "CREATE_NO_WINDOW", 0)
    _, pipes = await asyncio.get_running_loop().subprocess_exec(
        _Pipes, program, *entry.args, env=env, cwd=folder, creationflags=windows
    )
    return Child(entry, pipes, None)
