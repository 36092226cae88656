"""(e) What translating costs: streams in every language over one OpenAI endpoint, against relaying them.

All languages are read in turn, round after round, through one gateway. CPU is the gateway's own; the answers are
the same events. Then the gateway's memory over many requests, and what storing an answer adds to it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from msgspec import Struct

from bench.processes import (
    Failed,
    cpu_seconds,
    environment,
    free_port,
    memory,
    start,
    start_module,
    wait_until_ready,
)
from bench.report import Part, Target, middle, number
from bench.streams import CHAT, Language, Streams, asked, read_streams
from bench.upstream import FIXED, MODEL

_INPUT = json.dumps({"model": MODEL, "stream": True, "input": "Count slowly, please."}).encode()
LANGUAGES = {
    "/v1/chat/completions": CHAT,
    "/v1/messages": Language(asked(b',"max_tokens":4096'), b'"text_delta","text":"', b'"message_stop"'),
    "/v1/responses": Language(_INPUT, b'"delta":"', b'"response.completed"'),
    "/api/v1/chat": Language(_INPUT, b'"message.delta","content":"', b'"chat.end"'),
    "/api/chat": Language(asked(), b'"content":"', b'"done":true'),
}
RELAYED = "/v1/chat/completions"


class Size(Struct, frozen=True):
    """How much is measured.

    Attributes:
        pace: seconds between two events of a stream.
        requests: after which memory is compared. stored: answers stored, and as many that are not.
    """

    rounds: int = 5
    streams: int = 256
    events: int = 100
    pace: float = 0.02
    requests: int = 20_000
    stored: int = 1_000


FULL = Size()
QUICK = Size(rounds=1, streams=64, requests=1_000, stored=100)


@contextmanager
def gateway(folder: Path, size: Size) -> Iterator[tuple[int, int, int]]:
    """The ports of the server of streams and of a gateway before it, and the gateway's process."""
    paced, port, home = free_port(), free_port(), folder / "home"
    with ExitStack() as stack:
        pace = (str(paced), str(size.events), str(size.pace * 1000))
        source = start_module(stack, "bench.upstream", *pace, log=folder / "upstream.log")
        wait_until_ready(source, f"http://127.0.0.1:{paced}/v1/models", folder / "upstream.log")
        home.mkdir()
        (home / "lmbridge.toml").write_text(f'[openai.paced]\nurl = "http://127.0.0.1:{paced}/v1"\n')
        command = [sys.executable, "-m", "lmbridge", "serve", "--port", str(port)]
        running = start(stack, command, env=environment(home), log=folder / "gateway.log")
        wait_until_ready(running, f"http://127.0.0.1:{port}/health", folder / "gateway.log")
        yield paced, port, running.pid


class Found(Struct):
    """What was found of one language, round by round.

    Attributes:
        cpu: microseconds of the gateway for an event. late: how late events came.
    """

    cpu: list[float] = []
    late: list[Streams] = []


def run(*, quick: bool = False, size: Size | None = None) -> Part:
    """Measure and judge."""
    size = size or (QUICK if quick else FULL)
    with TemporaryDirectory(prefix="lmbridge-bench-") as name, gateway(Path(name), size) as (paced, port, pid):
        direct, found = _streams(paced, port, pid, size)
        grown = _growth(port, pid, size)
        storing = _storing(port, size)
    return _report(direct, found, grown, storing, size)


def _streams(paced: int, port: int, pid: int, size: Size) -> tuple[list[Streams], dict[str, Found]]:
    found = {route: Found() for route in LANGUAGES}
    direct = []
    routes = list(LANGUAGES)
    for turn in range(size.rounds):
        direct.append(_read(f"http://127.0.0.1:{paced}{RELAYED}", CHAT, size))
        for i in range(len(routes)):
            route = routes[(turn + i) % len(routes)]
            before = cpu_seconds(pid)
            found[route].late.append(_read(f"http://127.0.0.1:{port}{route}", LANGUAGES[route], size))
            found[route].cpu.append((cpu_seconds(pid) - before) / (size.streams * size.events) * 1e6)
    return direct, found


def _read(url: str, language: Language, size: Size) -> Streams:
    return read_streams(url, streams=size.streams, events=size.events, pace=size.pace, language=language)


def _growth(port: int, pid: int, size: Size) -> float | None:
    """Megabytes that the gateway grows by over the requests; a tenth of them come before, to warm up."""
    _ask_all(port, size.requests // 10)
    before = memory(pid)
    _ask_all(port, size.requests)
    after = memory(pid)
    return None if before is None or after is None else after.rss - before.rss


def _ask_all(port: int, number: int) -> None:
    """So many whole answers, of one language after the other."""
    bodies = [(route, _at_once(language.body)) for route, language in LANGUAGES.items()]
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    for i in range(number):
        _ask(connection, *bodies[i % len(bodies)])
    connection.close()


def _at_once(body: bytes) -> bytes:
    """The same question, not streamed, to the model that answers at once."""
    return body.replace(b"true", b"false", 1).replace(MODEL.encode(), FIXED.encode())


def _ask(connection: HTTPConnection, route: str, body: bytes) -> None:
    connection.request("POST", route, body, {"content-type": "application/json"})
    answer = connection.getresponse()
    said = answer.read()
    if answer.status != 200:
        raise Failed(f"{route} answered {answer.status}: {said[:500]!r}")


def _storing(port: int, size: Size) -> float:
    """Milliseconds that storing adds to an answer: the difference of the medians, asked alternately."""
    times: dict[bool, list[float]] = {True: [], False: []}
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    for i in range(2 * size.stored):
        store = i % 2 == 0
        body = json.dumps({"model": FIXED, "input": "Count, please.", "store": store}).encode()
        began = perf_counter()
        _ask(connection, "/v1/responses", body)
        times[store].append(perf_counter() - began)
    connection.close()
    return (middle(times[True]) - middle(times[False])) * 1000


def _report(
    direct: list[Streams], found: dict[str, Found], grown: float | None, storing: float, size: Size
) -> Part:
    part = Part(
        "languages",
        f"Languages: {size.streams} streams of {size.events} events, each {size.pace * 1000:g} ms, over one "
        f"endpoint of OpenAI's (medians of {size.rounds} rounds)",
        ("", "CPU µs/event", "above relay", "late p50 ms", "late p99 ms", "added p99 ms"),
    )
    relayed = middle(found[RELAYED].cpu)
    nearest = middle([each.p99 for each in direct])
    part.rows.append(("direct", "", "", *_late(direct), ""))
    for route, each in found.items():
        above = "" if route == RELAYED else number(middle(each.cpu) - relayed)
        added = middle([late.p99 for late in each.late]) - nearest
        part.rows.append((route, number(middle(each.cpu)), above, *_late(each.late), f"{added:.2f}"))
    part.figures = {
        "cpu_us_per_event": {route: each.cpu for route, each in found.items()},
        "late_p99_ms": {route: [late.p99 for late in each.late] for route, each in found.items()},
        "direct_late_p99_ms": [late.p99 for late in direct],
        "grown_mb": grown,
        "storing_ms": storing,
    }
    translated = {route: each for route, each in found.items() if route != RELAYED}
    part.targets = [
        *(
            Target(f"{route}: CPU above relay", middle(each.cpu) - relayed, 15.0, at_most=True, unit=" µs/event")
            for route, each in translated.items()
        ),
        Target(
            f"{size.streams} streams, the worst language: added p99",
            max(middle([late.p99 for late in each.late]) for each in found.values()) - nearest,
            10.0,
            at_most=True,
            unit=" ms",
        ),
        Target(f"memory grown over {size.requests:,} requests", grown, 5.0, at_most=True, unit=" MB"),
        Target("storing an answer", storing, 1.0, at_most=True, unit=" ms"),
    ]
    return part


def _late(streams: list[Streams]) -> tuple[str, str]:
    return f"{middle([s.p50 for s in streams]):.2f}", f"{middle([s.p99 for s in streams]):.2f}"
