"""What `act` costs beside model and tools: rounds against a provider that answers at once. `python -m bench act`.

Each round asks through the hub (lease, normal form), checks and carries out one call of a Python function, and
adds both turns to the conversation, which is as long as it is in practice. The same requests without `act` are the
floor. A function that is not `async` has a thread of its own for each call: what the tool costs, and not `act`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import ClassVar

from bench.report import Part, Target, middle
from lmbridge.core.errors import BridgeError
from lmbridge.core.events import Embeddings, Event, Finished, Started, TextDelta, ToolCallDelta, Usage
from lmbridge.core.models import Endpoint, Instance, LoadOptions, ModelInfo
from lmbridge.core.provider import Manifest, Progress, ProviderContext, ProviderState
from lmbridge.core.requests import ChatRequest, EmbedRequest
from lmbridge.hub.hub import Hub
from lmbridge.tools.functions import FunctionTools

LIMIT_MS = 1.0
"""Most that a round may cost."""
ROUNDS = 20
"""Of one run: more than most need."""


class Instant:
    """Calls `add` until it has done so often enough, then says so. Takes no time."""

    manifest: ClassVar[Manifest] = Manifest("instant", "Instant", "local", "Answers at once.")
    id = "instant"

    @classmethod
    def create(cls, settings: Mapping[str, object], context: ProviderContext) -> Instant:
        return cls()

    async def probe(self) -> ProviderState:
        return ProviderState(self.id, "ready")

    async def models(self) -> Sequence[ModelInfo]:
        return [ModelInfo("model", self.id)]

    async def estimate(self, model: ModelInfo, options: LoadOptions) -> int:
        return 0

    async def room(self) -> int | None:
        return None

    async def load(self, model: ModelInfo, options: LoadOptions, progress: Progress | None = None) -> Instance:
        return Instance("instant", model, Endpoint("http://127.0.0.1:9", (), model.id), slots=4)

    async def unload(self, instance: Instance) -> None:
        pass

    async def gone(self, instance: Instance) -> BridgeError:
        return await asyncio.get_running_loop().create_future()

    def prepare(self, instance: Instance, body: Mapping[str, object]) -> Mapping[str, object]:
        return body

    @asynccontextmanager
    async def chat(self, instance: Instance, request: ChatRequest) -> AsyncIterator[AsyncIterator[Event]]:
        yield self._events(request)

    async def _events(self, request: ChatRequest) -> AsyncIterator[Event]:
        done = sum(turn.role == "tool" for turn in request.turns)
        yield Started(self.id, "model")
        if done < ROUNDS - 1:
            yield ToolCallDelta(0, f"call_{done}", "add", f'{{"a": {done}, "b": 1}}')
            yield Finished("tool_calls", Usage(100, 10))
        else:
            yield TextDelta("That is all.")
            yield Finished("stop", Usage(100, 10))

    async def embed(self, instance: Instance, request: EmbedRequest) -> Embeddings:
        raise NotImplementedError

    async def aclose(self) -> None:
        pass


async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def add_in_a_thread(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


add_in_a_thread.__name__ = "add"


async def measure(repeats: int) -> dict[str, list[float]]:
    """Milliseconds of a round, by way."""
    took: dict[str, list[float]] = {"act, async function": [], "act, function in a thread": [], "hub alone": []}
    async with Hub([Instant()]) as hub:
        model = await hub.model("model")
        request = ChatRequest("instant:model", "Add.", tools=tuple(await FunctionTools([add]).tools()))
        for _ in range(repeats):
            for way, function in (("act, async function", add), ("act, function in a thread", add_in_a_thread)):
                began = perf_counter()
                result = await model.act("Add.", [FunctionTools([function])])
                took[way].append((perf_counter() - began) / result.rounds * 1e3)
            began = perf_counter()
            for _ in range(ROUNDS):
                await hub.answer(request)
            took["hub alone"].append((perf_counter() - began) / ROUNDS * 1e3)
    return took


def run(*, quick: bool = False, repeats: int = 0) -> Part:
    """Measure and judge."""
    repeats = repeats or (10 if quick else 100)
    took = asyncio.run(measure(repeats))
    part = Part(
        "act",
        f"act: what a round costs beside model and tool (medians of {repeats} runs of {ROUNDS} rounds)",
        ("", "ms/round"),
    )
    for way, each in took.items():
        part.rows.append((way, f"{middle(each):.3f}"))
        part.figures[way] = {"ms_per_round": middle(each)}
    first = next(iter(took))
    part.targets.append(Target(f"a round of {first}", middle(took[first]), LIMIT_MS, at_most=True, unit=" ms"))
    return part
