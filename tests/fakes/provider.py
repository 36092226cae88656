"""A provider that runs in the test itself and does exactly what the test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import ClassVar, Literal

from msgspec.structs import replace

from lmbridge.core.errors import BridgeError, ContextExceeded, EngineCrashed, ModelGone, ProviderUnavailable
from lmbridge.core.events import Embeddings, Event, Finished, Started, TextDelta, ToolCallDelta, Usage
from lmbridge.core.models import Download, Endpoint, Instance, LoadOptions, ModelInfo
from lmbridge.core.provider import DownloadProgress, Manifest, Progress, ProviderContext, ProviderState
from lmbridge.core.requests import ChatRequest, EmbedRequest


class ScriptedProvider:
    """Loads when it may (`gate`), fails when told (`failure`), and counts what was asked of it.

    Args:
        models: what it offers. sizes: bytes that loading a model takes, by id.
        room: bytes of the machine's memory; what is loaded counts against it.
        slots: answers at a time, of every instance.
    """

    manifest: ClassVar[Manifest] = Manifest(
        "scripted", "Scripted", "local", "Does what a test tells it.", seeds_need_solitude=True, copies=True
    )

    def __init__(
        self,
        models: Sequence[ModelInfo],
        *,
        sizes: Mapping[str, int] | None = None,
        room: int | None = None,
        slots: int | None = 4,
    ) -> None:
        self.id = "scripted"
        self._offered, self._sizes, self._total, self._slots = tuple(models), sizes or {}, room, slots
        self._keys = count()
        self._dying: dict[str, asyncio.Future[BridgeError]] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None
        self.loads: list[str] = []
        self.unloads: list[str] = []
        self.unloaded = asyncio.Event()
        self.alive: dict[str, Instance] = {}
        self.most_in_memory = 0
        self.closed = False

    @classmethod
    def create(cls, settings: Mapping[str, object], context: ProviderContext) -> ScriptedProvider:
        return cls([])

    async def probe(self) -> ProviderState:
        return ProviderState(self.id, "ready")

    async def models(self) -> Sequence[ModelInfo]:
        return self._offered

    async def estimate(self, model: ModelInfo, options: LoadOptions) -> int:
        return self._sizes.get(model.id, 0)

    async def room(self) -> int | None:
        if self._total is None:
            return None
        return self._total - sum(i.memory for i in self.alive.values())

    async def load(self, model: ModelInfo, options: LoadOptions, progress: Progress | None = None) -> Instance:
        self.loads.append(model.id)
        if progress is not None:
            progress(0.5)
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        key = f"{model.id}#{next(self._keys)}"
        memory = self._sizes.get(model.id, 0)
        endpoint = Endpoint("http://127.0.0.1:9", (), model.id)
        instance = Instance(key, model, endpoint, slots=self._slots, memory=memory, options=options)
        self.alive[key] = instance
        self.most_in_memory = max(self.most_in_memory, sum(i.memory for i in self.alive.values()))
        self._dying[key] = asyncio.get_running_loop().create_future()
        return instance

    async def unload(self, instance: Instance) -> None:
        await asyncio.sleep(0)
        self.unloads.append(instance.model.id)
        self.unloaded.set()
        self.alive.pop(instance.key, None)

    async def gone(self, instance: Instance) -> BridgeError:
        return await self._dying[instance.key]

    def crash(self, instance: Instance) -> None:
        """Let an instance die by itself."""
        self.alive.pop(instance.key)
        self._dying[instance.key].set_result(EngineCrashed(instance.model.id, "killed by the test"))

    def prepare(self, instance: Instance, body: Mapping[str, object]) -> Mapping[str, object]:
        return body

    @asynccontextmanager
    async def chat(self, instance: Instance, request: ChatRequest) -> AsyncIterator[AsyncIterator[Event]]:
        yield self._events(instance, request)

    async def _events(self, instance: Instance, request: ChatRequest) -> AsyncIterator[Event]:
        yield Started(self.id, instance.model.id)
        for word in request.turns[-1].text.split(" "):
            if self.failure is not None:
                raise self.failure
            yield TextDelta(word)
        yield Finished("stop")

    async def embed(self, instance: Instance, request: EmbedRequest) -> Embeddings:
        if self.failure is not None:
            raise self.failure
        return Embeddings(tuple((float(len(text)),) for text in request.inputs), self.id, instance.model.id)

    async def aclose(self) -> None:
        self.closed = True
        self.alive.clear()


class ScriptedCounter(ScriptedProvider):
    """The same with a context, for which every word of a turn and every tool counts as a token.

    Attributes:
        context: tokens of context of what it loads. counts: how often it was asked to count.
    """

    context = 8
    counts = 0

    async def load(self, model: ModelInfo, options: LoadOptions, progress: Progress | None = None) -> Instance:
        return replace(await super().load(model, options, progress), context_length=self.context)

    async def count(self, instance: Instance, request: ChatRequest) -> int:
        self.counts += 1
        if self.failure is not None:
            raise self.failure
        return sum(len(turn.text.split()) for turn in request.turns) + len(request.tools)

    async def _events(self, instance: Instance, request: ChatRequest) -> AsyncIterator[Event]:
        if (tokens := await self.count(instance, request)) >= self.context:
            raise ContextExceeded(tokens, self.context)
        async for event in super()._events(instance, request):
            yield event


class ScriptedRuntime(ScriptedProvider):
    """The same as a program of its own: it keeps models by itself, downloads, and gives names to models.

    Args:
        state: what a probe finds.
        names: names that its settings gave to models.
        fetches: whether a missing model is downloaded without further asking.

    Attributes:
        sure: whether its instances are known to be there without asking. asked: how often it was asked.
        nearby: whether it is on this machine or its network.
    """

    manifest: ClassVar[Manifest] = Manifest("runtime", "Runtime", "server", "Does what a test tells it.")

    def __init__(
        self,
        models: Sequence[ModelInfo],
        *,
        state: Literal["ready", "unavailable", "needs_key", "foreign"] = "ready",
        names: Mapping[str, str] | None = None,
        fetches: bool = False,
    ) -> None:
        super().__init__(models)
        self.id = "runtime"
        self.state = state
        self.names = names or {}
        self.fetches = fetches
        self.sure = self.nearby = True
        self.asked = 0
        self.kept: list[Instance] = []
        self.downloads: list[str] = []
        self.downloading = asyncio.Event()
        self.stopping = asyncio.Event()

    def keep(self, model: ModelInfo, name: str = "") -> Instance:
        """Let it hold a model as if another program had loaded it."""
        endpoint = Endpoint("http://127.0.0.1:9", (), name or model.id)
        instance = Instance(f"kept#{next(self._keys)}", model, endpoint, context_length=512)
        self.kept.append(instance)
        return instance

    async def probe(self) -> ProviderState:
        return ProviderState(self.id, self.state, "It sleeps.", "Wake it with `runtime start`.")

    async def models(self) -> Sequence[ModelInfo]:
        if self.state != "ready" and not all(m.stale_s for m in self._offered):
            raise ProviderUnavailable(self.id, "it sleeps")
        return self._offered

    async def loaded(self) -> Sequence[Instance]:
        return [*self.kept, *self.alive.values()]

    def sure_of(self, instance: Instance) -> bool:
        return self.sure

    async def confirm(self, instance: Instance) -> bool:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        there = instance in self.alive.values()
        if not there:
            self._dying[instance.key].set_result(ModelGone(self.id, instance.model.id))
        return there

    async def doubt(self, instance: Instance, error: BridgeError) -> BridgeError:
        if instance in self.alive.values():
            return error
        gone = ModelGone(self.id, instance.model.id)
        self._dying[instance.key].set_result(gone)
        return gone

    async def unload(self, instance: Instance) -> None:
        self.kept = [kept for kept in self.kept if kept.key != instance.key]
        await super().unload(instance)

    async def download(self, name: str, progress: DownloadProgress | None = None) -> str:
        self.downloads.append(name)
        if progress is not None:
            progress(Download("downloading", 1, 2))
        self.downloading.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.stopping.set()
            raise
        if self.failure is not None:
            raise self.failure
        self._offered = (*self._offered, ModelInfo(name, self.id))
        return name


class ScriptedTurns(ScriptedProvider):
    """The same, with answers that a test wrote down: text, calls (`called`), or any events; the last one stays.

    Attributes:
        requests: what was asked. writing: set when it stops in the middle of an answer, where that has `WAIT`.
        goes_on: to be set for it to go on then.
    """

    WAIT: ClassVar[TextDelta] = TextDelta("\0")

    def __init__(self, *turns: str | Sequence[Event] | BridgeError) -> None:
        super().__init__([ModelInfo("talker", "scripted")])
        self.turns = list(turns)
        self.requests: list[ChatRequest] = []
        self.writing, self.goes_on = asyncio.Event(), asyncio.Event()

    async def _events(self, instance: Instance, request: ChatRequest) -> AsyncIterator[Event]:
        self.requests.append(request)
        turn = self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]
        if isinstance(turn, BridgeError):
            raise turn
        yield Started(self.id, instance.model.id)
        if isinstance(turn, str):
            turn = [TextDelta(turn), Finished("stop", Usage(10, 2))]
        for event in turn:
            if event is self.WAIT:
                self.writing.set()
                await self.goes_on.wait()
            else:
                yield event


def called(*calls: tuple[str, str], reason: str = "tool_calls") -> list[Event]:
    """An answer of calls: names and arguments."""
    deltas: list[Event] = [
        ToolCallDelta(at, f"call_{at}", name, arguments) for at, (name, arguments) in enumerate(calls)
    ]
    return [*deltas, Finished(reason, Usage(20, 5))]
