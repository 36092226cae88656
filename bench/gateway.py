"""(b) What the gateway costs: against nobody between, against nginx, and against the barest Python proxy.

All four are asked in turn, round after round, so that what else the machine does hits all of them; the
figures are medians, the ratios medians of the ratios within a round.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

from bench import nginx, upstream
from bench.load import Load, generator, load
from bench.processes import (
    Failed,
    Memory,
    ask,
    cpu_seconds,
    environment,
    free_port,
    memory,
    start,
    start_module,
    wait_until_ready,
)
from bench.report import Part, Target, middle, number, ratios
from bench.streams import Streams, read_streams

ROUTE = "/v1/chat/completions"
CONNECTIONS = 16
BODY = json.dumps(
    {
        "model": "bench-fixed",
        "messages": [
            {"role": "system", "content": "You are a helpful assistant. Answer in one sentence."},
            {"role": "user", "content": "What is a lease, and when does it end?"},
        ],
        "temperature": 0.2,
        "max_tokens": 64,
    }
).encode()


class Size(Struct, frozen=True):
    """How much is measured.

    Attributes:
        seconds: of each stretch of load. pace: seconds between two events of a stream.
    """

    rounds: int = 12
    seconds: float = 0.5
    stream_rounds: int = 3
    streams: int = 256
    events: int = 100
    pace: float = 0.02


FULL = Size()
QUICK = Size(rounds=2, seconds=0.4, stream_rounds=1, streams=64, events=25)


class Front(Struct):
    """One of those who are asked, and what was found.

    Attributes:
        fixed, paced: where it answers at once and where it streams. pids: its processes there.
    """

    name: str
    fixed: str
    paced: str
    pids: tuple[int, int] = (0, 0)
    busy: list[Load] = []
    alone: list[Load] = []
    streams: list[Streams] = []
    request_cpu: list[float] = []
    event_cpu: list[float] = []

    @property
    def rates(self) -> list[float]:
        """Requests per second, round by round."""
        return [found.rate for found in self.busy]

    @property
    def latencies(self) -> list[float]:
        """Median latency of one connection in microseconds, round by round."""
        return [found.p50 for found in self.alone]

    @property
    def ends(self) -> list[float]:
        """Seconds until the last stream had ended, round by round."""
        return [found.seconds for found in self.streams]


@contextmanager
def fronts(folder: Path, size: Size) -> Iterator[tuple[list[Front], int]]:
    """Everything running and answering; the second value is the gateway's process."""
    with ExitStack() as stack:
        fixed, paced = free_port(), free_port()
        program = nginx.find()
        source = start_module(
            stack,
            "bench.upstream",
            str(paced),
            str(size.events),
            str(size.pace * 1000),
            log=folder / "upstream.log",
        )
        wait_until_ready(source, _models(paced), folder / "upstream.log")
        if program is None:
            fixed = paced
        else:
            answers = {ROUTE: upstream.ANSWER.decode(), "/v1/models": upstream.FIXED_MODELS.decode()}
            server = nginx.run(stack, program, folder / "server", nginx.answering(fixed, answers))
            wait_until_ready(server, _models(fixed), folder / "server" / "output.log")
        found = [Front("direct", _url(fixed), _url(paced))]
        if program is not None:
            found.append(_nginx(stack, program, folder, fixed, paced))
        found.append(_bare(stack, folder, fixed, paced))
        found.append(_lmbridge(stack, folder, fixed, paced))
        yield found, found[-1].pids[0]


def _nginx(stack: ExitStack, program: str, folder: Path, fixed: int, paced: int) -> Front:
    a, b = free_port(), free_port()
    servers = (nginx.proxying(a, fixed), nginx.proxying(b, paced))
    running = nginx.run(stack, program, folder / "proxy", *servers)
    wait_until_ready(running, _models(a), folder / "proxy" / "output.log")
    return Front("nginx", _url(a), _url(b), (running.pid, running.pid))


def _bare(stack: ExitStack, folder: Path, fixed: int, paced: int) -> Front:
    a, b = free_port(), free_port()
    log = folder / "bare.log"
    first = start_module(stack, "bench.bare_proxy", str(a), f"http://127.0.0.1:{fixed}", log=log)
    second = start_module(stack, "bench.bare_proxy", str(b), f"http://127.0.0.1:{paced}", log=log)
    wait_until_ready(first, _models(a), log)
    wait_until_ready(second, _models(b), log)
    return Front("bare proxy", _url(a), _url(b), (first.pid, second.pid))


def _lmbridge(stack: ExitStack, folder: Path, fixed: int, paced: int) -> Front:
    home, port, log = folder / "home", free_port(), folder / "gateway.log"
    home.mkdir()
    (home / "lmbridge.toml").write_text(
        f'[openai.fixed]\nurl = "http://127.0.0.1:{fixed}/v1"\n'
        f'[openai.paced]\nurl = "http://127.0.0.1:{paced}/v1"\n'
    )
    command = [sys.executable, "-m", "lmbridge", "serve", "--port", str(port)]
    running = start(stack, command, env=environment(home), log=log)
    wait_until_ready(running, f"http://127.0.0.1:{port}/health", log)
    return Front("lmbridge", _url(port), _url(port), (running.pid, running.pid))


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}{ROUTE}"


def _models(port: int) -> str:
    return f"http://127.0.0.1:{port}/v1/models"


def _check(front: Front) -> None:
    """Make sure that it answers and what it answers, before its speed is taken.

    Raises:
        Failed: another status or another answer.
    """
    status, body = ask("POST", front.fixed, BODY)
    if status != 200 or body != upstream.ANSWER:
        raise Failed(f"{front.name} answered {status}: {body[:500]!r}")


def _measure_requests(front: Front, size: Size, folder: Path) -> None:
    cpu = cpu_seconds(front.pids[0])
    busy = load(
        front.fixed, BODY, connections=CONNECTIONS, seconds=size.seconds, answer=upstream.ANSWER, folder=folder
    )
    if front.pids[0]:
        front.request_cpu.append((cpu_seconds(front.pids[0]) - cpu) / (busy.rate * size.seconds) * 1e6)
    front.busy.append(busy)
    front.alone.append(
        load(front.fixed, BODY, connections=1, seconds=size.seconds, answer=upstream.ANSWER, folder=folder)
    )


def _measure_streams(front: Front, size: Size) -> None:
    cpu = cpu_seconds(front.pids[1])
    front.streams.append(read_streams(front.paced, streams=size.streams, events=size.events, pace=size.pace))
    if front.pids[1]:
        front.event_cpu.append((cpu_seconds(front.pids[1]) - cpu) / (size.streams * size.events) * 1e6)


def measure(asked: list[Front], size: Size, folder: Path) -> None:
    """All rounds; each begins with another of those who are asked."""
    for front in asked:
        _check(front)
        load(front.fixed, BODY, connections=4, seconds=0.2, answer=upstream.ANSWER, folder=folder)
    for turn in range(size.rounds):
        for i in range(len(asked)):
            _measure_requests(asked[(turn + i) % len(asked)], size, folder)
    for turn in range(size.stream_rounds):
        for i in range(len(asked)):
            _measure_streams(asked[(turn + i) % len(asked)], size)
    for front in asked:
        _check(front)


def run(*, quick: bool = False, size: Size | None = None) -> Part:
    """Measure and judge."""
    size = size or (QUICK if quick else FULL)
    with TemporaryDirectory(prefix="lmbridge-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx's worker may be another user
        with fronts(folder, size) as (asked, pid):
            measure(asked, size, folder)
            held = memory(pid)
    return _report({front.name: front for front in asked}, size, held)


def _report(found: dict[str, Front], size: Size, held: Memory | None) -> Part:
    part = Part(
        "gateway",
        f"Gateway: {CONNECTIONS} connections, 1 connection, {size.streams} streams of {size.events} events "
        f"each {size.pace * 1000:g} ms (medians of {size.rounds} and {size.stream_rounds} rounds)",
        (
            "",
            "requests/s",
            "CPU µs/request",
            "latency µs",
            "added µs",
            "streams end s",
            "CPU µs/event",
            "late p50 ms",
            "late p99 ms",
        ),
    )
    direct = found["direct"]
    for front in found.values():
        part.rows.append(_row(front, direct))
        part.figures[front.name] = _figures(front, direct)
    part.figures["memory_mb"] = None if held is None else {"rss": held.rss, "pss": held.pss}
    part.figures["load_generator"] = generator()
    part.targets = _targets(found, size, held)
    if held is not None:
        part.notes.append(f"the gateway holds {held.rss:.1f} MB resident, {held.pss:.1f} MB of it its own share")
    if generator() != "wrk":
        part.notes.append("wrk is not installed: a slower load generator took its place")
    if "nginx" not in found:
        part.notes.append("nginx is not installed: its rows are missing, and a slower server stood behind")
    return part


def added(front: Front, direct: Front) -> list[float]:
    """Microseconds that going through *front* adds, round by round."""
    return [a - b for a, b in zip(front.latencies, direct.latencies, strict=True)]


def _row(front: Front, direct: Front) -> tuple[str, ...]:
    between = front is not direct
    return (
        front.name,
        number(middle(front.rates)),
        number(middle(front.request_cpu)) if front.request_cpu else "",
        number(middle(front.latencies)),
        number(middle(added(front, direct))) if between else "",
        f"{middle(front.ends):.3f}",
        number(middle(front.event_cpu)) if front.event_cpu else "",
        f"{middle([s.p50 for s in front.streams]):.2f}",
        f"{middle([s.p99 for s in front.streams]):.2f}",
    )


def _figures(front: Front, direct: Front) -> dict[str, object]:
    return {
        "requests_per_s": front.rates,
        "latency_us": front.latencies,
        "added_latency_us": added(front, direct),
        "p99_at_16_us": [found.p99 for found in front.busy],
        "cpu_us_per_request": front.request_cpu,
        "streams_end_s": front.ends,
        "late_p50_ms": [found.p50 for found in front.streams],
        "late_p99_ms": [found.p99 for found in front.streams],
        "cpu_us_per_event": front.event_cpu,
    }


def _targets(found: dict[str, Front], size: Size, held: Memory | None) -> list[Target]:
    ours, bare, direct, proxy = found["lmbridge"], found["bare proxy"], found["direct"], found.get("nginx")
    latency = ends = rate = None
    if proxy is not None:
        rate = ratios(ours.rates, proxy.rates)
        # Two small differences: the ratio of their medians is steadier than the median of their ratios.
        theirs = middle(added(proxy, direct))
        latency = middle(added(ours, direct)) / theirs if theirs > 0 else None
        ends = ratios(ours.ends, proxy.ends)
    return [
        Target("requests/s against the bare proxy", ratios(ours.rates, bare.rates), 0.8, unit="x"),
        Target("requests/s against nginx", rate, 0.1, unit="x"),
        Target("added median latency against nginx's", latency, 2.0, at_most=True, unit="x"),
        Target(f"end of {size.streams} paced streams against nginx", ends, 1.1, at_most=True, unit="x"),
        Target("resident without an engine", held.rss if held else None, 70.0, at_most=True, unit=" MB"),
    ]
