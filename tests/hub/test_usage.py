from __future__ import annotations

import asyncio
import logging
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from time import perf_counter

import pytest

from lmbridge.core.errors import ConfigInvalid
from lmbridge.core.events import Usage
from lmbridge.core.models import ModelInfo
from lmbridge.core.usage import BY, UsageBy, Used
from lmbridge.hub import usage
from lmbridge.hub.activity import Activity, Turn
from lmbridge.hub.usage import Ledger

LIMIT_S = 20.0
DAY_S = 86_400.0
TINY, CLOUD = ModelInfo("tiny", "embedded"), ModelInfo("org/Large", "cloud")
WRITER = """
import asyncio, sys
from pathlib import Path
from tests.hub.test_usage import Ledger, called

async def main():
    ledger = Ledger(Path(sys.argv[1]), place="gateway")
    for _ in range(int(sys.argv[2])):
        ledger.note(called())
        await asyncio.sleep(0)
    await ledger.aclose()

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "usage.db"


@pytest.fixture
async def ledger(path: Path) -> AsyncIterator[Ledger]:
    ledger = Ledger(path)
    yield ledger
    await ledger.aclose()


def called(
    model: ModelInfo = TINY,
    *,
    tokens: tuple[int, int, int] = (10, 20, 0),
    task: str = "",
    caller: str = "",
    waited_s: float = 0.0,
    first_s: float | None = None,
    total_s: float = 2.0,
    error: str = "",
    cancelled: bool = False,
) -> Turn:
    """A call that has ended."""
    turn = Activity().begin(
        model, "ollama-chat", "ollama", perf_counter(), caller=caller, waited_s=waited_s, task=task
    )
    turn.used(Usage(*tokens))
    turn.first_event_s = first_s
    turn.error, turn.cancelled = error, cancelled
    turn.end()
    turn.total_s = total_s
    return turn


async def names(ledger: Ledger, by: UsageBy = "model") -> list[str]:
    return [row.name for row in (await ledger.report(by)).rows]


def size(path: Path) -> int:
    """Of the file in bytes, -1 if there is none."""
    return path.stat().st_size if path.exists() else -1


async def test_nothing_is_made_before_the_first_call_and_an_empty_ledger_has_a_report(
    ledger: Ledger, path: Path
) -> None:
    report = await ledger.report("day", since=1.0, until=2.0)
    assert (report.by, report.rows, report.total, report.since, report.until) == ("day", (), Used(""), 1.0, 2.0)
    assert await ledger.clear() == 0
    assert size(path) == -1


async def test_calls_are_added_up_by_model_and_the_most_used_comes_first(ledger: Ledger) -> None:
    ledger.note(called(tokens=(1, 2, 0), error="broken_answer"))
    ledger.note(called(tokens=(3, 4, 2), cancelled=True, total_s=1.0))
    ledger.note(called(CLOUD, tokens=(100, 200, 50)))
    report = await ledger.report()
    large, tiny = report.rows
    assert (large.name, large.calls, large.tokens, large.cached_tokens) == ("cloud:org/Large", 1, 300, 50)
    assert (tiny.name, tiny.calls, tiny.errors, tiny.cancelled) == ("embedded:tiny", 2, 1, 1)
    assert (tiny.prompt_tokens, tiny.completion_tokens, tiny.cached_tokens, tiny.total_s) == (4, 6, 2, 3.0)
    total = report.total
    assert (total.name, total.calls, total.errors, total.cancelled, total.tokens) == ("", 3, 1, 1, 310)


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("model", ["embedded:tiny"]),
        ("provider", ["embedded"]),
        ("task", ["ollama chat", "summaries"]),
        ("caller", ["laptop", ""]),
        ("where", ["process"]),
    ],
)
async def test_they_can_be_added_up_by_what_they_have_in_common(
    ledger: Ledger, by: UsageBy, expected: list[str]
) -> None:
    ledger.note(called(caller="laptop"))
    ledger.note(called(task="summaries", tokens=(1, 1, 0)))
    assert await names(ledger, by) == expected


async def test_days_and_hours_are_local_and_the_oldest_comes_first(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    for ago in (0.0, DAY_S, 2 * DAY_S, 2 * DAY_S):
        monkeypatch.setattr(usage.time, "time", lambda ago=ago: now - ago)
        ledger.note(called())
    monkeypatch.undo()
    days = [time.strftime("%Y-%m-%d", time.localtime(now - ago)) for ago in (2 * DAY_S, DAY_S, 0.0)]
    told = [(row.name, row.calls) for row in (await ledger.report("day")).rows]
    assert told == list(zip(days, (2, 1, 1), strict=True))
    hours = await ledger.report("hour", since=now - DAY_S - 1)
    assert [row.name for row in hours.rows] == [
        time.strftime("%Y-%m-%d %H:00", time.localtime(now - ago)) for ago in (DAY_S, 0.0)
    ]
    assert (await ledger.report(until=now - DAY_S - 1)).total.calls == 2


async def test_only_models_of_a_name_are_counted_where_that_is_asked(ledger: Ledger) -> None:
    ledger.note(called())
    ledger.note(called(CLOUD))
    assert (await ledger.report(model="LARGE")).total.calls == 1
    assert (await ledger.report(model="embedded:")).total.calls == 1
    assert (await ledger.report(model="%")).total.calls == 0


@pytest.mark.parametrize(
    ("firsts", "median"),
    [([], None), ([None], None), ([0.5], 0.5), ([3.0, 1.0, 0.1], 1.0), ([1.0, 3.0, None, 2.0, 100.0], 2.5)],
)
async def test_the_first_word_is_told_as_the_median_of_those_that_are_known(
    ledger: Ledger, firsts: list[float | None], median: float | None
) -> None:
    for first in firsts:
        ledger.note(called(first_s=first))
    report = await ledger.report()
    assert [row.first_event_s for row in report.rows] == ([median] if firsts else [])
    assert report.total.first_event_s == median


async def test_the_speed_is_that_of_writing_without_waiting_and_reading(ledger: Ledger) -> None:
    ledger.note(called(tokens=(1, 30, 0), first_s=1.0, total_s=2.0))
    ledger.note(called(tokens=(1, 30, 0), waited_s=3.0, total_s=5.0))
    ledger.note(called(tokens=(100, 0, 0), total_s=50.0))  # vectors, or an error
    assert (await ledger.report()).total.tokens_per_s == 20.0
    assert (await ledger.report()).rows[0].tokens_per_s == 20.0


async def test_an_answer_in_one_piece_was_written_before_its_first_word(ledger: Ledger) -> None:
    ledger.note(called(tokens=(1, 30, 0), waited_s=1.0, first_s=2.9999, total_s=3.0))
    assert (await ledger.report()).total.tokens_per_s == 15.0


async def test_no_tokens_have_no_speed(ledger: Ledger) -> None:
    ledger.note(called(tokens=(100, 0, 0)))
    assert (await ledger.report()).total.tokens_per_s is None


async def test_a_call_is_written_soon_and_not_only_when_somebody_asks(ledger: Ledger, path: Path) -> None:
    ledger.note(called())
    other = Ledger(path)
    for _ in range(int(LIMIT_S * 200)):
        if (await other.report()).total.calls:
            break
        await asyncio.sleep(0.005)
    else:
        raise TimeoutError
    await other.aclose()


async def test_many_calls_are_written_in_few_statements(ledger: Ledger) -> None:
    for number in range(3 * usage._AT_A_TIME + 1):
        ledger.note(called(task=str(number % 3)))
    assert (await ledger.report()).total.calls == 3 * usage._AT_A_TIME + 1
    assert await names(ledger, "task") == ["0", "1", "2"]


async def test_a_report_has_the_first_rows_and_its_total_counts_the_others_too(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "MOST_ROWS", 2)
    for number in range(5):
        ledger.note(called(task=f"task {number}", tokens=(number, 1, 0), first_s=float(number)))
    report = await ledger.report("task")
    assert [(row.name, row.first_event_s) for row in report.rows] == [("task 4", 4.0), ("task 3", 3.0)]
    assert (report.total.calls, report.total.first_event_s) == (5, 2.0)


async def test_calls_that_are_too_old_are_forgotten(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(path, DAY_S, tidy_s=0)
    now = time.time()
    monkeypatch.setattr(usage.time, "time", lambda: now - 2 * DAY_S)
    ledger.note(called(caller="the magpie"))
    await ledger.aclose()
    monkeypatch.undo()
    ledger.note(called())
    assert (await ledger.report()).total.calls == 1
    await ledger.aclose()
    assert not on_disk(path, "magpie")


async def test_what_is_too_old_by_now_is_not_shown_before_it_is_dropped(path: Path) -> None:
    ledger = Ledger(path)
    ledger.note(called())
    await ledger.aclose()
    brief = Ledger(path, 1e-6, tidy_s=3600)
    await brief._file.run(brief._file.made)
    ledger.note(called())
    await ledger.aclose()
    assert (await brief.report()).total.calls == 0
    await brief.aclose()


async def test_who_keeps_nothing_writes_nothing_and_gets_rid_of_what_is_there(path: Path) -> None:
    nothing = Ledger(path, 0)
    nothing.note(called())
    await nothing.aclose()
    assert size(path) == -1
    ledger = Ledger(path)
    ledger.note(called(caller="the magpie"))
    await ledger.aclose()
    assert (await nothing.report()).rows == ()
    await nothing.aclose()
    assert not on_disk(path, "magpie")


def on_disk(path: Path, words: str) -> bool:
    return any(words.encode() in file.read_bytes() for file in path.parent.iterdir())


async def test_all_can_be_forgotten_and_is_gone_from_the_disk(ledger: Ledger, path: Path) -> None:
    for _ in range(3):
        ledger.note(called(caller="the magpie"))
    assert await ledger.clear() == 3
    assert await ledger.clear() == 0
    assert (await ledger.report()).rows == ()
    assert not on_disk(path, "magpie")


async def test_the_oldest_calls_make_room_for_new_ones(path: Path) -> None:
    ledger = Ledger(path, most_bytes=64 * 1024)
    for batch in range(20):
        for _ in range(100):
            ledger.note(called(task=f"batch {batch:02}", caller="x" * 50))
        await ledger.report()
    tasks = sorted(await names(ledger, "task"))
    assert tasks[-1] == "batch 19"
    assert tasks[0] > "batch 00"
    assert len(tasks) > 2
    await ledger.aclose()
    assert size(path) < 3 * 64 * 1024


async def test_a_ledger_with_room_for_nothing_ends_looking_for_more(path: Path) -> None:
    ledger = Ledger(path, most_bytes=4096)
    for _ in range(2):
        ledger.note(called())
        await ledger.report()
    await ledger.aclose()


async def test_a_disk_that_refuses_is_told_of_once_and_stops_nobody(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked(path)
    ledger = Ledger(path)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            ledger.note(called())
            with pytest.raises(ConfigInvalid, match="ledger of usage"):
                await ledger.report()
        assert caplog.text.count("cannot be written") == 1
        unblocked(path)
        ledger.note(called())
        assert (await ledger.report()).total.calls == 1
    await ledger.aclose()


def blocked(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("something else" * 100)


def unblocked(path: Path) -> None:
    path.unlink()


async def test_calls_that_the_disk_does_not_take_in_time_are_counted(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(usage, "MOST_WAITING", 1)
    ledger = Ledger(path)
    for _ in range(5):
        ledger.note(called())
    assert (await ledger.report()).total.calls == 2
    await ledger.aclose()
    assert "3 entries" in caplog.text


async def test_what_sqlite_cannot_hold_takes_nothing_else_with_it(ledger: Ledger) -> None:
    ledger.note(called())
    ledger.note(called(tokens=(10**30, 1, 0)))
    ledger.note(called(ModelInfo("a\ud800", "embedded")))
    ledger.note(called())
    assert (await ledger.report()).total.calls == 2


async def test_counts_that_a_provider_made_up_do_not_break_the_sums(ledger: Ledger) -> None:
    for _ in range(3):
        ledger.note(called(tokens=(2**63 - 1, 1, 0)))
    assert (await ledger.report()).total.prompt_tokens == 2**63 - 1


async def test_processes_may_write_at_the_same_time_while_others_read(ledger: Ledger, path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(path), "50"]
    writers = [subprocess.Popen(command, cwd=Path(__file__).parents[2]) for _ in range(2)]  # noqa: ASYNC220
    for _ in range(50):
        ledger.note(called())
        await asyncio.sleep(0)
        await ledger.report()
    for writer in writers:
        assert await asyncio.to_thread(writer.wait, 60) == 0
    report = await ledger.report("where")
    assert [(row.name, row.calls) for row in report.rows] == [("gateway", 100), ("process", 50)]


async def test_an_entry_has_no_place_for_words(ledger: Ledger, path: Path) -> None:
    ledger.note(called())
    await ledger.report()
    with sqlite3.connect(path) as other:
        columns = {name for _, name, *_ in other.execute("PRAGMA table_info(calls)")}
    other.close()
    assert len(columns) == usage._COLUMNS
    assert not {"prompt", "messages", "text", "content", "answer", "query", "hint"} & columns


def test_there_is_a_column_for_everything_that_calls_are_added_up_by() -> None:
    assert set(BY) == set(usage._KEYS)
