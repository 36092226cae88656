from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from lmbridge.core.errors import ConfigInvalid, NoSpace, PreviousResponseNotFound, ResponseNotFound
from lmbridge.core.messages import ImagePart, Message, TextPart, ToolCall
from lmbridge.hub.stored import DAY_S, History, Stored, Turn, keeping_nothing, new_id

SECRET = "the magpie knows"
WRITER = """
import asyncio, sys, time
from pathlib import Path
from lmbridge.core.messages import Message
from lmbridge.hub.stored import Stored, Turn, new_id

async def main():
    stored = Stored(Path(sys.argv[1]))
    for number in range(int(sys.argv[2])):
        turn = Turn(id=new_id(), model="m", provider="p", created=time.time(),
                    messages=(Message("user", str(number)),), answer=Message("assistant", "yes"))
        await stored.put(turn)
        print(turn.id, flush=True)

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "responses.db"


@pytest.fixture
async def stored(path: Path) -> AsyncIterator[Stored]:
    stored = Stored(path)
    yield stored
    await stored.aclose()


def made(
    question: str, previous: Turn | None = None, *, age_s: float = 0.0, system: str = "", caller: str = ""
) -> Turn:
    return Turn(
        id=new_id(),
        previous=previous.id if previous else None,
        model="m",
        provider="p",
        created=time.time() - age_s,
        system=system,
        caller=caller,
        messages=(Message("user", question),),
        answer=Message("assistant", f"{question}!"),
        body=f'{{"said":"{question}"}}'.encode(),
    )


async def put(stored: Stored, question: str, previous: Turn | None = None, age_s: float = 0.0) -> Turn:
    turn = made(question, previous, age_s=age_s)
    await stored.put(turn)
    return turn


def writer(path: Path, turns: int) -> subprocess.Popen[str]:
    """Another process that stores turns and says their ids."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(turns)], stdout=subprocess.PIPE, text=True
    )


def words(history: History) -> list[str]:
    return [message.text for message in history.messages]


def size(path: Path) -> int:
    """-1 where there is no file."""
    return path.stat().st_size if path.exists() else -1


def on_disk(path: Path, text: str) -> bool:
    return any(text.encode() in file.read_bytes() for file in path.parent.iterdir())


def test_an_id_looks_as_lm_studio_makes_them() -> None:
    assert len(new_id()) == 53
    assert new_id().startswith("resp_")
    assert int(new_id().removeprefix("resp_"), 16)


async def test_a_turn_comes_back_as_it_was_put(stored: Stored) -> None:
    turn = Turn(
        id=new_id(),
        model="m",
        provider="p",
        created=time.time(),
        system="Be kind.",
        messages=(
            Message("user", (TextPart("what is this?"), ImagePart("data:image/png;base64,AAAA"))),
            Message("tool", "42", tool_call_id="call_1"),
        ),
        answer=Message("assistant", None, reasoning="hm", tool_calls=(ToolCall("call_2", "f", '{"a": 1'),)),
        body=b'{"id":"x"}',
    )
    await stored.put(turn)
    assert await stored.get(turn.id) == turn


async def test_the_history_is_the_whole_conversation_and_every_turn_can_be_continued(stored: Stored) -> None:
    first = await put(stored, "a")
    second = await put(stored, "b", first)
    third = await put(stored, "c", second)
    branch = await put(stored, "d", first)
    assert words(await stored.history(third.id)) == ["a", "a!", "b", "b!", "c", "c!"]
    assert words(await stored.history(branch.id)) == ["a", "a!", "d", "d!"]


async def test_the_newest_system_prompt_is_inherited(stored: Stored) -> None:
    first = made("a", system="Be kind.")
    second = made("b", first, system="Be brief.")
    third = made("c", second)
    for turn in (first, second, third):
        await stored.put(turn)
    assert (await stored.history(first.id)).system == "Be kind."
    assert (await stored.history(third.id)).system == "Be brief."
    assert words(await stored.history(third.id))[0] == "a"


async def test_the_newest_are_listed_first_with_the_words_of_the_question(stored: Stored) -> None:
    assert await stored.newest(5) == ()
    first = await put(stored, "a" * 500)
    second = await put(stored, "b", first)
    empty = Turn(id=new_id(), model="m", provider="p", created=1.0, messages=(), answer=Message("assistant", "x"))
    gone = await put(stored, "c")
    await stored.put(empty)  # and too old
    await stored.delete(gone.id)
    listed = await stored.newest(5)
    assert [(brief.id, brief.previous, brief.said) for brief in listed] == [
        (second.id, first.id, "b"),
        (first.id, None, "a" * 200),
    ]
    assert await stored.newest(1) == listed[:1]
    await stored.put(msgspec.structs.replace(empty, id=new_id(), created=time.time()))
    assert (await stored.newest(1))[0].said == ""
    turns = (Message("user", "q"), Message("assistant"), Message("tool", "r", tool_call_id="1"))
    for messages, said in ((turns, "q"), (turns[2:], "r")):
        await stored.put(msgspec.structs.replace(empty, id=new_id(), created=time.time(), messages=messages))
        assert (await stored.newest(1))[0].said == said


async def test_nothing_is_made_before_the_first_turn(stored: Stored, path: Path) -> None:
    with pytest.raises(ResponseNotFound):
        await stored.get("resp_0")
    with pytest.raises(PreviousResponseNotFound) as caught:
        await stored.history("resp_0")
    assert caught.value.param == "previous_response_id"
    with pytest.raises(ResponseNotFound):
        await stored.delete("resp_0")
    assert await stored.clear() == 0
    assert not path.parent.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="modes as POSIX knows them")
async def test_only_the_owner_can_read_what_is_stored(stored: Stored, path: Path) -> None:
    await put(stored, "a")
    files = list(path.parent.iterdir())
    assert {file.name for file in files} >= {"responses.db", "responses.db-wal"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


async def test_a_deleted_turn_is_gone_from_the_disk(stored: Stored, path: Path) -> None:
    turn = await put(stored, SECRET * 1000)
    other = await put(stored, "b")
    assert on_disk(path, SECRET)
    await stored.delete(turn.id)
    assert not on_disk(path, SECRET)
    with pytest.raises(ResponseNotFound):
        await stored.get(turn.id)
    with pytest.raises(ResponseNotFound):
        await stored.delete(turn.id)
    with pytest.raises(PreviousResponseNotFound):
        await stored.history(turn.id)
    assert await stored.get(other.id) == other


async def test_later_turns_keep_what_they_need_of_a_deleted_one_until_they_go_too(
    stored: Stored, path: Path
) -> None:
    first = await put(stored, SECRET)
    second = await put(stored, "b", first)
    third = await put(stored, "c", second)
    await stored.delete(first.id)
    await stored.delete(second.id)
    with pytest.raises(ResponseNotFound):
        await stored.get(first.id)
    with pytest.raises(PreviousResponseNotFound):
        await stored.history(second.id)
    assert words(await stored.history(third.id)) == [SECRET, f"{SECRET}!", "b", "b!", "c", "c!"]
    await stored.delete(third.id)
    assert not on_disk(path, SECRET)


async def test_a_turn_whose_predecessor_went_while_it_was_answered_says_so(stored: Stored) -> None:
    first = await put(stored, "a")
    await stored.delete(first.id)
    second = await put(stored, "b", first)
    assert await stored.get(second.id) == second
    with pytest.raises(PreviousResponseNotFound, match=first.id):
        await stored.history(second.id)


async def test_everything_can_be_deleted_at_once(stored: Stored, path: Path) -> None:
    first = await put(stored, SECRET)
    await put(stored, "b", first)
    assert await stored.clear() == 2
    assert not on_disk(path, SECRET)


async def test_a_turn_that_is_too_old_is_gone(path: Path) -> None:
    stored = Stored(path, 30 * DAY_S, purge_s=0.0)
    old = await put(stored, SECRET, age_s=31 * DAY_S)
    with pytest.raises(ResponseNotFound):
        await stored.get(old.id)
    assert not on_disk(path, SECRET)
    await stored.aclose()


async def test_what_is_too_old_does_not_wait_for_the_next_look(path: Path) -> None:
    stored = Stored(path, 30 * DAY_S)
    old = await put(stored, SECRET, age_s=31 * DAY_S)
    young = await put(stored, "b", old)
    with pytest.raises(PreviousResponseNotFound):
        await stored.history(old.id)
    assert words(await stored.history(young.id)) == [SECRET, f"{SECRET}!", "b", "b!"]
    await stored.aclose()


async def test_the_oldest_turns_make_room_for_new_ones(path: Path) -> None:
    stored = Stored(path, most_bytes=400_000)
    turns = [await put(stored, f"{number:06}" * 4000, age_s=100.0 - number) for number in range(20)]
    assert size(path) < 600_000
    with pytest.raises(ResponseNotFound):
        await stored.get(turns[0].id)
    assert await stored.get(turns[-1].id) == turns[-1]
    await stored.aclose()


async def test_a_conversation_too_long_for_the_store_goes_as_a_whole(path: Path) -> None:
    stored = Stored(path, most_bytes=4096)
    first = await put(stored, "a")
    second = await put(stored, "b", first)  # for which the first one went
    assert await stored.get(second.id) == second
    with pytest.raises(PreviousResponseNotFound, match=first.id):
        await stored.history(second.id)
    await stored.aclose()


async def test_what_does_not_fit_is_told(path: Path) -> None:
    stored = Stored(path, most_bytes=100_000)
    with pytest.raises(NoSpace, match=r"responses\.db"):
        await put(stored, "x" * 1_000_000)
    turn = await put(stored, "a")
    assert await stored.get(turn.id) == turn
    await stored.aclose()


async def test_a_store_that_keeps_nothing_says_so_and_makes_nothing(path: Path) -> None:
    stored = Stored(path, 0)
    assert not stored.enabled
    await stored.check()
    assert size(path) == -1
    await stored.aclose()


async def test_who_stops_storing_gets_rid_of_what_is_there(stored: Stored, path: Path) -> None:
    await put(stored, SECRET)
    await stored.aclose()
    other = Stored(path, 0)
    await other.purge()
    assert not on_disk(path, SECRET)
    await other.aclose()


async def test_a_turn_is_there_for_the_key_it_was_made_with_and_for_who_may_use_all(stored: Stored) -> None:
    mine, nobodys = made("mine", caller="ada"), made("nobody's")
    for turn in (mine, nobodys):
        await stored.put(turn)
    for caller in ("ada", None):
        assert await stored.get(mine.id, caller) == mine
        assert words(await stored.history(mine.id, caller)) == ["mine", "mine!"]
    for refused in (stored.get(mine.id, "eve"), stored.delete(mine.id, "eve")):
        with pytest.raises(ResponseNotFound):
            await refused
    with pytest.raises(PreviousResponseNotFound):
        await stored.history(mine.id, "eve")
    assert await stored.get(nobodys.id, "eve") == nobodys
    later = made("later", nobodys, caller="eve")
    await stored.put(later)
    assert words(await stored.history(later.id, "eve")) == ["nobody's", "nobody's!", "later", "later!"]
    await stored.delete(mine.id, "ada")
    with pytest.raises(ResponseNotFound):
        await stored.get(mine.id)


async def test_a_store_of_the_version_before_keeps_its_turns_which_are_nobodys(stored: Stored, path: Path) -> None:
    turn = await put(stored, "a")
    await stored.aclose()
    with sqlite3.connect(path) as older:
        older.execute("ALTER TABLE turns DROP COLUMN caller")
        older.execute("PRAGMA user_version = 1")
    older.close()
    assert await stored.get(turn.id, "ada") == turn
    mine = made("b", turn, caller="ada")
    await stored.put(mine)
    with pytest.raises(ResponseNotFound):
        await stored.get(mine.id, "eve")


async def test_who_wants_no_store_finds_nothing_in_it() -> None:
    stored = keeping_nothing()
    assert not stored.enabled
    await stored.check()
    await stored.purge()
    with pytest.raises(ResponseNotFound):
        await stored.get("resp_0")
    await stored.aclose()


async def test_the_store_opens_again_after_it_was_closed(stored: Stored) -> None:
    turn = await put(stored, "a")
    await stored.aclose()
    await stored.aclose()
    assert await stored.get(turn.id) == turn


async def test_a_check_makes_the_file_once(stored: Stored, path: Path) -> None:
    await stored.check()
    assert stored.enabled
    assert size(path) > 0
    await stored.check()


@pytest.fixture(params=[b"hello, this is no database at all", b"SQLite format 3\x00" + bytes(80)])
def foreign(path: Path, request: pytest.FixtureRequest) -> bytes:
    """What a file holds that is no store."""
    content: bytes = request.param * 20
    path.parent.mkdir()
    path.write_bytes(content)
    return content


async def test_a_file_that_is_no_store_is_left_alone_and_told(stored: Stored, path: Path, foreign: bytes) -> None:
    for use in (stored.check(), stored.get("resp_0"), stored.history("resp_0"), put(stored, "a")):
        with pytest.raises(ConfigInvalid, match=r"responses\.db.*store_days"):
            await use
    assert on_disk(path, foreign.decode())


@pytest.mark.parametrize(
    ("change", "why"),
    [("application_id = 1", "another program"), ("user_version = 99", "another version")],
)
async def test_the_database_of_another_program_or_version_is_left_alone(
    stored: Stored, path: Path, change: str, why: str
) -> None:
    await put(stored, "a")
    await stored.aclose()
    with sqlite3.connect(path) as other:
        other.execute(f"PRAGMA {change}")
    other.close()
    with pytest.raises(ConfigInvalid, match=why):
        await stored.check()


async def test_a_turn_that_was_tampered_with_is_an_error(stored: Stored, path: Path) -> None:
    turn = await put(stored, "a")
    with sqlite3.connect(path) as other:
        other.execute("UPDATE turns SET messages = ?", (b"{",))
    other.close()
    with pytest.raises(ConfigInvalid):
        await stored.get(turn.id)
    with pytest.raises(ConfigInvalid):
        await stored.history(turn.id)


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    stored = Stored(tmp_path / "file" / "responses.db")
    with pytest.raises(ConfigInvalid):
        await put(stored, "a")
    await stored.aclose()


async def test_two_that_make_the_file_at_once_share_one(path: Path) -> None:
    stores = [Stored(path) for _ in range(4)]
    turns = await asyncio.gather(*(put(stored, str(number)) for number, stored in enumerate(stores)))
    for stored in stores:
        assert [await stored.get(turn.id) for turn in turns] == turns
        await stored.aclose()
    assert [file.name for file in path.parent.iterdir()] == ["responses.db"]


async def test_processes_may_use_the_file_at_the_same_time(stored: Stored, path: Path) -> None:
    writers = [writer(path, 50) for _ in range(2)]
    mine = [await put(stored, str(number)) for number in range(50)]
    said = await asyncio.gather(*(asyncio.to_thread(other.communicate) for other in writers))
    theirs = [line for out, _ in said for line in out.split()]
    assert [other.returncode for other in writers] == [0, 0]
    assert len(theirs) == 100
    for turn_id in (*theirs, *(turn.id for turn in mine)):
        assert (await stored.get(turn_id)).id == turn_id


@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX knows them")
async def test_what_was_stored_survives_a_process_that_is_killed(stored: Stored, path: Path) -> None:
    with writer(path, 100_000) as victim:
        assert victim.stdout is not None
        ids = [victim.stdout.readline().strip() for _ in range(30)]
        os.kill(victim.pid, signal.SIGKILL)
    for turn_id in ids:
        assert (await stored.get(turn_id)).answer.text == "yes"
