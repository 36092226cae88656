from __future__ import annotations

import asyncio
import json
import logging
import os
import stat
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lmbridge.hub import request_log
from lmbridge.hub.request_log import Line, RequestLog, decode_line, files, newest_first

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
LIMIT_S = 20.0


def line(number: int = 1, **more: object) -> Line:
    return Line(NOW, "POST", f"/{number}", 200, 0.5, **more)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "logs" / "requests.jsonl"


def numbers(path: Path) -> list[int]:
    return [int(found.path[1:]) for found in newest_first(path)]


async def appear(path: Path, count: int) -> None:
    """Wait until so many lines are in the file, without having been asked for."""
    for _ in range(int(LIMIT_S * 200)):
        if len(numbers(path)) >= count:
            return
        await asyncio.sleep(0.005)
    raise TimeoutError


def written(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def modes(path: Path) -> list[int]:
    return [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent)]


async def test_a_request_is_one_line_that_holds_what_is_known_and_nothing_else(path: Path) -> None:
    log = RequestLog(path)
    log.note(line(model="tiny", key="laptop", first_event_s=0.2500001))
    log.note(line(2))
    await log.aclose()
    first, second = written(path)
    assert first == {
        "time": "2026-11-27T12:00:00Z",
        "method": "POST",
        "path": "/1",
        "status": 200,
        "total_s": 0.5,
        "model": "tiny",
        "key": "laptop",
        "first_event_s": 0.25,
    }
    assert second.keys() == {"time", "method", "path", "status", "total_s"}


async def test_a_line_is_written_soon_and_not_only_at_the_end(path: Path) -> None:
    log = RequestLog(path)
    log.note(line(1))
    await appear(path, 1)
    log.note(line(2))
    await appear(path, 2)
    await log.aclose()
    assert numbers(path) == [2, 1]


async def test_many_lines_are_not_kept_waiting(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_log, "AT_ONCE", 1)
    monkeypatch.setattr(request_log, "DELAY_S", 3600)
    log = RequestLog(path)
    for number in range(4):
        log.note(line(number))
    await appear(path, 2)
    await log.aclose()
    assert numbers(path) == [3, 2, 1, 0]


async def test_lines_that_come_while_others_are_written_follow_them(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_log, "DELAY_S", 0.0)
    gate, begun, append = threading.Event(), threading.Event(), request_log._append

    def slow(file: Path, lines: bytes) -> None:
        begun.set()
        gate.wait(LIMIT_S)
        append(file, lines)

    monkeypatch.setattr(request_log, "_append", slow)
    log = RequestLog(path)
    log.note(line(1))
    await asyncio.to_thread(begun.wait, LIMIT_S)
    log.note(line(2))
    for _ in range(5):
        await asyncio.sleep(0)  # its time is up while the first is still being written
    gate.set()
    await appear(path, 2)
    await log.aclose()
    assert numbers(path) == [2, 1]


async def test_closing_writes_what_waits_and_may_be_repeated(path: Path) -> None:
    log = RequestLog(path)
    await log.aclose()
    assert written(path) == []
    log.note(line(1))
    await log.aclose()
    await log.aclose()
    assert numbers(path) == [1]


async def test_only_the_owner_can_read_it(path: Path) -> None:
    log = RequestLog(path)
    log.note(line())
    await log.aclose()
    if sys.platform != "win32":
        assert modes(path) == [0o600, 0o700]


async def test_a_large_file_is_put_aside_and_the_oldest_is_deleted(path: Path) -> None:
    log = RequestLog(path, largest=250)
    for number in range(20):
        log.note(line(number))
        await log.aclose()
    assert numbers(path) == list(range(19, 19 - len(numbers(path)), -1))
    assert [file.name for file in files(path)] == [
        "requests.jsonl",
        "requests.1.jsonl",
        "requests.2.jsonl",
        "requests.3.jsonl",
    ]
    assert all(file.stat().st_size <= 250 for file in files(path))
    assert list(newest_first(path, older=True)) == list(newest_first(path))[len(written(path)) :]
    assert len(list(path.parent.iterdir())) == 4


async def test_a_disk_that_refuses_is_told_of_once_and_stops_nobody(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.parent.mkdir()
    path.parent.write_text("no folder")
    log = RequestLog(path)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            log.note(line())
            await log.aclose()
        assert caplog.text.count("cannot be written") == 1
        path.parent.unlink()
        log.note(line(7))
        await log.aclose()
    assert numbers(path) == [7]


async def test_lines_that_the_disk_does_not_take_in_time_are_counted(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(request_log, "MOST_WAITING", 1)
    log = RequestLog(path)
    for number in range(5):
        log.note(line(number))
    await log.aclose()
    assert numbers(path) == [1, 0]
    assert "3 lines" in caplog.text


async def test_a_disk_that_takes_little_at_a_time_gets_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr("os.write", lambda file, data: write(file, bytes(data[:10])))
    log = RequestLog(path)
    log.note(line(1))
    await log.aclose()
    monkeypatch.undo()
    assert numbers(path) == [1]


def test_what_is_no_line_is_passed_over(path: Path) -> None:
    path.parent.mkdir(parents=True)
    good = '{"time":"2026-11-27T12:00:00Z","method":"GET","path":"/1","status":200,"total_s":1,"more":{}}'
    path.write_text(f'{good}\nnot json\n[]\n{{"time":"2026\n\n')
    assert numbers(path) == [1]
    assert decode_line(b"[" * 100_000) is None


def test_a_log_that_is_not_there_has_no_lines(path: Path) -> None:
    assert files(path) == []
    assert list(newest_first(path)) == []


def test_a_line_has_no_place_for_words() -> None:
    assert not {"prompt", "messages", "text", "content", "answer", "query", "hint"} & set(Line.__struct_fields__)
