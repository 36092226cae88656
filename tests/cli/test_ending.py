from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.cli.conftest import PATIENCE_S, Terminal
from tests.cli.lmstudio.conftest import at
from tests.fakes.lmstudio.install import install_fake, until

from lmbridge.cli import ending
from lmbridge.machine import processes

LASTING = "#!/bin/sh\necho $$ > {pid}.new\nmv {pid}.new {pid}\nexec sleep 600\n"
ENDINGS = [signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", ENDINGS)
def test_work_that_is_told_to_end_cleans_up_and_then_the_process_says_by_what(number: signal.Signals) -> None:
    steps: list[str] = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            steps.append("cleaned up")

    with pytest.raises(SystemExit) as ended:
        ending.run(work())
    assert (ended.value.code, steps) == (128 + number, ["cleaned up"])
    assert signal.getsignal(number) is signal.SIG_DFL


def test_work_that_is_not_told_to_end_is_left_alone() -> None:
    async def work() -> int:
        return 7

    async def cancelled() -> None:
        raise asyncio.CancelledError

    assert ending.run(work()) == 7
    with pytest.raises(asyncio.CancelledError):
        ending.run(cancelled())


def test_a_signal_that_is_ignored_stays_so() -> None:
    async def work() -> str:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0)
        return "goes on"

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert ending.run(work()) == "goes on"
    finally:
        signal.signal(signal.SIGHUP, before)


def test_in_another_thread_there_are_no_signals_and_work_goes_on() -> None:
    async def work() -> None:
        done.append(True)

    done: list[bool] = []
    thread = threading.Thread(target=lambda: ending.run(work()))
    thread.start()
    thread.join(PATIENCE_S)
    assert done


@pytest.mark.parametrize("number", [*ENDINGS, signal.SIGINT])
def test_a_command_that_is_told_to_end_leaves_no_command_of_lm_studio_behind(
    number: signal.Signals, tmp_path: Path, home: Path
) -> None:
    with install_fake(tmp_path / "user") as user:
        told = tmp_path / "pid"
        user.lms.write_text(LASTING.format(pid=told))
        command = [sys.executable, "-m", "lmbridge", "lmstudio", "start"]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, env=at(user, home), text=True, **pipes) as lmbridge:  # type: ignore[call-overload]
            until(told.exists)
            lmbridge.send_signal(number)
            _, said = lmbridge.communicate(timeout=PATIENCE_S)
        assert lmbridge.returncode == 128 + number
        assert "Traceback" not in said
        assert not processes.exists(int(told.read_text()))


@pytest.mark.parametrize("number", ENDINGS)
def test_a_conversation_ends_when_it_is_told_to(number: signal.Signals, home: Path) -> None:
    with Terminal(home, "chat", "lmbridge-tiny") as terminal:
        terminal.wait_for("lmbridge-tiny")
        terminal.wait_for("> ")
        terminal.process.send_signal(number)
        assert terminal.wait_for_end() == 128 + number
        assert "Traceback" not in terminal.text
