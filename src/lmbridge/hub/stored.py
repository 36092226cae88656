"""Stored answers: the turns of conversations, so that a later request can go on from any of them.

Every turn names the one before it. Whoever goes on from an earlier turn makes a branch; nothing that was said is
ever changed. The turns are in one SQLite file, readable by its owner only, that several processes may use.

A turn belongs to the key that it was made with: with another one it is as if it were not there. What was made
where no key was needed belongs to nobody, and is there for every key.

A turn that was deleted or is too old can be neither shown nor continued. What was said in it stays for as long as
a later turn of the conversation needs it, and no longer: then it is overwritten (`secure_delete`), and the log
that SQLite writes ahead is emptied.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from lmbridge.core.errors import PreviousResponseNotFound, ResponseNotFound
from lmbridge.core.messages import Message
from lmbridge.hub.database import DAY_S as DAY_S
from lmbridge.hub.database import TIDY_S, Database

SAID: Final = 200
"""Characters of a question that a list shows."""
MOST_BYTES: Final = 2 * 2**30
"""Size of the file beyond which the oldest turns make room for new ones."""

_APPLICATION: Final = 0x4C4D4272  # so that another program's database is not taken for ours
_VERSION: Final = 2

# The blobs stand last in a row: what comes after them would be slow to reach.
_TABLES: Final = """
CREATE TABLE turns (
    id TEXT PRIMARY KEY, previous TEXT, created REAL NOT NULL, deleted INTEGER NOT NULL DEFAULT 0,
    model TEXT NOT NULL, provider TEXT NOT NULL, system TEXT NOT NULL, caller TEXT NOT NULL,
    messages BLOB NOT NULL, answer BLOB NOT NULL, body BLOB NOT NULL
);
CREATE INDEX turns_created ON turns (created, deleted, id);
"""
_OLDER: Final = {1: "ALTER TABLE turns ADD COLUMN caller TEXT NOT NULL DEFAULT ''"}
_PUT: Final = (
    "INSERT INTO turns (id, previous, created, model, provider, system, caller, messages, answer, body)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_GET: Final = (
    "SELECT id, previous, created, model, provider, system, caller, messages, answer, body FROM turns"
    " WHERE deleted = 0 AND id = ?1 AND created >= ?2 AND (?3 IS NULL OR caller IN ('', ?3))"
)
_NEWEST: Final = (
    "SELECT id, previous, created, model, provider, messages FROM turns"
    " WHERE deleted = 0 AND created >= ? ORDER BY created DESC, rowid DESC LIMIT ?"
)
_CHAIN: Final = """
WITH RECURSIVE chain (id, depth) AS (
    SELECT id, 0 FROM turns
    WHERE deleted = 0 AND id = ?1 AND created >= ?2 AND (?3 IS NULL OR caller IN ('', ?3))
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
        caller: the name of the key it was made with, "" where none was needed.
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
    caller: str = ""
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
        said: the words of the last message of the user in it, cut off after some.
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
    caller: str
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

    All work is done in one thread of its own, so that the event loop never waits for the disk; see `Database`.
    Whose turns a method may use is told by the name of a key; None stands for everybody's.

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
        purge_s: float = TIDY_S,
    ) -> None:
        self.path = path
        self._keep_s, self._most_bytes = keep_s, most_bytes
        self._file = Database(
            path,
            _TABLES,
            application=_APPLICATION,
            version=_VERSION,
            older=_OLDER,
            most_bytes=most_bytes,
            what="the store of answers",
            hint="Move the file away, or set `gateway.store_days` to 0.",
            tidy=self._purge,
            tidy_s=purge_s,
        )

    @property
    def enabled(self) -> bool:
        """Whether anything is stored at all."""
        return self._keep_s > 0

    async def put(self, turn: Turn) -> None:
        """Store a turn. When this returns, its id can be used."""
        await self._file.run(lambda: self._put(turn))

    async def get(self, id: str, caller: str | None = None) -> Turn:
        """A turn as it was put.

        Raises:
            ResponseNotFound.
        """
        return await self._file.run(lambda: self._get(id, caller))

    async def newest(self, most: int) -> tuple[Brief, ...]:
        """The newest turns that can be used, the newest first."""
        return await self._file.run(lambda: self._newest(most))

    async def history(self, id: str, caller: str | None = None) -> History:
        """The whole conversation, up to and with this turn.

        Raises:
            PreviousResponseNotFound: it cannot be continued.
        """
        return await self._file.run(lambda: self._history(id, caller))

    async def delete(self, id: str, caller: str | None = None) -> None:
        """Delete a turn. Later turns of the conversation keep what they need.

        Raises:
            ResponseNotFound.
        """
        await self._file.run(lambda: self._delete(id, caller))

    async def clear(self) -> int:
        """Delete every turn; tells how many could still be used."""
        return await self._file.run(self._clear)

    async def purge(self) -> None:
        """Drop what is too old now, without waiting for somebody to ask."""
        await self._file.run(self._file.there)

    async def check(self) -> None:
        """Make sure that the file can be used, before work is done whose result it is to hold."""
        if not self._file.is_open and self.enabled:
            await self._file.run(self._file.made)

    async def aclose(self) -> None:
        """Close the file. Idempotent; what comes afterwards opens it again."""
        await self._file.aclose()

    # ---- in the worker's thread

    def _put(self, turn: Turn) -> None:
        connection = self._file.made()
        self._make_room(connection)
        said = (_encode(turn.messages), _encode(turn.answer), turn.body)
        about = (turn.id, turn.previous, turn.created, turn.model, turn.provider, turn.system, turn.caller)
        connection.execute(_PUT, (*about, *said))

    def _get(self, id: str, caller: str | None) -> Turn:
        connection = self._file.there()
        which = (id, self._oldest(), caller)
        found = None if connection is None else connection.execute(_GET, which).fetchone()
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
            caller=row.caller,
            messages=_messages(row.messages),
            answer=_message(row.answer),
            body=row.body,
        )

    def _newest(self, most: int) -> tuple[Brief, ...]:
        connection = self._file.there()
        found = [] if connection is None else connection.execute(_NEWEST, (self._oldest(), most)).fetchall()
        return tuple(
            Brief(line.id, line.previous, line.created, line.model, line.provider, _beginning(line.messages))
            for line in msgspec.convert(found, list[_Line])
        )

    def _history(self, id: str, caller: str | None) -> History:
        connection = self._file.there()
        which = (id, self._oldest(), caller)
        found = [] if connection is None else connection.execute(_CHAIN, which).fetchall()
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

    def _delete(self, id: str, caller: str | None) -> None:
        connection = self._file.there()
        which = "id = ?1 AND created >= ?2 AND (?3 IS NULL OR caller IN ('', ?3))"
        if connection is None or not self._erase(connection, which, (id, self._oldest(), caller)):
            raise ResponseNotFound(id)

    def _clear(self) -> int:
        connection = self._file.there()
        return 0 if connection is None else self._erase(connection, "1")

    def _purge(self, connection: sqlite3.Connection) -> None:
        self._erase(connection, "created < ?", (self._oldest(),))

    def _make_room(self, connection: sqlite3.Connection) -> None:
        while self._file.size(connection) > self._most_bytes:
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
        self._file.shrink(connection, deleted=marked > 0)
        return marked

    def _oldest(self) -> float:
        """When a turn must have been made to be of use."""
        return time.time() - self._keep_s


def _beginning(messages: bytes) -> str:
    """The first words of the last thing the user said; of the last message where he said nothing."""
    found = _messages(messages)
    # A model that used tools here has turns of its own among them, and results.
    last = [message for message in found if message.role == "user"][-1:] or found[-1:]
    return last[0].text[:SAID] if last else ""
