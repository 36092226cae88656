"""One SQLite file of ours: readable by its owner only, used by several processes, from one thread in each.

The file is made with the first thing that is put into it. What was put into it survives the end of the process,
however sudden; a loss of power may cost the last things, but not the file. What is deleted is overwritten.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from lmbridge.core.errors import BridgeError, ConfigInvalid, NoSpace

T = TypeVar("T")

DAY_S: Final = 86_400.0
TIDY_S: Final = 3600.0
"""Seconds between two looks for what is too old."""
BUSY_S: Final = 10.0
"""Seconds to wait for another process that is writing."""
PAGE: Final = 4096
CACHE_KIB: Final = 512
"""Of pages kept in memory. SQLite's own 2 MB are for those who read at random; here is written at the end."""


class Database:
    """The file. `there`, `made`, `size` and `shrink` are for the work that `run` does, in its thread.

    Args:
        tables: SQL that makes them.
        application, version: marks in the file, so that another program's, or another version's, is left alone.
        most_bytes: beyond twice this size nothing is written; who uses it makes room before that.
        older: a statement that makes the tables of an older version those of this one, by that version.
        what: it is, for errors. hint: what to do where it cannot be used.
        tidy: drops what is too old; called now and then, `tidy_s` seconds apart, when the file is used.
    """

    def __init__(
        self,
        path: Path,
        tables: str,
        *,
        application: int,
        version: int,
        most_bytes: int,
        what: str,
        hint: str,
        tidy: Callable[[sqlite3.Connection], None],
        tidy_s: float = TIDY_S,
        older: Mapping[int, str] = {},
    ) -> None:
        self.path, self._older = path, older
        self._tables, self._application, self._version = tables, application, version
        self._most_bytes, self._what, self._hint = most_bytes, what, hint
        self._tidy, self._tidy_s, self._next_tidy = tidy, tidy_s, 0.0
        self._worker = ThreadPoolExecutor(1, f"lmbridge-{path.stem}")
        self._connection: sqlite3.Connection | None = None

    @property
    def is_open(self) -> bool:
        """Whether it was used and not closed since."""
        return self._connection is not None

    def run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Do something in the thread.

        Raises:
            ConfigInvalid, when it is awaited: the file is there and is none of ours, or cannot be used.
            NoSpace: the disk is full, or the file as large as it may become.
        """
        return asyncio.get_running_loop().run_in_executor(self._worker, self._guarded, work)

    async def aclose(self) -> None:
        """Close the file. Idempotent; what comes afterwards opens it again."""
        await self.run(self._close)

    # ---- in the thread

    def there(self) -> sqlite3.Connection | None:
        """The open file; None while there is none."""
        if self._connection is None and not self.path.exists():
            return None
        return self.made()

    def made(self) -> sqlite3.Connection:
        """The open file, made if need be."""
        if self._connection is None:
            if not self.path.exists():
                self._make()
            self._connection = self._open()
        if time.monotonic() >= self._next_tidy:
            self._next_tidy = time.monotonic() + self._tidy_s
            self._tidy(self._connection)
        return self._connection

    def size(self, connection: sqlite3.Connection) -> int:
        """Bytes of the file."""
        pages: int = connection.execute("PRAGMA page_count").fetchone()[0]
        return pages * PAGE

    def shrink(self, connection: sqlite3.Connection, *, deleted: bool) -> None:
        """After something was deleted: give the room back, and empty the log that is written ahead."""
        if deleted:
            connection.execute("PRAGMA incremental_vacuum").fetchall()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _guarded(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except (sqlite3.Error, OSError, msgspec.DecodeError) as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> BridgeError:
        full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        if full or getattr(error, "errno", None) == errno.ENOSPC:
            return NoSpace(str(self.path))
        return ConfigInvalid(str(self.path), f"it cannot be used as {self._what} ({error})", hint=self._hint)

    def _make(self) -> None:
        """Make the file in one step: another process may do the same."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}")
        os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            with closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
                connection.executescript(
                    f"PRAGMA page_size = {PAGE}; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;"
                    f"PRAGMA application_id = {self._application}; PRAGMA user_version = {self._version};"
                    f"{self._tables}"
                )
            os.link(fresh, self.path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            if application != self._application:
                raise sqlite3.DatabaseError("it belongs to another program")
            self._bring_up(connection)
            if _version_of(connection) != self._version:
                raise sqlite3.DatabaseError("another version of lmbridge made it")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            connection.execute(f"PRAGMA max_page_count = {2 * self._most_bytes // PAGE}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _bring_up(self, connection: sqlite3.Connection) -> None:
        """Make an older file one of this version. Another process may do the same: the first one does it."""
        if _version_of(connection) == self._version:
            return
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            if change := self._older.get(_version_of(connection)):
                connection.execute(change)
                connection.execute(f"PRAGMA user_version = {self._version}")

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _version_of(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version
