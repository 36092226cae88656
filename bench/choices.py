"""Why these libraries: JSON, HTTP client and HTTP server, each against the others that are installed.

Not among the parts that run by default (`python -m bench choices`), and what is not installed is left out:
lmbridge needs none of the losers.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import ExitStack, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import msgspec
from msgspec import Struct

from bench import nginx, upstream
from bench.gateway import BODY, ROUTE
from bench.load import load
from bench.processes import Failed, ask, cpu_seconds, free_port, start_module, wait_until_ready
from bench.report import Part, middle, number
from lmbridge.clients.http import HTTPClient
from lmbridge.wire.openai.requests import ChatBody

Scope = MutableMapping[str, Any]
Post = Callable[[str, bytes], Awaitable[bytes]]

SERVERS = ("uvicorn-httptools", "uvicorn-h11", "granian", "aiohttp")
CLIENTS = ("lmbridge", "aiohttp", "httpx")


class Size(Struct, frozen=True):
    """How much is measured.

    Attributes:
        times: calls of each way in a round, a twentieth of it for requests. seconds: of load on each server.
    """

    rounds: int = 5
    times: int = 20_000
    seconds: float = 1.0


FULL = Size()
QUICK = Size(rounds=2, times=2000, seconds=0.4)


def run(*, quick: bool = False, size: Size | None = None) -> Part:
    """Measure; there is nothing to reach."""
    size = size or (QUICK if quick else FULL)
    part = Part("choices", "Libraries for the hot path (medians)", ("", "CPU µs", "requests/s"))
    for name, took in _json(size.rounds, size.times).items():
        part.rows.append((f"JSON: {name}", f"{took:.2f}", ""))
        part.figures[f"json {name}"] = {"cpu_us": took}
    with TemporaryDirectory(prefix="lmbridge-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        for client, took in _clients(stack, folder, size.rounds, size.times // 20).items():
            part.rows.append((f"HTTP client: {client}", number(took), ""))
            part.figures[f"client {client}"] = {"cpu_us": took}
        for server, (rate, cpu) in _servers(stack, folder, size.rounds, size.seconds).items():
            part.rows.append((f"HTTP server: {server}", number(cpu), number(rate)))
            part.figures[f"server {server}"] = {"cpu_us": cpu, "requests_per_s": rate}
    return part


# -- JSON -------------------------------------------------------------------------------------------


def _json(rounds: int, times: int) -> dict[str, float]:
    """Microseconds of CPU to decode a chat request, and one event of a stream; each way in turn."""
    event = upstream.EVENT.removeprefix(b"data: ") % 1
    ways: dict[str, Callable[[], object]] = {
        "request, json": lambda: json.loads(BODY),
        "request, msgspec untyped": lambda: msgspec.json.decode(BODY),
    }
    typed = msgspec.json.Decoder(ChatBody).decode
    if find_spec("orjson"):
        import orjson

        ways["request, orjson"] = lambda: orjson.loads(BODY)
        ways["event, orjson"] = lambda: orjson.loads(event)
    ways["request, msgspec typed and checked"] = lambda: typed(BODY)
    ways["event, json"] = lambda: json.loads(event)
    ways["event, msgspec untyped"] = lambda: msgspec.json.decode(event)
    found: dict[str, list[float]] = {name: [] for name in sorted(ways)}
    for _ in range(rounds):
        for name, took in found.items():
            way = ways[name]
            began = process_time()
            for _ in range(times):
                way()
            took.append((process_time() - began) / times * 1e6)
    return {name: middle(took) for name, took in found.items()}


# -- clients ----------------------------------------------------------------------------------------


@asynccontextmanager
async def _client(name: str) -> AsyncIterator[Post]:
    """A way to post and get the body, over kept connections."""
    if name == "lmbridge":
        async with HTTPClient() as ours:

            async def post(url: str, body: bytes) -> bytes:
                async with await ours.request("POST", url, body=body) as answer:
                    return await answer.read()

            yield post
    elif name == "aiohttp":
        import aiohttp

        async with aiohttp.ClientSession() as theirs:

            async def post(url: str, body: bytes) -> bytes:
                async with theirs.post(url, data=body, headers={"content-type": "application/json"}) as answer:
                    return await answer.read()

            yield post
    else:
        import httpx

        async with httpx.AsyncClient() as other:

            async def post(url: str, body: bytes) -> bytes:
                headers = {"content-type": "application/json"}
                return (await other.post(url, content=body, headers=headers)).content

            yield post


async def _post(name: str, url: str, times: int) -> float:
    async with _client(name) as post:
        if await post(url, BODY) != upstream.ANSWER:
            raise Failed(f"{name} read another answer")
        began = process_time()
        for _ in range(times):
            await post(url, BODY)
        return (process_time() - began) / times * 1e6


def _clients(stack: ExitStack, folder: Path, rounds: int, times: int) -> dict[str, float]:
    """Microseconds of CPU for a request and its answer over a kept connection."""
    import uvloop

    port, log = free_port(), folder / "upstream.log"
    program = nginx.find()
    if program is None:
        server = start_module(stack, "bench.upstream", str(port), "1", "1", log=log)
    else:
        server = nginx.run(
            stack, program, folder / "server", nginx.answering(port, {ROUTE: upstream.ANSWER.decode()})
        )
    url = f"http://127.0.0.1:{port}{ROUTE}"
    wait_until_ready(server, url, log)
    found: dict[str, list[float]] = {name: [] for name in CLIENTS if name == "lmbridge" or find_spec(name)}
    for _ in range(rounds):
        for name, took in found.items():
            took.append(uvloop.run(_post(name, url, times)))
    return {name: middle(took) for name, took in found.items()}


# -- servers ----------------------------------------------------------------------------------------


async def application(
    scope: Scope, receive: Callable[[], Awaitable[Scope]], send: Callable[[Scope], Awaitable[None]]
) -> None:
    """Reads a body and gives the fixed answer: the least that a gateway does."""
    while (await receive())["more_body"]:
        pass
    length = b"%d" % len(upstream.ANSWER)
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": upstream.ANSWER, "more_body": False})


def _servers(stack: ExitStack, folder: Path, rounds: int, seconds: float) -> dict[str, tuple[float, float]]:
    """Requests per second at 16 connections and microseconds of CPU for each, one process each."""
    running: dict[str, tuple[str, int]] = {}
    for name in SERVERS:
        if not find_spec(name.partition("-")[0]):
            continue
        port, log = free_port(), folder / f"{name}.log"
        program = start_module(stack, "bench.choices", name, str(port), log=log)
        url = f"http://127.0.0.1:{port}{ROUTE}"
        wait_until_ready(program, url, log)
        if ask("POST", url, BODY) != (200, upstream.ANSWER):
            raise Failed(f"{name} gave another answer")
        running[name] = url, program.pid
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in running}
    for _ in range(rounds):
        for name, (url, pid) in running.items():
            cpu = cpu_seconds(pid)
            rate = load(url, BODY, connections=16, seconds=seconds, answer=upstream.ANSWER, folder=folder).rate
            found[name].append((rate, (cpu_seconds(pid) - cpu) / (rate * seconds) * 1e6))
    return {name: (middle([r for r, _ in each]), middle([c for _, c in each])) for name, each in found.items()}


def serve(name: str, port: int) -> None:
    """Run one of the servers until killed."""
    if name.startswith("uvicorn"):
        import uvicorn

        uvicorn.run(
            application,
            port=port,
            loop="uvloop",
            http="httptools" if name.endswith("httptools") else "h11",
            lifespan="off",
            log_level="critical",
            access_log=False,
        )
    elif name == "granian":
        from granian import Granian
        from granian.constants import Interfaces, Loops

        Granian(
            "bench.choices:application",
            port=port,
            interface=Interfaces.ASGINL,
            loop=Loops.uvloop,
            log_enabled=False,
        ).serve()
    else:
        _serve_aiohttp(port)


def _serve_aiohttp(port: int) -> None:
    import uvloop
    from aiohttp import web

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=upstream.ANSWER, content_type="application/json")

    async def forever() -> None:
        app = web.Application()
        app.router.add_route("*", ROUTE, answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()

    uvloop.run(forever())


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
