"""The ledger: one entry for each call of a model, in SQLite. Names and numbers only, never a prompt or an answer.

Entries are collected and written by another thread a moment later (`hub.later`), many in one transaction, so that
nobody who asks a model waits for the disk. Several processes may write at the same time, and others may read.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import Struct

from lmbridge.core.errors import BridgeError
from lmbridge.core.usage import UsageBy, UsageReport, Used
from lmbridge.hub.activity import Turn
from lmbridge.hub.database import DAY_S, TIDY_S, Database
from lmbridge.hub.later import DELAY_S, Later

MOST_BYTES: Final = 256 * 2**20
"""Size of the file beyond which the oldest entries make room for new ones; about three million."""
AT_ONCE: Final = 2000
"""Entries that are written without waiting longer."""
MOST_WAITING: Final = 100_000
"""Entries that may wait while the disk does not take them; what comes then is lost, and counted."""
MOST_ROWS: Final = 1000
"""Rows of a report: callers may name as many tasks as they like."""
CANCELLED: Final = "cancelled"
"""In place of an error's code: the caller went away."""

log = logging.getLogger("lmbridge.usage")

_APPLICATION: Final = 0x4C4D4275
_VERSION: Final = 1
_TABLES: Final = """
CREATE TABLE calls (
    at REAL NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, task TEXT NOT NULL, caller TEXT NOT NULL,
    place TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL, queued_s REAL NOT NULL, first_event_s REAL, total_s REAL NOT NULL,
    error TEXT NOT NULL
);
CREATE INDEX calls_at ON calls (at);
"""
_COLUMNS: Final = 13
_ROW: Final = f"({','.join('?' * _COLUMNS)})"
# One statement for many rows: the thread would otherwise fight for the interpreter's lock after each of them, and
# lose against a busy event loop. SQLite takes 999 values in one at least, 32766 since 3.32.
_AT_A_TIME: Final = 256
_KEYS: Final[Mapping[UsageBy, str]] = MappingProxyType(
    {
        "model": "provider || ':' || model",
        "day": "strftime('%Y-%m-%d', at, 'unixepoch', 'localtime')",
        "hour": "strftime('%Y-%m-%d %H:00', at, 'unixepoch', 'localtime')",
        "provider": "provider",
        "task": "task",
        "caller": "caller",
        "where": "place",
    }
)
_WHICH: Final = "at >= ? AND at < ? AND instr(lower(provider || ':' || model), ?) > 0"
# An answer that came in one piece, streamed or not, counts as being written from the moment when it had its model.
# `total` does not overflow, whatever a provider says that it counted.
_SUMS: Final = """
SELECT {key} AS name, count(*), sum(error NOT IN ('', '{cancelled}')), sum(error = '{cancelled}'),
    CAST(total(prompt_tokens) AS INTEGER), CAST(total(cached_tokens) AS INTEGER),
    CAST(total(completion_tokens) AS INTEGER), sum(total_s),
    sum(CASE WHEN completion_tokens = 0 THEN 0 WHEN total_s - first_event_s >= 0.001 THEN total_s - first_event_s
        ELSE total_s - queued_s END)
FROM calls WHERE {which} GROUP BY name ORDER BY {order} LIMIT {most}
"""
_BY_TOKENS: Final = "sum(prompt_tokens + 0.0 + completion_tokens) DESC, count(*) DESC, name"
_MEDIANS: Final = """
SELECT name, avg(first_event_s) FROM (
    SELECT {key} AS name, first_event_s, count(*) OVER (PARTITION BY {key}) AS many,
        row_number() OVER (PARTITION BY {key} ORDER BY first_event_s) AS place
    FROM calls WHERE {which} AND first_event_s IS NOT NULL AND {key} IN (SELECT value FROM json_each(?))
) WHERE place IN ((many + 1) / 2, (many + 2) / 2) GROUP BY name
"""
_OLDEST_TENTH: Final = (
    "SELECT at FROM calls ORDER BY at LIMIT 1 OFFSET (SELECT max(1, count(*) / 10) - 1 FROM calls)"
)

_Entry = tuple[float, str, str, str, str, str, int, int, int, float, float | None, float, str]


class _Sums(Struct, array_like=True):
    name: str
    calls: int
    errors: int
    cancelled: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    total_s: float
    writing_s: float


class Ledger:
    """The usage of one home folder. It belongs to the one event loop that its user runs in.

    Args:
        path: the file, made with the first entry. keep_s: seconds that an entry is kept; 0 keeps none.
        place: where the models are asked, for `where`: `gateway`, or `process` for a program of its own.
        most_bytes: size of the file beyond which the oldest entries are dropped.
        tidy_s: seconds between two looks for entries that are too old.
    """

    def __init__(
        self,
        path: Path,
        keep_s: float = 365 * DAY_S,
        *,
        place: str = "process",
        most_bytes: int = MOST_BYTES,
        tidy_s: float = TIDY_S,
    ) -> None:
        self._keep_s, self._place, self._most_bytes = keep_s, place, most_bytes
        self._file = Database(
            path,
            _TABLES,
            application=_APPLICATION,
            version=_VERSION,
            most_bytes=most_bytes,
            what="the ledger of usage",
            hint="Move the file away, or set `usage_days` to 0.",
            tidy=self._drop_old,
            tidy_s=tidy_s,
        )
        self._later = Later(list[_Entry], self._begin, at_once=AT_ONCE, most=MOST_WAITING, delay_s=DELAY_S)
        self._failing = False

    def note(self, turn: Turn) -> None:
        """Take a turn that has ended, to be written soon. Never fails: a call must not suffer from its ledger."""
        later = self._later
        if self._keep_s <= 0 or later.full():
            return
        tally = turn.tally
        later.waiting.append(
            (
                time.time(),
                tally.provider,
                tally.model,
                turn.task or tally.asked,
                turn.caller,
                self._place,
                turn.prompt_tokens,
                turn.cached_tokens,
                turn.completion_tokens,
                turn.waited_s,
                turn.first_event_s,
                turn.total_s,
                turn.error or (CANCELLED if turn.cancelled else ""),
            )
        )
        later.more()

    async def report(
        self, by: UsageBy = "model", *, since: float | None = None, until: float | None = None, model: str = ""
    ) -> UsageReport:
        """What was used, up to now.

        Args:
            since, until: seconds since 1970. model: only those whose name contains this.

        Raises:
            ConfigInvalid: the file is no ledger, or cannot be used.
        """
        await self._later.flush()
        return await self._file.run(lambda: self._report(by, since, until, model))

    async def clear(self) -> int:
        """Delete every entry; tells how many there were.

        Raises:
            ConfigInvalid: as `report`.
        """
        await self._later.flush()
        return await self._file.run(self._clear)

    async def aclose(self) -> None:
        """Write what waits, and close the file. Idempotent."""
        await self._later.aclose()
        await self._file.aclose()

    def _begin(self, entries: list[_Entry], lost: int) -> asyncio.Future[None]:
        return self._file.run(lambda: self._write(entries, lost))

    # ---- in the thread of the file

    def _write(self, entries: list[_Entry], lost: int) -> None:
        """Add entries. A disk that refuses is told of once, until it takes entries again."""
        if lost:
            log.warning("%d entries of the ledger of usage were lost: the disk was too slow.", lost)
        try:
            try:
                self._add(entries)
            except (OverflowError, UnicodeEncodeError):  # whatever a provider counts, or calls its model
                self._add([entry for entry in entries if _fits(entry)])
            self._failing = False
        except (sqlite3.Error, OSError, BridgeError) as error:
            if not self._failing:
                log.warning("The ledger of usage cannot be written: %s", error)
            self._failing = True

    def _add(self, entries: list[_Entry]) -> None:
        connection = self._file.made()
        self._make_room(connection)
        most = min(_AT_A_TIME, connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) // _COLUMNS)
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            first = 0
            while rows := _rows(len(entries) - first, most):
                values = [value for entry in entries[first : first + rows] for value in entry]
                connection.execute(f"INSERT INTO calls VALUES {','.join([_ROW] * rows)}", values)  # noqa: S608
                first += rows

    def _make_room(self, connection: sqlite3.Connection) -> None:
        while self._file.size(connection) > self._most_bytes:
            oldest = connection.execute(_OLDEST_TENTH).fetchone()
            if oldest is None:
                return
            self._erase(connection, "at <= ?", oldest)

    def _drop_old(self, connection: sqlite3.Connection) -> None:
        self._erase(connection, "at < ?", (time.time() - self._keep_s,))

    def _clear(self) -> int:
        connection = self._file.there()
        return 0 if connection is None else self._erase(connection, "1")

    def _erase(self, connection: sqlite3.Connection, which: str, values: tuple[object, ...] = ()) -> int:
        gone = connection.execute(f"DELETE FROM calls WHERE {which}", values).rowcount  # noqa: S608 - ours
        self._file.shrink(connection, deleted=gone > 0)
        return gone

    def _report(self, by: UsageBy, since: float | None, until: float | None, model: str) -> UsageReport:
        connection = self._file.there()
        rows, total = list[Used](), Used("")
        if connection is not None:
            oldest = time.time() - self._keep_s
            span = (max(since or 0.0, oldest), float("inf") if until is None else until, model.lower())
            with connection:
                connection.execute("BEGIN")  # so that the rows and the total are of the same moment
                rows = _used(connection, _KEYS[by], span, "name DESC" if by in ("day", "hour") else _BY_TOKENS)
                total = next(iter(_used(connection, "''", span, "name")), total)
        if by in ("day", "hour"):
            rows.reverse()
        return UsageReport(by, tuple(rows), total, since, until)


def _rows(left: int, most: int) -> int:
    """How many of the entries that are left go into one statement: a power of two. The statement of each length is
    kept in memory, and those of all lengths would be megabytes."""
    return 1 << (min(left, most).bit_length() - 1) if left else 0


def _fits(entry: _Entry) -> bool:
    """Whether SQLite can hold it."""
    try:
        return all(abs(v) < 2**63 if isinstance(v, int) else str(v).encode() is not None for v in entry)
    except UnicodeEncodeError:
        return False


def _used(connection: sqlite3.Connection, key: str, span: tuple[float, float, str], order: str) -> list[Used]:
    """The sums and medians of each name, of the first ones in that order."""
    query = _SUMS.format(key=key, which=_WHICH, cancelled=CANCELLED, order=order, most=MOST_ROWS)
    sums = msgspec.convert(connection.execute(query, span).fetchall(), list[_Sums])
    names = msgspec.json.encode([row.name for row in sums]).decode()
    medians = dict(connection.execute(_MEDIANS.format(key=key, which=_WHICH), (*span, names)).fetchall())
    return [
        Used(
            name=row.name,
            calls=row.calls,
            errors=row.errors,
            cancelled=row.cancelled,
            prompt_tokens=row.prompt_tokens,
            cached_tokens=row.cached_tokens,
            completion_tokens=row.completion_tokens,
            first_event_s=medians.get(row.name),
            total_s=row.total_s,
            tokens_per_s=row.completion_tokens / row.writing_s if row.writing_s > 0 else None,
        )
        for row in sums
    ]
