"""A user with a fake LM Studio: its folder, its `lms`, and the command lmbridge run as that user."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import PATIENCE_S, Run, environment
from tests.fakes.lmstudio.install import FakeInstall, install_fake


def runs_as(user: FakeInstall, home: Path) -> Run:
    """The command, run by the user of a fake installation."""

    def run(
        *arguments: str, input: str | bytes = b"", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "lmbridge", *arguments],
            input=input.encode() if isinstance(input, str) else input,
            capture_output=True,
            env=at(user, home, **(env or {})),
            timeout=PATIENCE_S,
            check=False,
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


def at(user: FakeInstall, home: Path, **more: str) -> dict[str, str]:
    """The environment of that user."""
    return environment(home, **{**user.environ, "LMBRIDGE_DISABLED": "", **more})


@pytest.fixture
def user(tmp_path: Path) -> Iterator[FakeInstall]:
    """LM Studio is installed, and nothing of it runs."""
    with install_fake(tmp_path / "Jürgen's folder") as fake:
        yield fake


@pytest.fixture
def lmbridge(user: FakeInstall, home: Path) -> Run:
    return runs_as(user, home)


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[FakeInstall]:
    """There is no LM Studio."""
    with install_fake(tmp_path / "user", app=False, bootstrapped=False) as fake:
        yield fake
