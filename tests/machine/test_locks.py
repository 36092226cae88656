from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmbridge.machine import locks
from lmbridge.machine.locks import alone, turn

HOLDER = """
import sys
from lmbridge.machine.locks import locked
file = open(sys.argv[1], "w")
print(locked(file.fileno()), flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "LOOK_AGAIN", 0.01)


async def test_one_comes_after_the_other(tmp_path: Path) -> None:
    inside: list[int] = []

    async def use(number: int) -> bool:
        async with turn(tmp_path / "a folder" / "lock") as waited:
            inside.append(number)
            assert inside == [number]
            await asyncio.sleep(0)
            inside.clear()
        return waited

    async with asyncio.timeout(10):
        waited = await asyncio.gather(*(use(n) for n in range(5)))
    assert waited.count(False) == 1
    assert list((tmp_path / "a folder").iterdir()) == []


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the lock."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        yield process
        process.kill()


async def test_another_process_is_waited_for_until_it_ends_and_no_longer_than_the_limit(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    told: list[None] = []
    async with turn(tmp_path / "lock", 0.05, lambda: told.append(None)) as waited:
        assert waited
    assert told
    holder.kill()
    async with asyncio.timeout(10), turn(tmp_path / "lock"):
        assert holder.wait(10) < 0


async def test_where_no_file_can_be_made_nobody_is_kept_out(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    for _ in range(2):
        async with turn(tmp_path / "lock") as waited:
            assert not waited


def test_who_changes_a_file_alone_leaves_the_lock_for_the_next(tmp_path: Path) -> None:
    file = tmp_path / "a folder" / "file"
    for number in range(2):
        with alone(file):
            file.write_text(str(number))
    assert file.read_text() == "1"
