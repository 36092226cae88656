"""What lmbridge has written into other programs' settings, so that it can take exactly that back.

It is in `connections.json` in lmbridge's own folder, for its owner only: what stood in our place may be a key.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Final

import msgspec
from msgspec import Struct

from lmbridge.core.errors import ConfigInvalid
from lmbridge.machine.files import write_whole
from lmbridge.machine.home import private_folder
from lmbridge.machine.locks import claim, release
from lmbridge.machine.programs.change import Change
from lmbridge.machine.programs.languages import LanguageName

NAME: Final = "connections.json"
PATIENCE_S: Final = 10.0
LOOK_AGAIN_S: Final = 0.05


class FileRecord(Struct, frozen=True):
    """What was done to one file.

    Attributes:
        backup: the copy of what it was; "" where there was none.
        folder: the outermost folder that was made for it; "" where all were there.
    """

    path: str
    language: LanguageName
    change: Change
    backup: str = ""
    folder: str = ""


class Connection(Struct, frozen=True):
    """A program that is connected.

    Attributes:
        program: its id. url, model: what it was told. when: seconds since 1970.
        key: the name of the API key that was made for it; "" if none was.
        uses: what it gets.
    """

    program: str
    url: str
    model: str
    when: float
    files: tuple[FileRecord, ...]
    key: str = ""
    uses: tuple[str, ...] = ()


class _Kept(Struct, frozen=True):
    connections: tuple[Connection, ...] = ()


class Connections:
    """The record of one home folder.

    Raises:
        ConfigInvalid: from every method, when the file is there and cannot be understood.
    """

    def __init__(self, home: Path) -> None:
        self.path = home / NAME
        self._lock = home / "connections.lock"

    def all(self) -> tuple[Connection, ...]:
        """Every connection, the oldest first."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=_Kept).connections
        except FileNotFoundError:
            return ()
        except (OSError, msgspec.DecodeError) as error:
            hint = "Move it away; what it lists is then yours to remove, and the copies beside each file help."
            raise ConfigInvalid(str(self.path), f"cannot be understood ({error})", hint=hint) from error

    def of(self, program: str) -> tuple[Connection, ...]:
        """The connections of a program: one, or more if other files than its usual ones were named."""
        return tuple(each for each in self.all() if each.program == program)

    def put(self, connection: Connection, instead_of: Connection | None = None) -> None:
        """Add one, in the place of another."""
        self._write((*(each for each in self.all() if each != instead_of), connection))

    def remove(self, connection: Connection) -> None:
        """Forget one."""
        self._write(tuple(each for each in self.all() if each != connection))

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Be the only process that changes other programs' settings while the `with` lasts.

        Raises:
            ConfigInvalid: another one takes too long.
        """
        private_folder(self._lock.parent)
        end = monotonic() + PATIENCE_S
        while (handle := claim(self._lock)) is None:
            if monotonic() > end:
                raise ConfigInvalid(str(self._lock), "another lmbridge is changing settings and does not finish")
            sleep(LOOK_AGAIN_S)
        try:
            yield
        finally:
            release(handle, self._lock)

    def _write(self, connections: tuple[Connection, ...]) -> None:
        write_whole(self.path, msgspec.json.format(msgspec.json.encode(_Kept(connections)), indent=2))
