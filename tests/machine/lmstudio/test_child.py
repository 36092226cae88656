"""One command of another program, whatever it does."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lmbridge.core.errors import CommandFailed, RuntimeMissing
from lmbridge.machine.lmstudio import child
from lmbridge.machine.lmstudio.child import Unending, lines, run, shown
from lmbridge.machine.processes import exists

Make = Callable[[str], Path]

FAMILY = """
import subprocess, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
inner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(os.getpid(), inner.pid, flush=True)
time.sleep(600)
"""


async def until(true: Callable[[], bool]) -> None:
    for _ in range(2000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


async def gone(pids: list[int]) -> None:
    await until(lambda: not any(map(exists, pids)))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "GRACE", 0.2)


async def test_a_command_gets_its_arguments_untouched_and_no_standard_input(make_lms: Make) -> None:
    path = make_lms("print(sys.argv[1:], repr(sys.stdin.read()), os.getcwd())\nsys.exit('said')")
    done = await run([path, "a b", "$HOME", "*", "ü\n"], limit=30)
    assert done.out.decode() == f"['a b', '$HOME', '*', 'ü\\n'] '' {path.parent}\n"
    assert (done.status, done.err) == (1, b"said\n")


async def test_its_environment_has_no_secrets_and_no_colours(make_lms: Make) -> None:
    path = make_lms("print(json.dumps(dict(os.environ)))")
    mine = {
        "HOME": "/h",
        "LM_API_TOKEN": "sk-lm-x",
        "LD_PRELOAD": "/x.so",
        "FORCE_COLOR": "1",
        "LC_ALL": "C.UTF-8",
    }
    seen = (await run([path], environ=mine, limit=30)).out.decode()
    assert '"HOME": "/h"' in seen
    assert '"NO_COLOR": "1"' in seen
    for name in ("LM_API_TOKEN", "LD_PRELOAD", "FORCE_COLOR"):
        assert name not in seen


async def test_a_program_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeMissing, match="lmbridge lmstudio status"):
        await run([tmp_path / "lms"], limit=30)


async def test_a_program_that_cannot_be_started_tells_why(tmp_path: Path) -> None:
    path = tmp_path / "lms"
    path.write_text("#!/no/such/interpreter\n")
    path.chmod(0o755)
    with pytest.raises(CommandFailed, match=r"`lms server status` failed: .* cannot be started"):
        await run([path, "server", "status"], limit=30)
    path.chmod(0o644)
    with pytest.raises(CommandFailed, match="cannot be started: Permission denied"):
        await run([path], limit=30)
    with pytest.raises(CommandFailed, match="cannot be started: embedded null byte"):
        await run([path, "a\0b"], limit=30)


async def test_a_command_that_never_ends_is_ended_with_all_its_children(make_lms: Make, impatient: None) -> None:
    with pytest.raises(Unending, match=r"it did not end within 3 s") as caught:
        await run([make_lms(FAMILY)], limit=3)
    pids = [int(pid) for pid in caught.value.done.out.split()]
    assert len(pids) == 2
    await gone(pids)


async def test_a_cancelled_command_is_ended_with_all_its_children(make_lms: Make, impatient: None) -> None:
    heard: list[bytes] = []

    async def wait() -> None:
        await run([make_lms(FAMILY)], limit=60, listen=lambda out, err: heard.append(out))

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        task = group.create_task(wait())
        await until(lambda: b"".join(heard).endswith(b"\n"))
        task.cancel()
    await gone([int(pid) for pid in b"".join(heard).split()])


async def test_who_listens_and_fails_ends_the_command(make_lms: Make, impatient: None) -> None:
    heard: list[bytes] = []

    def listen(out: bytes, err: bytes) -> None:
        heard.append(out)
        if b"\n" in out:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run([make_lms(FAMILY)], limit=60, listen=listen)
    await gone([int(pid) for pid in b"".join(heard).split()])


async def test_a_silent_command_is_ended(make_lms: Make, impatient: None) -> None:
    with pytest.raises(Unending, match=r"silent for 0\.5 s"):
        await run([make_lms("print('hello', flush=True); time.sleep(600)")], limit=60, silence=0.5)


async def test_what_it_leaves_behind_does_not_keep_us_waiting(make_lms: Make, impatient: None) -> None:
    path = make_lms(
        "import subprocess\n"
        "left = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
        "print(left.pid, flush=True)"
    )
    done = await run([path], limit=60)
    left = int(done.out)
    assert exists(left)
    os.kill(left, 9)


async def test_a_command_that_prints_without_end_is_ended(
    make_lms: Make, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "MOST_OUTPUT", 2**20)
    with pytest.raises(Unending, match="more than 1 MiB"):
        await run([make_lms("while True: print('x' * 99999)")], limit=60)


async def test_errors_without_end_keep_their_last_words_only(make_lms: Make) -> None:
    done = await run([make_lms("sys.stderr.write('x' * 999999 + 'last')")], limit=60)
    assert len(done.err) == child.LAST_BYTES
    assert done.err.endswith(b"last")


async def test_who_listens_is_told_everything_once(make_lms: Make) -> None:
    path = make_lms("for n in range(50):\n print(n, flush=True); sys.stderr.write(f'{n};'); sys.stderr.flush()")
    out: list[bytes] = []
    err: list[bytes] = []

    def listen(printed: bytes, complained: bytes) -> None:
        out.append(printed)
        err.append(complained)

    done = await run([path], limit=60, listen=listen)
    assert b"".join(out).split() == [b"%d" % n for n in range(50)]
    assert b"".join(err) == b"".join(b"%d;" % n for n in range(50))
    assert (done.out, done.status) == (b"", 0)


async def test_who_waits_is_told_the_seconds(make_lms: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "TICK", 0.05)
    told: list[float] = []
    await run([make_lms("time.sleep(0.3)")], limit=60, waiting=told.append)
    assert told[0] < told[-1]
    assert told == sorted(told)


async def test_lines_come_until_the_command_ends(make_lms: Make) -> None:
    path = make_lms("print('{\"a\": 1}', end='\\r\\n'); print('ü'); sys.stdout.write('no end')")
    async with lines([path]) as got:
        assert [line.decode() async for line in got] == ['{"a": 1}', "ü", "no end"]


async def test_leaving_the_lines_ends_the_command(make_lms: Make, impatient: None) -> None:
    async with lines([make_lms(FAMILY)]) as got:
        pids = [int(pid) for pid in (await anext(got)).split()]
        assert all(map(exists, pids))
    await gone(pids)


async def test_a_command_that_fails_after_its_lines_says_why(make_lms: Make) -> None:
    path = make_lms("print('one'); sys.exit('Error: no such source')")
    async with lines([path, "log"]) as got:
        assert await anext(got) == b"one"
        with pytest.raises(CommandFailed, match="`lms log` failed: no such source") as caught:
            await anext(got)
    assert caught.value.status == 1


async def test_a_line_without_end_is_an_error(
    make_lms: Make, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "MOST_LINE", 2**20)
    async with lines([make_lms("while True: sys.stdout.write('x' * 99999)")]) as got:
        with pytest.raises(CommandFailed, match="a line over 1 MiB"):
            await anext(got)


async def test_lines_end_although_others_hold_the_pipe(make_lms: Make, impatient: None) -> None:
    path = make_lms(
        "import subprocess\n"
        "left = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
        "print(left.pid, flush=True)"
    )
    async with asyncio.timeout(30), lines([path]) as got:
        (pid,) = [int(line) async for line in got]
    os.kill(pid, 9)


def test_a_command_is_shown_as_one_would_type_it() -> None:
    assert shown([Path("/a b/lms"), "load", "x y", "--yes"]) == "lms load 'x y' --yes"
    assert shown([Path("lms.exe"), "ps"]) == "lms ps"
