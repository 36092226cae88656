"""The programs a benchmark starts: every one of them is ended, and asked what it costs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from http.client import HTTPConnection
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import urlsplit

from msgspec import Struct

ROOT = Path(__file__).resolve().parent.parent
READY_S = 20.0
END_S = 5.0


class Failed(Exception):
    """A program of the benchmark did not do what it should; nothing was measured."""


class Memory(Struct, frozen=True):
    """Megabytes (10^6 bytes) of a process.

    Attributes:
        rss: resident. pss: the same with shared pages divided among those who share them.
    """

    rss: float
    pss: float


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(home: Path) -> dict[str, str]:
    """This process's environment without lmbridge's settings; *home* is lmbridge's folder and the user's."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LMBRIDGE_")}
    return {**kept, "HOME": str(home), "LMBRIDGE_HOME": str(home)}


def start(
    stack: ExitStack, command: Sequence[str], *, env: Mapping[str, str] | None = None, log: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a program that ends with *stack*; what it says goes to *log*."""
    output = stack.enter_context(log.open("ab")) if log is not None else subprocess.DEVNULL
    program = subprocess.Popen(
        command, env=env, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
    )
    stack.callback(end, program)
    return program


def start_module(stack: ExitStack, module: str, *arguments: str, log: Path) -> subprocess.Popen[bytes]:
    """Start a module of this benchmark with this interpreter."""
    return start(stack, [sys.executable, "-m", module, *arguments], log=log)


def end(program: subprocess.Popen[bytes]) -> None:
    """End a program, politely first."""
    if program.poll() is None:
        program.terminate()
        with suppress(subprocess.TimeoutExpired):
            program.wait(END_S)
    if program.poll() is None:
        program.kill()
        program.wait(END_S)


def wait_until_ready(program: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Wait until a GET of *url* is answered with 200.

    Raises:
        Failed: it ended, or it took too long; with its last words.
    """
    deadline = monotonic() + READY_S
    while monotonic() < deadline and program.poll() is None:
        with suppress(OSError):
            if ask("GET", url)[0] == 200:
                return
        sleep(0.02)
    words = log.read_text(errors="replace")[-2000:] if log.exists() else ""
    raise Failed(f"{' '.join(map(str, program.args))} did not answer at {url}: {words}")  # type: ignore[arg-type]


def ask(method: str, url: str, body: bytes = b"") -> tuple[int, bytes]:
    """One request with the standard library: status and body."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        headers = {"content-type": "application/json"} if body else {}
        connection.request(method, parts.path or "/", body or None, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def memory(pid: int) -> Memory | None:
    """What a process holds; None where the system does not tell (Linux does)."""
    found: dict[str, float] = {}
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in ("Rss", "Pss"):
                found[name] = int(rest.split()[0]) * 1024 / 1e6
    except OSError:
        return None
    return Memory(found["Rss"], found["Pss"]) if len(found) == 2 else None


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its children so far; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(cpu_seconds(int(child)) for child in children)
