"""(g) How long an MCP host waits: from starting a server to its answer to `initialize`, and to the tools."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from msgspec import Struct

from bench.processes import ROOT, Failed, end, environment
from bench.report import Part, Target, middle

SMALLEST = """
from mcp.server.mcpserver import MCPServer

server = MCPServer("smallest")


@server.tool()
def nothing() -> str:
    return "nothing"


server.run()
"""
SERVERS = {
    "openai_mcp_server": ["-m", "openai_mcp_server"],
    "lmbridge mcp": ["-m", "lmbridge", "mcp"],
    "the smallest of the official package": ["-c", SMALLEST],
}
OURS, COMMAND, OFFICIAL = SERVERS
BARE = "python -c pass, to its end"
ASKED = (
    {
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "bench", "version": "1"},
        },
    },
    {"method": "tools/list"},
    {"method": "resources/templates/list"},
)
LIMIT_MS = 400


class Took(Struct, frozen=True):
    """Seconds from the start of a server to each of its answers; *last* is one that only its package gives."""

    initialize: float
    tools: float
    last: float


class Size(Struct, frozen=True):
    """How often everything is started."""

    rounds: int = 15


FULL = Size()
QUICK = Size(rounds=3)


def run(*, quick: bool = False, size: Size | None = None) -> Part:
    """Measure and judge."""
    size = size or (QUICK if quick else FULL)
    took: dict[str, list[Took]] = {name: [] for name in SERVERS}
    bare: list[float] = []
    with TemporaryDirectory(prefix="lmbridge-bench-") as name:
        env = environment(Path(name))
        for arguments in SERVERS.values():
            _ask([sys.executable, *arguments], env)  # files into the cache, byte code written
        for _ in range(size.rounds):
            bare.append(_bare(env))
            for label, arguments in SERVERS.items():
                took[label].append(_ask([sys.executable, *arguments], env))
    return _report(bare, took)


def _bare(env: dict[str, str]) -> float:
    began = perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], env=env, cwd=ROOT, check=True)
    return perf_counter() - began


def _ask(command: list[str], env: dict[str, str]) -> Took:
    """Start a server, ask as a host does, and end it as a host does."""
    began = perf_counter()
    server = subprocess.Popen(
        command, env=env, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        return Took(*(_answered(server, began, number, asked) for number, asked in enumerate(ASKED)))
    finally:
        if server.stdin is not None:
            server.stdin.close()
        end(server)
        if server.stdout is not None:
            server.stdout.close()


def _answered(server: subprocess.Popen[bytes], began: float, number: int, asked: dict[str, object]) -> float:
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps({"jsonrpc": "2.0", "id": number, **asked}).encode() + b"\n")
    server.stdin.flush()
    line = server.stdout.readline()
    took = perf_counter() - began
    if not line or json.loads(line).get("id") != number:
        raise Failed(f"{server.args!r} answered {asked['method']} with {line[:200]!r}")
    return took


def _report(bare: list[float], took: dict[str, list[Took]]) -> Part:
    part = Part(
        "mcp_start",
        f"MCP servers over stdio, from the start of the process (medians of {len(bare)} runs)",
        ("", "ms to initialize", "to tools/list", "to an answer of the package", "times the interpreter"),
    )
    floor = middle(bare)
    part.rows.append((BARE, f"{floor * 1000:.0f}", "", "", ""))
    part.figures[BARE] = {"seconds": bare}
    for label, times in took.items():
        first, tools, last = (middle([getattr(one, name) for one in times]) for name in Took.__struct_fields__)
        ratio = f"{first / floor:.1f}"
        part.rows.append((label, f"{first * 1000:.0f}", f"{tools * 1000:.0f}", f"{last * 1000:.0f}", ratio))
        part.figures[label] = {name: [getattr(one, name) for one in times] for name in Took.__struct_fields__}
    part.notes.append("ours answer the first two before the official package is imported; its own server cannot")
    part.targets = [
        Target(f"{label}: initialize", _median_ms(took[label]), LIMIT_MS, at_most=True, unit=" ms")
        for label in (OURS, COMMAND)
    ]
    return part


def _median_ms(times: list[Took]) -> float:
    return middle([one.initialize for one in times]) * 1000
