import os
import shutil
import subprocess
import sys

import pytest

from lmbridge.machine import processes


def test_this_process_exists_and_has_one_birth() -> None:
    assert processes.exists(os.getpid())
    assert processes.birth(os.getpid()) == processes.birth(os.getpid()) != ""


def test_two_processes_are_told_apart_and_one_that_ended_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert processes.exists(child.pid)
        assert processes.birth(child.pid) not in ("", processes.birth(os.getpid()))
        assert "python" in processes.name_of(child.pid)
        child.communicate(b"\n", timeout=10)
    assert not processes.exists(child.pid)
    assert processes.birth(child.pid) == ""


def test_a_process_that_ended_and_was_not_waited_for_counts_as_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child, child.stdout:
        child.stdout.read()  # returns when the child closes its end, which it does by ending
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not processes.exists(child.pid)
        assert processes.birth(child.pid) == ""


def test_no_process_has_the_id_zero_or_less_or_one_beyond_all_numbers() -> None:
    assert not processes.exists(0)
    assert not processes.exists(-1)
    assert not processes.exists(10**30)
    assert processes.name_of(-1) == ""


def test_where_there_is_no_proc_the_system_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("ps") is None:
        return  # nobody to ask
    monkeypatch.setattr(processes, "PLATFORM", "another")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert processes.exists(child.pid)
        assert processes.birth(child.pid) == processes.birth(child.pid) != ""
        assert "python" in processes.name_of(child.pid)
        child.communicate(b"\n", timeout=10)
    assert processes.birth(child.pid) == ""


def test_a_command_that_is_missing_or_fails_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PLATFORM", "another")
    monkeypatch.setenv("PATH", "/nowhere")
    assert processes.birth(os.getpid()) == ""
    assert processes.name_of(os.getpid()) == ""
