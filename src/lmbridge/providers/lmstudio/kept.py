"""What is remembered of LM Studio in lmbridge's own folder: who started its server, and which models it had.

Both are conveniences: a folder that cannot be read or written makes them forgotten, and nothing else fails.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from lmbridge.machine import processes
from lmbridge.machine.home import private_folder
from lmbridge.wire.lmstudio.models import LMStudioModel

STARTED: Final = "lmstudio-started.json"
MODELS: Final = "lmstudio-models.json"
MOST_BYTES: Final = 16 * 2**20

T = TypeVar("T", bound=Struct)


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


class _Models(Struct, frozen=True):
    named: str
    """Address in the settings, "" where LM Studio was found by itself."""
    time: float
    models: tuple[LMStudioModel, ...]


def remember_start(home: Path, started: Started) -> None:
    """Remember that lmbridge started a server."""
    _write(home / STARTED, started)


def remembered_start(home: Path) -> Started | None:
    """The server that lmbridge started last; None when there is none, or it was forgotten."""
    return _read(home / STARTED, Started)


def forget_start(home: Path) -> None:
    """The server that lmbridge started is stopped."""
    with suppress(OSError):
        (home / STARTED).unlink(missing_ok=True)


def keep_models(home: Path, named: str, models: Sequence[LMStudioModel]) -> None:
    """Keep a list for when its server is down.

    Args:
        named: the address in the settings; "" where LM Studio is found by itself.
    """
    kept = tuple(replace(model, loaded=(), loading=False, knows_loaded=False) for model in models)
    _write(home / MODELS, _Models(named, time.time(), kept))


def kept_models(home: Path, named: str) -> list[LMStudioModel]:
    """The list that was kept last of that address, each entry with its age; [] when none was."""
    found = _read(home / MODELS, _Models)
    if found is None or found.named != named:
        return []
    age = max(0.001, time.time() - found.time)  # 0 would mean: just asked for
    return [replace(model, stale_s=age) for model in found.models]


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(MOST_BYTES), type=kind)
    except (OSError, ValueError, RecursionError):
        return None


def _write(path: Path, value: Struct) -> None:
    """Put it there whole or not at all, readable for its owner only."""
    with suppress(OSError):
        private_folder(path.parent)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.encode(value))
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
