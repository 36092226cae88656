"""Many requests over kept connections: `wrk` where it is installed, else a slower generator of our own."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from time import perf_counter
from typing import cast
from urllib.parse import urlsplit

import httptools
from msgspec import Struct

from bench.processes import Failed
from bench.report import middle

SCRIPT = """\
wrk.method = "POST"
wrk.body = [====[{body}]====]
wrk.headers["Content-Type"] = "application/json"
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\nRESULT [%d, %d, %d, %d, %d, %d]\\n', summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), summary.bytes,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


class Load(Struct, frozen=True):
    """What a stretch of load found.

    Attributes:
        rate: requests per second. p50, p99: microseconds of latency.
    """

    rate: float
    p50: float
    p99: float


def generator() -> str:
    """What makes the load: `wrk`, or `own` where it is missing."""
    return "wrk" if shutil.which("wrk") else "own"


def load(url: str, body: bytes, *, connections: int, seconds: float, answer: bytes, folder: Path) -> Load:
    """Ask *url* again and again.

    Args:
        answer: every answer's body; another one is not measured but refused.
        folder: where files may be written.

    Raises:
        Failed: an answer that was not the one expected.
    """
    if generator() == "wrk":
        return _wrk(url, body, connections, seconds, answer, folder)
    return _own(url, body, connections, seconds, answer)


def _wrk(url: str, body: bytes, connections: int, seconds: float, answer: bytes, folder: Path) -> Load:
    script = folder / "load.lua"
    script.write_text(SCRIPT.format(body=body.decode()))
    # wrk knows whole seconds only; a shorter stretch is ended by a signal, upon which it reports as usual.
    command = ["wrk", "-t1", f"-c{connections}", "-d60s", "--timeout", "5s", "-s", str(script), url]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        try:
            program.wait(seconds)
        except subprocess.TimeoutExpired:
            program.send_signal(2)
        output, _ = program.communicate(timeout=10)
    finally:
        program.kill()
        program.wait()
    result = output.rpartition("RESULT ")[2].partition("\n")[0]
    if not result.startswith("["):
        raise Failed(f"wrk said: {output[-500:]}")
    requests, duration, p50, p99, size, errors = json.loads(result)
    if not requests or errors or size < requests * len(answer):
        raise Failed(f"{url}: {errors} of {requests} requests went wrong")
    return Load(requests / duration * 1e6, p50, p99)


class _Asker(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, request: bytes, answer: bytes, ended: asyncio.Future[None]) -> None:
        self.request, self.answer, self.ended = request, answer, ended
        self.took: list[float] = []
        self.body = b""
        self.parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._ask()

    def _ask(self) -> None:
        self.body = b""
        self.sent = perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.took.append(perf_counter() - self.sent)
        if self.body != self.answer and not self.ended.done():
            self.ended.set_exception(Failed(f"an answer was {self.body[:200]!r}"))
        if not self.ended.done():
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(Failed("a connection was closed in the middle"))


async def _ask_for(url: str, body: bytes, connections: int, seconds: float, answer: bytes) -> Load:
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
    request = head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    began = perf_counter()
    askers: list[_Asker] = []
    try:
        for _ in range(connections):
            _, asker = await loop.create_connection(
                lambda: _Asker(request, answer, ended), parts.hostname or "", parts.port or 80
            )
            askers.append(asker)
        await asyncio.wait([ended], timeout=seconds)
        if ended.done():
            ended.result()
        took = sorted(t for asker in askers for t in asker.took)
        duration = perf_counter() - began
    finally:
        ended.cancel()
        for asker in askers:
            asker.transport.abort()
    if not took:
        raise Failed(f"{url}: no answer within {seconds:g} s")
    return Load(len(took) / duration, middle(took) * 1e6, took[int(len(took) * 0.99)] * 1e6)


def _own(url: str, body: bytes, connections: int, seconds: float, answer: bytes) -> Load:
    import uvloop

    return uvloop.run(_ask_for(url, body, connections, seconds, answer))
