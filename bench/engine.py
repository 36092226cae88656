"""(c) What the gateway costs an engine: tokens per second and time to the first one, direct and through it.

Two engines of the same model: one belongs to a gateway, the other to a hub in this process and is asked
directly. They are asked in turn and never both at once, with the same prompts in the same order.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import msgspec
from msgspec import Struct
from tests.fakes import gguf_files

from bench.processes import Failed, environment, free_port, start, wait_until_ready
from bench.report import Part, Target, middle, number, ratios
from lmbridge.assembly import build_hub
from lmbridge.clients.http import HTTPClient
from lmbridge.config import Config
from lmbridge.core.errors import BridgeError

BUILTIN = "lmbridge-tiny"
RANDOM = "bench-random"
SHAPE = gguf_files.Shape(width=512, heads=8, kv_heads=4, layers=9, ffn=1408)
"""About 28 million weights: small enough for two cores, and slower than the built-in model as real ones are."""

PROMPT = "Question {n}: what is a lease, and when does it end?"
FIRST = re.compile(rb'"content":"[^"]')
TOKENS = re.compile(rb'"completion_tokens":\s*(\d+)')


class Size(Struct, frozen=True):
    """How much is measured.

    Attributes:
        seconds: for each row of the table; it decides on the rounds. stretch: seconds that one side is asked at
            a time, or as long as one answer takes. tokens: of each answer.
    """

    seconds: float = 14.0
    stretch: float = 0.25
    tokens: int = 96
    parallel: tuple[int, ...] = (1, 4)


FULL = Size()
QUICK = Size(seconds=2.5, stretch=0.15, tokens=48)


class Side(Struct, frozen=True):
    """Where the same model is asked: `direct`, or through `lmbridge`."""

    name: str
    url: str
    model: str
    headers: tuple[tuple[str, str], ...] = ()
    keep_alive: bool = True


class Stretch(Struct, frozen=True):
    """What some answers one after the other, or side by side, took.

    Attributes:
        rate: tokens per second, of all answers together, reading the prompts included.
        first_ms: median time to the first token.
    """

    rate: float
    first_ms: float


class Row(Struct):
    """A model, asked so many at a time, by both sides."""

    model: str
    parallel: int
    direct: list[Stretch] = []
    through: list[Stretch] = []

    @property
    def ratio(self) -> float | None:
        """Tokens per second through the gateway for each one direct."""
        return ratios([s.rate for s in self.through], [s.rate for s in self.direct])


class Asker:
    """Asks for answers of a fixed length and takes the time."""

    def __init__(self, http: HTTPClient, tokens: int) -> None:
        self._http, self._tokens = http, tokens

    async def one(self, side: Side, n: int) -> tuple[float, int]:
        """One streamed answer: seconds to its first token, and how many it has.

        Raises:
            Failed: the answer is not what it should be.
        """
        body = {
            "model": side.model,
            "messages": [{"role": "user", "content": PROMPT.format(n=n)}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": self._tokens,
            "temperature": 0,
            "ignore_eos": True,
        }
        began, first, pieces = perf_counter(), 0.0, list[bytes]()
        async with await self._http.request(
            "POST",
            f"{side.url}/chat/completions",
            headers=side.headers,
            body=msgspec.json.encode(body),
            keep_alive=side.keep_alive,
        ) as answer:
            async for piece in answer:
                pieces.append(piece)
                if not first and FIRST.search(piece):
                    first = perf_counter() - began
        data = b"".join(pieces)
        counted = TOKENS.findall(data)
        if answer.status != 200 or not first or not counted or b"data: [DONE]" not in data:
            raise Failed(f"{side.name} answered {answer.status}: {data[:300]!r} … {data[-300:]!r}")
        return first, int(counted[-1])

    async def stretch(self, side: Side, n: int, parallel: int, answers: int) -> Stretch:
        """*parallel* callers, each asking for *answers* answers, with prompts from number *n* on."""

        async def caller(which: int) -> list[tuple[float, int]]:
            return [await self.one(side, n + which * answers + i) for i in range(answers)]

        began = perf_counter()
        found = [each for done in await asyncio.gather(*map(caller, range(parallel))) for each in done]
        took = perf_counter() - began
        return Stretch(sum(tokens for _, tokens in found) / took, middle([first for first, _ in found]) * 1000)


@asynccontextmanager
async def _sides(home: Path, url: str, model: str) -> AsyncIterator[tuple[Side, Side]]:
    """Both sides with the model loaded."""
    async with build_hub(Config(home=home)) as hub, hub.lease(model) as lease:
        end = lease.instance.endpoint
        yield (
            Side("direct", end.url, end.model, end.headers, end.keep_alive),
            Side("lmbridge", f"{url}/v1", model),
        )


async def _measure(home: Path, url: str, models: list[str], size: Size) -> list[Row]:
    rows: list[Row] = []
    async with HTTPClient(first_byte_timeout=60, idle_timeout=30) as http:
        asker = Asker(http, size.tokens)
        for model in models:
            async with _sides(home, url, model) as sides:
                rows += [await _row(asker, sides, Row(model, parallel), size) for parallel in size.parallel]
    return rows


async def _row(asker: Asker, sides: tuple[Side, Side], row: Row, size: Size) -> Row:
    """As many short rounds as there is time for: what else the machine does then hits both sides alike."""
    n = 100_000 * row.parallel
    for side in sides:
        await asker.stretch(side, n, row.parallel, 1)  # loads the model behind the gateway, warms both
    began = perf_counter()
    await asker.stretch(sides[0], n + 100, row.parallel, 1)
    once = perf_counter() - began
    answers = max(1, min(20, round(size.stretch / once)))
    rounds = max(2, min(30, round(size.seconds / (2 * once * answers))))
    for turn in range(rounds):
        n += 1000
        for side in sides if turn % 2 else sides[::-1]:
            into = row.direct if side is sides[0] else row.through
            into.append(await asker.stretch(side, n, row.parallel, answers))
    return row


def run(*, quick: bool = False, size: Size | None = None, shape: gguf_files.Shape = SHAPE) -> Part:
    """Measure and judge."""
    import uvloop

    size = size or (QUICK if quick else FULL)
    with TemporaryDirectory(prefix="lmbridge-bench-") as name, ExitStack() as stack:
        home, port = Path(name), free_port()
        gguf_files.chat_model(home / "models" / f"{RANDOM}.gguf", shape=shape)
        log = home / "gateway.log"
        command = [sys.executable, "-m", "lmbridge", "serve", "--port", str(port)]
        running = start(stack, command, env=environment(home), log=log)
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(running, f"{url}/health", log)
        models = uvloop.run(_offered(home))
        try:
            rows = uvloop.run(_measure(home, url, models, size))
        except BridgeError as error:
            raise Failed(str(error)) from error
    return _report(rows, size)


async def _offered(home: Path) -> list[str]:
    async with build_hub(Config(home=home)) as hub:
        there = {model.id for model in await hub.models()}
    return [name for name in (BUILTIN, RANDOM) if name in there]


def _report(rows: list[Row], size: Size) -> Part:
    part = Part(
        "engine",
        f"Engine, answers of {size.tokens} tokens (medians)",
        ("", "at a time", "rounds", "tok/s direct", "through", "ratio", "first token ms direct", "through"),
    )
    for row in rows:
        direct, through = row.direct, row.through
        part.rows.append(
            (
                row.model,
                str(row.parallel),
                str(len(direct)),
                number(middle([s.rate for s in direct])),
                number(middle([s.rate for s in through])),
                f"{row.ratio or 0:.3f}",
                f"{middle([s.first_ms for s in direct]):.1f}",
                f"{middle([s.first_ms for s in through]):.1f}",
            )
        )
        part.figures[f"{row.model} x{row.parallel}"] = {
            "direct_tokens_per_s": [s.rate for s in direct],
            "through_tokens_per_s": [s.rate for s in through],
            "direct_first_ms": [s.first_ms for s in direct],
            "through_first_ms": [s.first_ms for s in through],
            "ratio": row.ratio,
        }
        name = f"tokens/s through the gateway against direct, {row.model}, {row.parallel} at a time"
        part.targets.append(Target(name, row.ratio, 0.97, unit="x"))
    if BUILTIN not in {row.model for row in rows}:
        part.notes.append(f"the built-in model {BUILTIN} is not in this package, so it was not measured")
    return part
