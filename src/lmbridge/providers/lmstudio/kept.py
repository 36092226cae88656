"""What is remembered in lmbridge's own folder: the server of LM Studio that lmbridge started."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from lmbridge.machine import processes
from lmbridge.machine.files import write_whole

STARTED: Final = "lmstudio-started.json"


class Started(Struct, frozen=True):
    """A server on this computer that lmbridge started.

    Attributes:
        port: where it listens.
        pid: the process that does; 0 where the system did not tell. born: what names that process for ever.
        time: seconds since 1970.
    """

    port: int
    pid: int = 0
    born: str = ""
    time: float = 0.0

    @classmethod
    def now(cls, port: int, pid: int | None) -> Started:
        """The one that was started just now."""
        return cls(port, pid or 0, processes.birth(pid) if pid else "", time.time())

    @property
    def alive(self) -> bool:
        """Whether its process still lives; taken for granted where the process is not known."""
        return not self.pid or (processes.exists(self.pid) and processes.birth(self.pid) == self.born)


def remember_start(home: Path, started: Started) -> None:
    """Remember that lmbridge started a server; forgotten where lmbridge's folder cannot be written."""
    with suppress(OSError):
        write_whole(home / STARTED, msgspec.json.encode(started))


def remembered_start(home: Path) -> Started | None:
    """The server that lmbridge started last; None when there is none, or it was forgotten."""
    try:
        return msgspec.json.decode((home / STARTED).read_bytes(), type=Started)
    except (OSError, ValueError, RecursionError):
        return None


def forget_start(home: Path) -> None:
    """The server that lmbridge started is stopped."""
    with suppress(OSError):
        (home / STARTED).unlink(missing_ok=True)
