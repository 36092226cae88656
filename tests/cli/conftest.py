"""The real command, as a process and in a terminal, with a home of its own and a fake server to ask."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import pytest
from anyio.from_thread import start_blocking_portal
from tests.fakes.openai_server import FakeOpenAI, fake_openai

PATIENCE_S = 30.0
CODES = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[=>()][A-Z0-9]?)")

IN_CONTROL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # this terminal is ours: Ctrl-C in it reaches this process
os.execv(sys.executable, [sys.executable, "-m", "lmbridge", *sys.argv[1:]])
"""


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(fake_openai()) as fake:
        yield fake


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    return folder


class Run(Protocol):
    def __call__(
        self, *arguments: str, input: str | bytes = b"", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]: ...


FOREIGN = ("LMBRIDGE_", "_LMBRIDGE", "LMSTUDIO_", "LM_API_", "LMS_", "CODEX_OSS_")
"""How variables begin that would make a test depend on who runs it."""


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of the command; LM Studio is left alone, as whoever runs the tests may have one."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    for name in ("NO_COLOR", "COLUMNS", "LINES"):  # the last two are there where tests run on several workers
        own.pop(name, None)
    return {**own, "LMBRIDGE_HOME": str(home), "TERM": "xterm", "LMBRIDGE_DISABLED": "lmstudio", **more}


@pytest.fixture
def alone(home: Path) -> Run:
    """Run the command and wait for its end; no server is set up."""

    def run(
        *arguments: str, input: str | bytes = b"", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "lmbridge", *arguments],
            input=input.encode() if isinstance(input, str) else input,
            capture_output=True,
            env=environment(home, **(env or {})),
            timeout=PATIENCE_S,
            check=False,
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture
def run(alone: Run, home: Path, server: FakeOpenAI) -> Run:
    """The same, and the models of the fake server answer."""
    settings = f'model = "fake-chat"\n[openai.fake]\nurl = "{server.url}"\n'
    (home / "lmbridge.toml").write_text(settings)
    return alone


class Terminal:
    """The command in a terminal of its own: type into it, wait for what appears."""

    def __init__(self, home: Path, *arguments: str, columns: int = 100, lines: int = 30, **env: str) -> None:
        import fcntl
        import pty
        import struct
        import termios

        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", IN_CONTROL, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(home, **env),
            start_new_session=True,
        )
        os.close(theirs)
        self.raw = ""
        self._seen = 0

    @property
    def text(self) -> str:
        """Everything shown so far, without control codes."""
        return CODES.sub("", self.raw).replace("\r", "")

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def enter(self, text: str) -> None:
        self.type(f"{text}\r")

    def wait_for(self, expected: str) -> str:
        """Everything shown since the last wait, up to and with *expected*, wherever its line was broken."""
        # How long a line is depends on the paths in it, and so on the machine.
        words = re.compile(re.sub(r"(?<=\S)\\ (?=\S)", r"\\s+", re.escape(expected)))
        deadline = time.monotonic() + PATIENCE_S
        while not (found := words.search(self.text, self._seen)):
            if not self._read(deadline):
                raise AssertionError(f"{expected!r} did not appear in {self.text[self._seen :]!r}")
        begin, self._seen = self._seen, found.end()
        return self.text[begin : self._seen]

    def shows_soon(self, expected: str, seconds: float = 1.0) -> bool:
        """Whether *expected* was shown since the last wait, or is within some seconds."""
        deadline = time.monotonic() + seconds
        while expected not in self.text[self._seen :] and self._read(deadline):
            pass
        return expected in self.text[self._seen :]

    def wait_for_end(self) -> int:
        """The exit code."""
        deadline = time.monotonic() + PATIENCE_S
        while self._read(deadline):
            pass
        return self.process.wait(PATIENCE_S)

    def end_with(self, keys: str) -> int:
        """The exit code after *keys*, such as Ctrl-C: Python loses one that comes just before it waits."""
        for _ in range(int(PATIENCE_S)):
            self.type(keys)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1.0)
                break
        return self.wait_for_end()

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # EIO: nobody holds the other end any more
            return False
        if b"\x1b[6n" in data:  # "where is the cursor?": every terminal answers that
            os.write(self._ours, b"\x1b[1;1R")
        self.raw += data.decode("utf-8", "replace")
        return bool(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)
        os.close(self._ours)
