"""What is remembered of LM Studio."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec.structs import replace

from lmbridge.providers.lmstudio.kept import STARTED, Started, forget_start, remember_start, remembered_start

NO_PROCESS = 2**22 + 1
"""An id that no process can have (pid_max)."""


def test_a_start_is_remembered_until_it_is_forgotten(tmp_path: Path) -> None:
    home = tmp_path / "not there yet"
    assert remembered_start(home) is None
    started = Started.now(1234, os.getpid())
    remember_start(home, started)
    assert remembered_start(home) == started
    assert (home / STARTED).stat().st_mode & 0o777 == 0o600
    forget_start(home)
    forget_start(home)
    assert remembered_start(home) is None


def test_a_server_is_the_same_as_long_as_its_process_lives() -> None:
    started = Started.now(1234, os.getpid())
    assert started.alive
    assert not replace(started, born="another").alive
    assert not replace(started, pid=NO_PROCESS).alive
    assert Started.now(1234, None).alive


def test_a_folder_that_cannot_be_used_makes_it_forgotten(tmp_path: Path) -> None:
    home = tmp_path / "file"
    home.write_text("")
    remember_start(home, Started(1234))
    assert remembered_start(home) is None
    forget_start(home)
    (tmp_path / STARTED).write_text("{garbage")
    assert remembered_start(tmp_path) is None
