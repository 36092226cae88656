import asyncio
import json
import time
from pathlib import Path

from tests.cli.conftest import Run

from lmbridge.core.messages import Message
from lmbridge.hub.stored import DAY_S, Stored, Turn, new_id


def put(home: Path, *questions: str, age_s: float = 0.0) -> list[str]:
    """Store an answer for each; returns their ids."""

    async def work() -> list[str]:
        stored, ids = Stored(home / "responses.db", 365 * DAY_S), []
        for question in questions:
            asked, answer = (Message("user", question),), Message("assistant", "yes")
            ids.append(new_id())
            made = time.time() - age_s
            await stored.put(
                Turn(id=ids[-1], model="m", provider="p", created=made, messages=asked, answer=answer)
            )
        await stored.aclose()
        return ids

    return asyncio.run(work())


def test_stored_answers_are_listed_newest_first(alone: Run, home: Path) -> None:
    assert "No answer is stored." in alone("stored", "list").stdout
    assert not (home / "responses.db").exists()
    first, second = put(home, "What is\nthis?", "And that?")
    lines = alone("stored", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["ID", second, first]
    assert lines[2].endswith("What is this?")
    told = json.loads(alone("stored", "list", "-n", "1", "--json").stdout)["stored"]
    assert [(brief["id"], brief["said"]) for brief in told] == [(second, "And that?")]


def test_one_is_deleted_by_its_id(alone: Run, home: Path) -> None:
    first, second, third = put(home, "a", "b", "c")
    assert alone("stored", "delete", first).stdout == "One answer is deleted.\n"
    assert json.loads(alone("stored", "delete", second, "--json").stdout) == {"deleted": [second]}
    again = alone("stored", "delete", first)
    assert (again.returncode, again.stdout) == (3, "")
    assert first in again.stderr
    told = json.loads(alone("stored", "list", "--json").stdout)["stored"]
    assert [brief["id"] for brief in told] == [third]


def test_all_are_deleted_at_once_if_that_is_really_wanted(alone: Run, home: Path) -> None:
    put(home, "the magpie knows", "b")
    assert alone("stored", "clear").returncode == 2  # nobody can be asked here
    assert alone("stored", "clear", "--yes").stdout == "2 answers are deleted.\n"
    assert b"magpie" not in (home / "responses.db").read_bytes()
    assert json.loads(alone("stored", "clear", "--yes", "--json").stdout) == {"deleted": 0}


def test_what_is_too_old_by_the_settings_is_gone(alone: Run, home: Path) -> None:
    put(home, "a")
    (home / "lmbridge.toml").write_text("[gateway]\nstore_days = 0\n")
    assert "No answer is stored." in alone("stored", "list").stdout


def test_a_gateway_drops_what_is_too_old_before_it_answers_anybody(alone: Run, home: Path) -> None:
    put(home, "the magpie knows", age_s=31 * DAY_S)
    assert alone("serve", "--port", "0", "--model", "nobody").returncode == 3
    assert b"magpie" not in (home / "responses.db").read_bytes()


def test_a_file_that_is_no_store_does_not_keep_a_gateway_from_starting(alone: Run, home: Path) -> None:
    (home / "responses.db").write_text("something else" * 100)
    started = alone("serve", "--port", "0", "--model", "nobody")
    assert started.returncode == 3
    assert "responses.db" in started.stderr
    assert alone("stored", "list").returncode == 12
