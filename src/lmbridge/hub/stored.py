"""Stored answers: the turns of conversations, so that a later request can go on from any of them.

Every turn names the one before it. Whoever goes on from an earlier turn makes a branch; nothing that was said is
ever changed. The turns are in one SQLite file, readable by its owner only, that several processes may use.

A turn that was deleted or is too old can be neither shown nor continued. What was said in it stays for as long as
a later turn of the conversation needs it, and no longer: then it is overwritten (`secure_delete`), and the log
that SQLite writes ahead is emptied.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from lmbridge.core.errors import BridgeError, ConfigInvalid, NoSpace, PreviousResponseNotFound, ResponseNotFound
from lmbridge.core.messages import Message

_T = TypeVar("_T")

DAY_S: Final = 86_400.0
PURGE_S: Final = 3600.0
"""Seconds between two looks for turns that are too old."""
BUSY_S: Final = 10.0
"""Seconds to wait for another process that is writing."""
SAID: Final = 200
"""Characters of a question that a list shows."""
MOST_BYTES: Final = 2 * 2**30
"""Size of the file beyond which the oldest turns make room for new ones."""

_APPLICATION: Final = 0x4C4D4272  # so that another program's database is not taken for ours
_VERSION: Final = 1
_PAGE: Final = 4096

# The blobs stand last in a row: what comes after them would be slow to reach.
_TABLES: Final = f"""
PRAGMA page_size = {_PAGE};
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {_VERSION};
CREATE TABLE turns (
    id TEXT PRIMARY KEY, previous TEXT, created REAL NOT NULL, deleted INTEGER NOT NULL DEFAULT 0,
    model TEXT NOT NULL, provider TEXT NOT NULL, system TEXT NOT NULL,
    messages BLOB NOT NULL, answer BLOB NOT NULL, body BLOB NOT NULL
);
CREATE INDEX turns_created ON turns (created, deleted, id);
"""
_PUT: Final = (
    "INSERT INTO turns (id, previous, created, model, provider, system, messages, answer, body)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_GET: Final = (
    "SELECT id, previous, created, model, provider, system, messages, answer, body FROM turns"
    " WHERE id = ? AND deleted = 0 AND created >= ?"
)
_NEWEST: Final = (
    "SELECT id, previous, created, model, provider, messages FROM turns"
    " WHERE deleted = 0 AND created >= ? ORDER BY created DESC, rowid DESC LIMIT ?"
)
_CHAIN: Final = """
WITH RECURSIVE chain (id, depth) AS (
    SELECT id, 0 FROM turns WHERE id = ? AND deleted = 0 AND created >= ?
    UNION ALL
    SELECT turns.previous, depth + 1 FROM chain JOIN turns ON turns.id = chain.id WHERE turns.previous IS NOT NULL
)
SELECT chain.id, system, messages, answer FROM chain LEFT JOIN turns ON turns.id = chain.id ORDER BY depth DESC
"""
_MARK: Final = "UPDATE turns SET deleted = 1, body = x'' WHERE deleted = 0 AND "
_DROP: Final = """
DELETE FROM turns WHERE deleted = 1 AND id NOT IN (
    WITH RECURSIVE needed (id) AS (
        SELECT previous FROM turns WHERE deleted = 0 AND previous IS NOT NULL
        UNION
        SELECT turns.previous FROM needed JOIN turns ON turns.id = needed.id WHERE turns.previous IS NOT NULL
    ) SELECT id FROM needed
)
"""
_OLDEST_TENTH: Final = (
    "SELECT created FROM turns WHERE deleted = 0 ORDER BY created"
    " LIMIT 1 OFFSET (SELECT count(*) / 10 FROM turns WHERE deleted = 0)"
)


class Turn(Struct, frozen=True, kw_only=True):
    """One question and its answer.

    Attributes:
        id: `resp_` and 48 hexadecimal digits, see `new_id`. previous: the turn it goes on from.
        model, provider: who answered. created: seconds since 1970.
        system: the system prompt, where the API says that later turns inherit it (LM Studio's); "" for none.
        messages: what this turn added to the conversation, without what came before.
        answer: what the model said.
        body: the answer as OpenAI's response object, in JSON; empty where another API was spoken.
    """

    id: str
    previous: str | None = None
    model: str
    provider: str
    created: float
    system: str = ""
    messages: tuple[Message, ...]
    answer: Message
    body: bytes = b""


class History(Struct, frozen=True):
    """A conversation so far.

    Attributes:
        messages: every turn's messages and answers, the oldest first.
        system: the newest system prompt that is inherited; "" for none. It is not among the messages.
    """

    messages: tuple[Message, ...] = ()
    system: str = ""


class Brief(Struct, frozen=True):
    """What a list shows of a turn.

    Attributes:
        said: the words of its last message, cut off after some.
    """

    id: str
    previous: str | None
    created: float
    model: str
    provider: str
    said: str


class _Line(Struct, array_like=True):
    id: str
    previous: str | None
    created: float
    model: str
    provider: str
    messages: bytes


class _Row(Struct, array_like=True):
    id: str
    previous: str | None
    created: float
    model: str
    provider: str
    system: str
    messages: bytes
    answer: bytes
    body: bytes


class _Link(Struct, array_like=True):
    """A turn of a chain; all but its id is missing if the turn is."""

    id: str
    system: str | None
    messages: bytes | None
    answer: bytes | None


_encode: Final = msgspec.json.Encoder().encode
_messages: Final = msgspec.json.Decoder(tuple[Message, ...]).decode
_message: Final = msgspec.json.Decoder(Message).decode


def new_id() -> str:
    """A name for a turn, in LM Studio's form; nobody can guess it."""
    return f"resp_{secrets.token_hex(24)}"


def keeping_nothing() -> Stored:
    """A store for those who want none."""
    return Stored(Path(os.devnull, "responses.db"), 0)


class Stored:
    """The stored turns of one home folder.

    All work is done in one thread of its own, so that the event loop never waits for the disk. The file is made
    with the first turn. A turn survives the end of this process, however sudden; a loss of power may cost the
    last ones, but not the file.

    Args:
        path: the file. keep_s: seconds that a turn is kept; 0 stores nothing.
        most_bytes: size of the file beyond which the oldest turns are dropped.
        purge_s: seconds between two looks for turns that are too old.

    Raises:
        ConfigInvalid: from every method, when the file is there and is no such store, or cannot be used.
        NoSpace: from those that write.
    """

    def __init__(
        self,
        path: Path,
        keep_s: float = 30 * DAY_S,
        *,
        most_bytes: int = MOST_BYTES,
        purge_s: float = PURGE_S,
    ) -> None:
        self.path = path
        self._keep_s, self._most_bytes, self._purge_s = keep_s, most_bytes, purge_s
        self._worker = ThreadPoolExecutor(1, "lmbridge-stored")
        self._connection: sqlite3.Connection | None = None
        self._next_purge = 0.0

    @property
    def enabled(self) -> bool:
        """Whether anything is stored at all."""
        return self._keep_s > 0

    async def put(self, turn: Turn) -> None:
        """Store a turn. When this returns, its id can be used."""
        await self._run(lambda: self._put(turn))

    async def get(self, id: str) -> Turn:
        """A turn as it was put.

        Raises:
            ResponseNotFound.
        """
        return await self._run(lambda: self._get(id))

    async def newest(self, most: int) -> tuple[Brief, ...]:
        """The newest turns that can be used, the newest first."""
        return await self._run(lambda: self._newest(most))

    async def history(self, id: str) -> History:
        """The whole conversation, up to and with this turn.

        Raises:
            PreviousResponseNotFound: it cannot be continued.
        """
        return await self._run(lambda: self._history(id))

    async def delete(self, id: str) -> None:
        """Delete a turn. Later turns of the conversation keep what they need.

        Raises:
            ResponseNotFound.
        """
        await self._run(lambda: self._delete(id))

    async def clear(self) -> int:
        """Delete every turn; tells how many could still be used."""
        return await self._run(self._clear)

    async def purge(self) -> None:
        """Drop what is too old now, without waiting for somebody to ask."""
        await self._run(self._there)

    async def check(self) -> None:
        """Make sure that the file can be used, before work is done whose result it is to hold."""
        if self._connection is None and self.enabled:
            await self._run(self._made)

    async def aclose(self) -> None:
        """Close the file. Idempotent; what comes afterwards opens it again."""
        await self._run(self._close)

    async def _run(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._guarded, work)

    # ---- in the worker's thread

    def _guarded(self, work: Callable[[], _T]) -> _T:
        try:
            return work()
        except (sqlite3.Error, OSError, msgspec.DecodeError) as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> BridgeError:
        full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        if full or getattr(error, "errno", None) == errno.ENOSPC:
            return NoSpace(str(self.path))
        return ConfigInvalid(
            str(self.path),
            f"it cannot be used as the store of answers ({error})",
            hint="Move the file away, or set `gateway.store_days` to 0.",
        )

    def _put(self, turn: Turn) -> None:
        connection = self._made()
        self._make_room(connection)
        said = (_encode(turn.messages), _encode(turn.answer), turn.body)
        about = (turn.id, turn.previous, turn.created, turn.model, turn.provider, turn.system)
        connection.execute(_PUT, (*about, *said))

    def _get(self, id: str) -> Turn:
        connection = self._there()
        found = None if connection is None else connection.execute(_GET, (id, self._oldest())).fetchone()
        if found is None:
            raise ResponseNotFound(id)
        row = msgspec.convert(found, _Row)
        return Turn(
            id=row.id,
            previous=row.previous,
            model=row.model,
            provider=row.provider,
            created=row.created,
            system=row.system,
            messages=_messages(row.messages),
            answer=_message(row.answer),
            body=row.body,
        )

    def _newest(self, most: int) -> tuple[Brief, ...]:
        connection = self._there()
        found = [] if connection is None else connection.execute(_NEWEST, (self._oldest(), most)).fetchall()
        return tuple(
            Brief(line.id, line.previous, line.created, line.model, line.provider, _beginning(line.messages))
            for line in msgspec.convert(found, list[_Line])
        )

    def _history(self, id: str) -> History:
        connection = self._there()
        found = [] if connection is None else connection.execute(_CHAIN, (id, self._oldest())).fetchall()
        if not found:
            raise PreviousResponseNotFound(id)
        system, messages = "", list[Message]()
        for link in msgspec.convert(found, list[_Link]):
            if link.messages is None or link.answer is None:
                # It went while its successor was being answered: a conversation without it is another one.
                raise PreviousResponseNotFound(link.id)
            system = link.system or system
            messages += (*_messages(link.messages), _message(link.answer))
        return History(tuple(messages), system)

    def _delete(self, id: str) -> None:
        connection = self._there()
        if connection is None or not self._erase(connection, "id = ? AND created >= ?", (id, self._oldest())):
            raise ResponseNotFound(id)

    def _clear(self) -> int:
        connection = self._there()
        return 0 if connection is None else self._erase(connection, "1")

    def _purge(self, connection: sqlite3.Connection) -> None:
        self._next_purge = time.monotonic() + self._purge_s
        self._erase(connection, "created < ?", (self._oldest(),))

    def _make_room(self, connection: sqlite3.Connection) -> None:
        while connection.execute("PRAGMA page_count").fetchone()[0] * _PAGE > self._most_bytes:
            oldest = connection.execute(_OLDEST_TENTH).fetchone()
            if oldest is None:
                return
            self._erase(connection, "created <= ?", oldest)

    def _erase(self, connection: sqlite3.Connection, which: str, values: tuple[object, ...] = ()) -> int:
        """Overwrite what no turn needs any more, in the file and in the log before it; tells how many went."""
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            marked = connection.execute(_MARK + which, values).rowcount
            if marked:
                connection.execute(_DROP)
        if marked:
            connection.execute("PRAGMA incremental_vacuum").fetchall()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return marked

    def _oldest(self) -> float:
        """When a turn must have been made to be of use."""
        return time.time() - self._keep_s

    def _there(self) -> sqlite3.Connection | None:
        """The open file; None while there is none."""
        if self._connection is None and not self.path.exists():
            return None
        return self._made()

    def _made(self) -> sqlite3.Connection:
        """The open file, made if need be."""
        if self._connection is None:
            if not self.path.exists():
                self._make()
            self._connection = self._open()
        if time.monotonic() >= self._next_purge:
            self._purge(self._connection)
        return self._connection

    def _make(self) -> None:
        """Make the file in one step: another process may do the same."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}")
        os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            with closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
                connection.executescript(_TABLES)
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
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if application != _APPLICATION:
                raise sqlite3.DatabaseError("it belongs to another program")
            if version != _VERSION:
                raise sqlite3.DatabaseError("another version of lmbridge made it")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute(f"PRAGMA max_page_count = {2 * self._most_bytes // _PAGE}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _beginning(messages: bytes) -> str:
    """The first words of the last message."""
    last = _messages(messages)[-1:]
    return last[0].text[:SAID] if last else ""
