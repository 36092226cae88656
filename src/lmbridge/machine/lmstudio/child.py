"""Runs one command of another program and survives whatever it does.

The child has no shell and no standard input, an environment without secrets, and a process group of its own,
which ends as a whole when the caller goes away or a limit is passed. What it prints is bounded.

It is over when its process ends, not when its pipes do: `lms` may leave LM Studio behind, holding them open.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, TypeAlias, TypeVar, cast

from msgspec import Struct

from lmbridge.core.errors import BridgeError, CommandFailed, RuntimeMissing
from lmbridge.machine.environment import child_environment
from lmbridge.machine.lmstudio.output import last_words

GRACE: Final = 2.0
"""Seconds a child may take to leave when it is told to, and its pipes to run dry when it is gone."""
TICK: Final = 0.5
"""Seconds between two calls of who is told how long it takes."""
LAST_BYTES: Final = 16 * 1024
"""Of what is printed to standard error."""
MOST_OUTPUT: Final = 16 * 2**20
"""Bytes of standard output that are kept for who reads it at the end."""
MOST_LINE: Final = 16 * 2**20
"""Bytes of one line, for who reads line by line. A line of LM Studio's log may hold a whole prompt."""

# Colours are for people; whoever forces them would garble what is read here.
_NOT_COLOURED: Final = {"NO_COLOR": "1"}
_COLOURS: Final = ("FORCE_COLOR", "CLICOLOR_FORCE", "COLORTERM")

Listener: TypeAlias = Callable[[bytes, bytes], None]
"""Called with what came since the last call: on standard output, and on standard error."""


class Done(Struct, frozen=True):
    """A command that ended by itself.

    Attributes:
        status: its exit status; below zero the signal that ended it.
        out, err: what it printed; of `err` the last bytes. `out` is empty when somebody listened.
    """

    status: int
    out: bytes
    err: bytes


class Unending(Exception):
    """A command that had to be ended. Told apart so that the caller can say what it printed."""

    def __init__(self, reason: str, done: Done) -> None:
        self.reason, self.done = reason, done
        super().__init__(reason)


def shown(command: Sequence[str | Path]) -> str:
    """The command as one would type it, the program by its name alone."""
    return shlex.join([Path(command[0]).stem, *map(str, command[1:])])


async def run(
    command: Sequence[str | Path],
    *,
    environ: Mapping[str, str] | None = None,
    limit: float,
    silence: float | None = None,
    listen: Listener | None = None,
    waiting: Callable[[float], None] | None = None,
) -> Done:
    """Run a command to its end. Cancelling ends it and all that it started in its group.

    Args:
        command: the program's path and its arguments.
        environ: what its environment is made from, secrets left out; default this process's.
        limit: seconds it may take. silence: seconds it may print nothing.
        listen: told what it prints meanwhile. waiting: told the seconds it has taken, now and then.

    Raises:
        RuntimeMissing: there is no such program.
        CommandFailed: it cannot be started.
        Unending: it passed a limit, or prints without end.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with _started(command, environ, lambda: _Child(listen is not None)) as child:
        while not child.exited.done():
            now = loop.time()
            if waiting is not None:
                waiting(now - begun)
            if child.out_bytes > MOST_OUTPUT and listen is None:
                raise Unending(f"it printed more than {MOST_OUTPUT >> 20} MiB", Done(0, b"", child.err))
            if now - begun >= limit:
                raise Unending(f"it did not end within {limit:g} s", child.done())
            if silence is not None and now - child.heard >= silence:
                raise Unending(f"it was silent for {silence:g} s", child.done())
            ends = min(begun + limit, child.heard + silence if silence is not None else begun + limit)
            await child.news(min(TICK, ends - now) if waiting is not None else ends - now)
            if listen is not None:
                listen(*child.take())
        await asyncio.wait([child.closed], timeout=GRACE)
        if listen is not None:
            listen(*child.take())
        return child.done()


@asynccontextmanager
async def lines(
    command: Sequence[str | Path], *, environ: Mapping[str, str] | None = None
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The lines a command prints until it ends; leaving the `with` ends it.

    The iteration raises CommandFailed when the command fails, or prints a line that is too long. Who does
    not read makes it wait, not grow.

    Args:
        command: the program's path and its arguments.
        environ: what its environment is made from, secrets left out; default this process's.

    Raises:
        RuntimeMissing: there is no such program. CommandFailed: it cannot be started.
    """
    async with _started(command, environ, _Lines) as child:
        yield _read_lines(child, command)


async def _read_lines(child: _Lines, command: Sequence[str | Path]) -> AsyncIterator[bytes]:
    while True:
        try:
            line = await child.reader.readline()
        except ValueError as error:
            raise CommandFailed(shown(command), f"it printed a line over {MOST_LINE >> 20} MiB") from error
        if not line:
            break
        yield line.rstrip(b"\r\n")
    await asyncio.wait([child.exited], timeout=GRACE)
    status = child.transport.get_returncode()
    if status:
        said = last_words(child.err) or f"exit status {status}"
        raise CommandFailed(shown(command), said, status=status)


class _Child(asyncio.SubprocessProtocol):
    """Collects what a child prints. Callbacks instead of tasks: nobody has to be waited for."""

    transport: asyncio.SubprocessTransport

    def __init__(self, taken: bool) -> None:
        loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.heard = loop.time()
        self.out_bytes = 0
        self.err = b""
        self._out: list[bytes] = []
        self._new: list[bytes] = []
        self._taken, self._news, self._time = taken, asyncio.Event(), loop.time

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.heard = self._time()
        if fd == 2:
            self.err = (self.err + data)[-LAST_BYTES:]
            if self._taken:
                self._new = [(b"".join(self._new) + data)[-LAST_BYTES:]]
        elif self._taken or self.out_bytes <= MOST_OUTPUT:
            self.out_bytes += len(data)
            self._out.append(data)
        if self._taken or self.out_bytes > MOST_OUTPUT:
            self._news.set()

    def process_exited(self) -> None:
        self._news.set()
        if not self.exited.done():
            self.exited.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.process_exited()
        if not self.closed.done():
            self.closed.set_result(None)

    async def news(self, timeout: float) -> None:
        """Wait until it has printed something that is listened to, or ended; *timeout* seconds at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, timeout)):
                await self._news.wait()
        self._news.clear()

    def take(self) -> tuple[bytes, bytes]:
        """What came since the last call."""
        out, err = b"".join(self._out), b"".join(self._new)
        self._out, self._new = [], []
        return out, err

    def done(self) -> Done:
        status = self.transport.get_returncode()
        return Done(0 if status is None else status, b"".join(self._out), self.err)


class _Lines(_Child):
    """Gives what a child prints line by line, and lets it wait when nobody reads."""

    def __init__(self) -> None:
        super().__init__(taken=False)
        self.reader = asyncio.StreamReader(MOST_LINE)
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.reader.set_transport(cast("asyncio.Transport", self.transport.get_pipe_transport(1)))

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 1 and not self._ended:
            self.reader.feed_data(data)
        elif fd == 2:
            super().pipe_data_received(fd, data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1:
            self._end()

    def process_exited(self) -> None:
        super().process_exited()
        # Others may hold the pipe open; what it had written is read by then.
        asyncio.get_running_loop().call_later(GRACE, self._end)

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self.reader.feed_eof()


_ChildT = TypeVar("_ChildT", bound=_Child)


@asynccontextmanager
async def _started(
    command: Sequence[str | Path], environ: Mapping[str, str] | None, make: Callable[[], _ChildT]
) -> AsyncIterator[_ChildT]:
    """A child that is gone with its whole group when this is left, unless it ended by itself."""
    path = Path(command[0])
    # Unix has sessions; Windows has groups, and would open a console window.
    windows = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | getattr(subprocess, "CREATE_NO_WINDOW", 0)
    own_group = {"creationflags": windows} if sys.platform == "win32" else {"start_new_session": True}
    try:
        transport, child = await asyncio.get_running_loop().subprocess_exec(
            make,
            *map(str, command),
            stdin=subprocess.DEVNULL,
            env=_environment(environ),
            cwd=path.parent,
            **own_group,
        )
    except (OSError, ValueError) as error:
        raise _no_start(command, path, error) from error
    try:
        yield child
    finally:
        await _end(transport, child)


def _no_start(command: Sequence[str | Path], path: Path, error: OSError | ValueError) -> BridgeError:
    if isinstance(error, FileNotFoundError) and not path.exists():  # else its interpreter is what is missing
        hint = "`lmbridge lmstudio status` shows what is there."
        return RuntimeMissing("LM Studio", f"There is no program {path}.", hint=hint)
    said = error.strerror if isinstance(error, OSError) else error
    return CommandFailed(shown(command), f"{path} cannot be started: {said}")


def _environment(environ: Mapping[str, str] | None) -> dict[str, str]:
    kept = child_environment(environ)
    return {name: value for name, value in kept.items() if name not in _COLOURS} | _NOT_COLOURED


async def _end(transport: asyncio.SubprocessTransport, child: _Child) -> None:
    """Ask the group of a child that still lives to leave, then make it."""
    try:
        if transport.get_returncode() is None:
            _signal(transport, "SIGTERM")
            try:
                await asyncio.wait([child.exited], timeout=GRACE)
            finally:
                _signal(transport, "SIGKILL")
            await asyncio.wait([child.exited], timeout=GRACE)
    finally:
        transport.close()


def _signal(transport: asyncio.SubprocessTransport, name: str) -> None:
    # Gone already, or (on a Mac) gone and not yet waited for.
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            transport.kill()
        else:
            os.killpg(transport.get_pid(), signal.Signals[name])
