"""Programs that live on without us."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from lmbridge.core.errors import CommandFailed
from lmbridge.machine.lmstudio.launch import AS_SERVICE, launch
from lmbridge.machine.processes import exists

Make = Callable[..., Path]


async def test_a_launched_program_lives_in_a_session_of_its_own_without_our_secrets(
    make_lms: Make, tmp_path: Path
) -> None:
    told = tmp_path / "told.json"
    program = make_lms(
        "about = [sys.argv[1:], os.getpid(), os.getsid(0), dict(os.environ)]\n"
        f"told = {str(told)!r}\n"
        "open(told + '.new', 'w').write(json.dumps(about)); os.rename(told + '.new', told)\n"
        "time.sleep(600)"
    )
    await launch(program, AS_SERVICE, environ={"PATH": os.environ["PATH"], "LM_API_TOKEN": "sk-lm-x"})
    for _ in range(2000):
        if told.exists():
            break
        await asyncio.sleep(0.01)
    arguments, pid, session, environ = json.loads(told.read_text())
    assert arguments == ["--run-as-service"]
    assert session == pid != os.getsid(0)
    assert "LM_API_TOKEN" not in environ
    assert environ.get("DISPLAY", ":0") == ":0"
    assert exists(pid)
    os.kill(pid, signal.SIGKILL)


async def test_a_program_that_cannot_be_started_tells_why(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="`LM Studio --run-as-service` failed: No such file or directory"):
        await launch(tmp_path / "LM Studio", AS_SERVICE)
