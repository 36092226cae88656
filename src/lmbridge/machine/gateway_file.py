"""The file through which one user's programs find the gateway that this user runs.

It holds the gateway's own key, so only its owner may read it. And since whoever can write it decides
where prompts go, a file that others could have written is refused, not used.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from lmbridge.core.errors import AlreadyRunning, ConfigInvalid, NoSpace
from lmbridge.machine import processes
from lmbridge.machine.files import write_whole
from lmbridge.machine.locks import locked

NAME, LOCK = "gateway.json", "gateway.lock"
MOST_BYTES = 64 * 1024


class GatewayFile(Struct, frozen=True):
    """A running gateway.

    Attributes:
        url: base address, without a final slash, e.g. `http://127.0.0.1:1235`.
        pid: its process.
        key: the gateway's own key, made anew at every start; never shown.
        version: of lmbridge there.
        started: seconds since 1970.
        born: what `processes.birth` said of the process; "" where the system does not tell.
    """

    url: str
    pid: int
    key: str
    version: str
    started: float
    born: str = ""

    def __repr__(self) -> str:
        return f"GatewayFile(url={self.url!r}, pid={self.pid}, version={self.version!r}, started={self.started})"

    @classmethod
    def of_this_process(cls, url: str, key: str, version: str) -> GatewayFile:
        """The file that this process, a gateway, should write."""
        return cls(url, os.getpid(), key, version, time.time(), processes.birth(os.getpid()))

    @property
    def alive(self) -> bool:
        """Whether the very process that wrote the file still lives (not one that got its id later)."""
        if self.born:
            return processes.birth(self.pid) == self.born
        return processes.exists(self.pid)

    def write(self, home: Path) -> Path:
        """Put the file into *home*, whole or not at all, readable for its owner only.

        Raises:
            NoSpace: the disk is full. OSError: the folder cannot be made or written.
        """
        try:
            write_whole(home / NAME, msgspec.json.encode(self))
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise NoSpace(str(home / NAME)) from error
            raise
        return home / NAME

    @classmethod
    def read(cls, home: Path) -> GatewayFile | None:
        """The gateway that was last started and not stopped; None when there is no file, or a garbled one.

        Whether it still runs is another question: see `alive`.

        Raises:
            ConfigInvalid: the file belongs to somebody else, or others may read or change it.
        """
        path = home / NAME
        try:
            handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigInvalid(str(path), f"cannot be read ({error.strerror})", hint="Remove it.") from error
        try:
            _refuse_if_unsafe(path, os.fstat(handle))
            data = os.read(handle, MOST_BYTES)
        finally:
            os.close(handle)
        try:
            return msgspec.json.decode(data, type=cls)
        except msgspec.DecodeError:
            return None

    def remove(self, home: Path) -> None:
        """Take the file away, if it is still about this gateway and not about one started since."""
        found = type(self).read(home)
        if found is None or (found.pid, found.key) == (self.pid, self.key):
            (home / NAME).unlink(missing_ok=True)


def running(home: Path) -> GatewayFile | None:
    """The gateway of this user, if it lives and takes connections; None for a file left behind by a crash.

    Raises:
        ConfigInvalid: see `GatewayFile.read`.
    """
    found = GatewayFile.read(home)
    return found if found is not None and found.alive and _listens(found.url) else None


@contextmanager
def claimed(home: Path) -> Iterator[None]:
    """Be the one gateway of this folder while the `with` lasts. The system frees the claim of one that died.

    Raises:
        AlreadyRunning: another process holds it.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(home / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not locked(lock):
            found = GatewayFile.read(home)
            raise AlreadyRunning(*(found.url, found.pid) if found else ("an address it has not told yet", 0))
        yield
    finally:
        os.close(lock)


def _listens(url: str) -> bool:
    """Whether anything takes a connection there. Where nothing listens on this machine, the answer is instant."""
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 80), timeout=1).close()
    except (OSError, ValueError):
        return False
    return True


def _refuse_if_unsafe(path: Path, facts: os.stat_result) -> None:
    reason = ""
    if not stat.S_ISREG(facts.st_mode):
        reason = "is not a plain file"
    elif sys.platform != "win32" and facts.st_uid != os.geteuid():
        reason = "belongs to another user"
    elif sys.platform != "win32" and facts.st_mode & 0o077:
        reason = f"is open to other users (mode {stat.S_IMODE(facts.st_mode):04o})"
    if reason:
        raise ConfigInvalid(
            str(path),
            reason,
            hint="Remove it, see who made it, and start the gateway again with `lmbridge serve`.",
        )
