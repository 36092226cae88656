from __future__ import annotations

import asyncio
import sqlite3
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from lmbridge.core.errors import ConfigInvalid, NoSpace
from lmbridge.hub.database import PAGE, Database


def database(
    path: Path,
    *,
    most_bytes: int = 2**20,
    tidied: list[str] | None = None,
    tidy_s: float = 0,
    version: int = 2,
    older: Mapping[int, str] = {},
) -> Database:
    def tidy(connection: sqlite3.Connection) -> None:
        if tidied is not None:
            tidied.append("tidied")

    return Database(
        path,
        "CREATE TABLE things (name TEXT);",
        application=77,
        version=version,
        most_bytes=most_bytes,
        what="the store of things",
        hint="Move it away.",
        tidy=tidy,
        tidy_s=tidy_s,
        older=older,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "things.db"


def files(path: Path) -> list[Path]:
    return list(path.parent.iterdir()) if path.parent.exists() else []


async def put(things: Database, name: str) -> None:
    await things.run(lambda: things.made().execute("INSERT INTO things VALUES (?)", (name,)))


def names(things: Database) -> list[str]:
    connection = things.there()
    return [] if connection is None else [name for (name,) in connection.execute("SELECT name FROM things")]


async def test_nothing_is_made_before_something_is_put_in(path: Path) -> None:
    things = database(path)
    assert await things.run(lambda: names(things)) == []
    assert files(path) == []
    assert not things.is_open
    await put(things, "a")
    assert things.is_open
    assert await things.run(lambda: names(things)) == ["a"]
    await things.aclose()
    await things.aclose()
    assert not things.is_open
    assert await things.run(lambda: names(things)) == ["a"]
    await things.aclose()


async def test_only_its_owner_can_read_it(path: Path) -> None:
    things = database(path)
    await put(things, "a")
    await things.aclose()
    if sys.platform != "win32":
        assert [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent)] == [0o600, 0o700]


async def test_it_is_tidied_when_it_is_opened_and_then_now_and_again(path: Path) -> None:
    seldom, often = list[str](), list[str]()
    for tidied, tidy_s in ((seldom, 3600.0), (often, 0.0)):
        things = database(path, tidied=tidied, tidy_s=tidy_s)
        for name in "abc":
            await put(things, name)
        await things.aclose()
    assert (len(seldom), len(often)) == (1, 3)


async def test_what_is_deleted_is_overwritten_and_its_room_given_back(path: Path) -> None:
    things = database(path, most_bytes=2**30)
    await put(things, "the magpie knows " * PAGE)

    def size() -> int:
        return things.size(things.made())

    def empty() -> None:
        gone = things.made().execute("DELETE FROM things").rowcount
        things.shrink(things.made(), deleted=gone > 0)
        things.shrink(things.made(), deleted=False)

    large = await things.run(size)
    await things.run(empty)
    assert await things.run(size) < large
    assert not any(b"magpie" in content(file) for file in files(path))
    await things.aclose()


FOREIGN = b"something else" * 100


@pytest.fixture
def foreign(path: Path) -> Path:
    path.parent.mkdir()
    path.write_bytes(FOREIGN)
    return path


def content(path: Path) -> bytes:
    return path.read_bytes()


async def test_a_file_that_is_none_of_ours_is_left_alone_and_told(foreign: Path) -> None:
    things = database(foreign)
    with pytest.raises(ConfigInvalid, match=r"things\.db.*the store of things.*Move it away"):
        await put(things, "a")
    assert content(foreign) == FOREIGN


@pytest.mark.parametrize(
    ("change", "why"),
    [("application_id = 1", "another program"), ("user_version = 99", "another version")],
)
async def test_that_of_another_program_or_version_is_left_alone(path: Path, change: str, why: str) -> None:
    things = database(path)
    await put(things, "a")
    await things.aclose()
    with sqlite3.connect(path) as other:
        other.execute(f"PRAGMA {change}")
    other.close()
    with pytest.raises(ConfigInvalid, match=why):
        await put(things, "b")


async def test_that_of_an_older_version_becomes_one_of_this_with_all_that_is_in_it(path: Path) -> None:
    old = database(path)
    await put(old, "a")
    await old.aclose()
    older = {2: "ALTER TABLE things ADD COLUMN size INTEGER NOT NULL DEFAULT 7"}
    several = [database(path, version=3, older=older) for _ in range(3)]
    found = await asyncio.gather(*(one.run(lambda one=one: names(one)) for one in several))  # type: ignore[misc]
    assert found == [["a"]] * 3
    assert await several[0].run(lambda: several[0].made().execute("SELECT size FROM things").fetchall()) == [(7,)]
    for one in several:
        await one.aclose()
    with pytest.raises(ConfigInvalid, match="another version"):
        await put(old, "b")


async def test_what_does_not_fit_is_told(path: Path) -> None:
    things = database(path, most_bytes=8 * PAGE)
    with pytest.raises(NoSpace):
        await put(things, "x" * 64 * PAGE)
    await put(things, "a")
    assert await things.run(lambda: names(things)) == ["a"]
    await things.aclose()


async def test_two_that_make_the_file_at_once_share_one(path: Path) -> None:
    several = [database(path) for _ in range(4)]
    await asyncio.gather(*(put(one, str(number)) for number, one in enumerate(several)))
    assert sorted(await several[0].run(lambda: names(several[0]))) == ["0", "1", "2", "3"]
    for one in several:
        await one.aclose()
    assert [file.name for file in files(path)] == ["things.db"]


async def test_one_that_another_made_meanwhile_is_used(path: Path) -> None:
    one, two = database(path), database(path)
    await put(one, "a")
    await two.run(two._make)
    assert await two.run(lambda: names(two)) == ["a"]
    await one.aclose()
    await two.aclose()
