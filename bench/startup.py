"""(d) How long a person waits: the package, the command, the first word of an answer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from msgspec import Struct

from bench.processes import ROOT, Failed, end, environment
from bench.report import Part, Target, middle, number
from lmbridge.machine.model_folders import BUILTIN

LIMIT_S = 30.0
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import lmbridge": [sys.executable, "-c", "import lmbridge"],
    "lmbridge --version": [sys.executable, "-m", "lmbridge", "--version"],
}
BARE, IMPORT, VERSION = COMMANDS
CHAT = 'lmbridge chat -p "Hello"'
"""The first byte of its answer, in a process of its own that starts an engine of its own."""


def script() -> list[str]:
    """The installed command, as people run it; the module where it is not beside the interpreter."""
    found = Path(sys.executable).parent / "lmbridge"
    return [str(found)] if found.exists() else [sys.executable, "-m", "lmbridge"]


class Size(Struct, frozen=True):
    """How often everything is started.

    Attributes:
        words: how often a first word is waited for.
    """

    rounds: int = 15
    words: int = 5


FULL = Size()
QUICK = Size(rounds=5, words=2)


def run(*, quick: bool = False, size: Size | None = None) -> Part:
    """Measure and judge."""
    size = size or (QUICK if quick else FULL)
    commands = {**COMMANDS, VERSION: [*script(), "--version"]}
    took: dict[str, list[float]] = {name: [] for name in commands}
    with TemporaryDirectory(prefix="lmbridge-bench-") as name:
        env = environment(Path(name))
        for command in commands.values():
            _seconds(command, env)  # files into the cache, byte code written
        for _ in range(size.rounds):
            for label, command in commands.items():
                took[label].append(_seconds(command, env))
        first: list[float] = []
        if any(BUILTIN.glob("*.gguf")):
            _first_byte(env)
            first = [_first_byte(env) for _ in range(size.words)]
    return _report(took, first)


def _seconds(command: list[str], env: dict[str, str]) -> float:
    began = perf_counter()
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, timeout=LIMIT_S, check=False)
    took = perf_counter() - began
    if done.returncode:
        raise Failed(f"{' '.join(command)} failed: {done.stderr.decode(errors='replace')[-1000:]}")
    return took


def _first_byte(env: dict[str, str]) -> float:
    """Seconds from starting `lmbridge chat -p` to the first byte of the answer."""
    command = [*script(), "chat", "-p", "Hello", "--no-gateway"]
    began = perf_counter()
    program = subprocess.Popen(
        command, env=env, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert program.stdout is not None
        byte = program.stdout.read(1)
        took = perf_counter() - began
        _, said = program.communicate(timeout=LIMIT_S)
        if not byte or program.returncode:
            raise Failed(f"{' '.join(command)} failed: {said.decode(errors='replace')[-1000:]}")
        return took
    finally:
        end(program)


def _report(took: dict[str, list[float]], first: list[float]) -> Part:
    rounds = len(took[BARE])
    part = Part(
        "startup",
        f"Start-up, files in the cache (medians of {rounds} runs, {len(first)} for the first word)",
        ("", "ms", "above the interpreter"),
    )
    above = {
        label: middle([a - b for a, b in zip(times, took[BARE], strict=True)]) * 1000
        for label, times in took.items()
    }
    for label, times in took.items():
        beyond = f"{above[label]:.0f}" if label != BARE else ""
        part.rows.append((label, f"{middle(times) * 1000:.0f}", beyond))
        part.figures[label] = {"seconds": times, "above_ms": above[label]}
    if first:
        part.rows.append((f"{CHAT}, first word", number(middle(first) * 1000), ""))
    else:
        part.notes.append("there is no built-in model in this package, so the first word was not measured")
    part.figures[CHAT] = {"seconds": first}
    word = middle(first) if first else None
    part.targets = [
        Target("import lmbridge above the bare interpreter", above[IMPORT], 60, at_most=True, unit=" ms"),
        Target("lmbridge --version above the bare interpreter", above[VERSION], 120, at_most=True, unit=" ms"),
        Target("first word of lmbridge chat -p, cold", word, 1.5, at_most=True, unit=" s"),
    ]
    return part
