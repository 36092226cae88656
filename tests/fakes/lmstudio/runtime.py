"""What runs inside the fake: models on disk, instances in memory, downloads; loading, idle times, eviction.

Time passes by the event loop's clock and by `advance`, so that a test need not wait for an idle model to go.
Downloads make a step each time somebody asks about them.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from msgspec import Struct, field
from tests.fakes.lmstudio import refusals
from tests.fakes.lmstudio.models import CATALOGUE, Body, FakeModel

Told = Callable[[float], Awaitable[None]]
LOAD_STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)
DOWNLOAD_STEPS = 4


async def unheard(part: float) -> None:
    """Nobody listens to how far a load is."""


class FakeInstance:
    """A model in memory.

    Attributes:
        jit: a request loaded it, not a person: it goes when idle, or when another comes.
        ttl: seconds it may be idle; None for ever.
        context_length: of each answer. status: as `lms ps --json` tells it.
        queued: requests that wait for a place.
    """

    def __init__(self, id: str, model: FakeModel, context_length: int) -> None:
        self.id, self.model, self.context_length = id, model, context_length
        self.parallel = 4
        self.jit = False
        self.ttl: float | None = None
        self.ready = False
        self.last_used = 0.0
        self.status = "idle"
        self.extra: Body = {}
        self.queued = 0
        self._places: asyncio.Semaphore | None = None

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """One of its places to answer at; more than `parallel` requests wait."""
        self._places = self._places or asyncio.Semaphore(self.parallel)
        self.queued += 1
        try:
            await self._places.acquire()
        finally:
            self.queued -= 1
        self.status = "generating" if self.model.kind == "llm" else "computingEmbedding"
        try:
            yield
        finally:
            self._places.release()
            self.status = "idle"

    def config(self) -> Body:
        """What it was loaded with, as the native list tells it."""
        if self.model.kind == "embedding":
            return {"context_length": self.context_length}
        return {"context_length": self.context_length, **self.extra, "parallel": self.parallel}


class FakeDownload(Struct):
    """A download job. `outcome` is what becomes of it."""

    id: str
    wanted: str
    model: FakeModel
    outcome: str = "completed"
    steps: int = 0
    started: float = field(default_factory=time.time)
    sized: bool = True

    @property
    def status(self) -> str:
        if self.outcome == "stuck" or self.steps < DOWNLOAD_STEPS // 2:
            return "downloading"
        if self.outcome in ("failed", "paused"):
            return self.outcome
        if self.steps >= DOWNLOAD_STEPS:
            return "completed"
        return "verifying" if self.outcome == "verified" else "downloading"

    @property
    def done_bytes(self) -> int:
        return self.model.size_bytes * min(self.steps, DOWNLOAD_STEPS) // DOWNLOAD_STEPS

    def body(self) -> Body:
        """As `/api/v1/models/download/status` tells it."""
        body: Body = {"job_id": self.id, "status": self.status}
        if self.status == "downloading":
            body |= {"bytes_per_second": 25_000_000, "estimated_completion": iso(time.time() + 60)}
        if self.status == "completed":
            body["completed_at"] = iso(time.time())
        if self.sized:
            body |= {"total_size_bytes": self.model.size_bytes, "downloaded_bytes": self.done_bytes}
        return body | {"started_at": iso(self.started)}


class Runtime:
    """The core of the fake: what the REST server and `lms` both look at.

    Attributes:
        models: what is on disk. instances: what is in memory.
        jit: requests load models by themselves. evict: only the last model loaded so is kept.
        jit_ttl: seconds such a model may be idle.
        default_context: tokens of context of such a model, and of a load that names none.
        load_s: seconds a load takes. gate: a load waits here, half done, while it is cleared.
        memory: bytes of model files that fit; None for any.
        catalogue: what can be downloaded. outcome: what becomes of downloads (`completed`, `failed`,
            `paused`, `stuck`; `vanished`: completed, and yet not there; `verified`: in a state that nobody knows
            before it is completed). sized: whether their sizes are known.
        loads: keys of what was loaded, in order, by whomever. changed: called when `models` change.
    """

    def __init__(self, models: Sequence[FakeModel], version: tuple[int, ...], *, jit: bool = True) -> None:
        self.models, self.jit, self.version = list(models), jit, version
        self.instances: list[FakeInstance] = []
        self.evict, self.jit_ttl = True, 3600.0
        self.default_context = 8192 if version >= (0, 4, 16) else 4096
        self.load_s = 0.0
        self.gate = asyncio.Event()
        self.gate.set()
        self.memory: int | None = None
        self.catalogue = dict(CATALOGUE)
        self.downloads: dict[str, FakeDownload] = {}
        self.outcome, self.sized = "completed", True
        self.loads: list[str] = []
        self.changed: Callable[[], None] = lambda: None
        self._jit_lock = asyncio.Lock()
        self._skipped = 0.0

    @property
    def now(self) -> float:
        return time.monotonic() + self._skipped

    def advance(self, seconds: float) -> None:
        """Let time pass for idle models."""
        self._skipped += seconds
        self.sweep()

    def sweep(self) -> None:
        """Drop what has been idle for too long."""
        for each in list(self.instances):
            idle = each.ready and each.status == "idle"
            if idle and each.ttl is not None and self.now - each.last_used > each.ttl:
                self.instances.remove(each)

    def loaded(self, kind: str = "") -> list[FakeInstance]:
        """What is in memory and ready."""
        self.sweep()
        return [each for each in self.instances if each.ready and kind in ("", each.model.kind)]

    def instances_of(self, model: FakeModel) -> list[FakeInstance]:
        return [each for each in self.loaded() if each.model.key == model.key]

    def on_disk(self, name: str) -> FakeModel | None:
        """The model of that key or variant, in whatever letter case."""
        return next((model for model in self.models if name.lower() in model.names), None)

    def find(self, name: str) -> FakeInstance | None:
        """What is loaded under that name: an id to the letter, else a key in any letter case."""
        ready = self.loaded()
        by_id = next((each for each in ready if each.id == name), None)
        return by_id or next((each for each in ready if name.lower() in each.model.names), None)

    async def serving(self, name: object, *, kind: str = "llm", ttl: object = None) -> FakeInstance:
        """What answers a request below `/v1` that names a model so, loading it if need be.

        An unknown name is answered by the only model loaded, without a word.

        Raises:
            Refusal: nothing, or no one model in particular, could answer.
        """
        if isinstance(name, str) and name:
            if found := self.find(name):
                return self.touch(found)
            model = self.on_disk(name)
            if model is not None:
                if not self.jit:
                    raise self._none_such(name)
                return self.touch(await self.load_just_in_time(model, ttl))
        elif name is not None:
            raise refusals.invalid_model(str(name), [each.id for each in self.loaded("llm")])
        ready = self.loaded(kind)
        if len(ready) == 1:
            return self.touch(ready[0])
        raise self._none_such(str(name))

    def _none_such(self, name: str) -> refusals.Refusal:
        ready = [each.id for each in self.loaded()]
        return refusals.invalid_model(name, ready) if ready else refusals.no_models()

    async def strictly(self, name: str) -> FakeInstance | FakeModel:
        """What `/api/v1/chat` means by a name: an instance, or a model that is to be loaded.

        Raises:
            Refusal: there is none.
        """
        if found := self.find(name):
            return self.touch(found)
        model = self.on_disk(name)
        if model is None or not self.jit:
            raise refusals.native(404, "model_not_found", f"Model '{name}' was not found.", "model_not_found")
        return model

    def touch(self, instance: FakeInstance) -> FakeInstance:
        """A request uses it: its idle time starts again."""
        instance.last_used = self.now
        return instance

    async def load_just_in_time(
        self, model: FakeModel, ttl: object = None, options: Body | None = None, told: Told = unheard
    ) -> FakeInstance:
        """Load it for a request; requests that come meanwhile wait for the same load."""
        async with self._jit_lock:
            if found := self.instances_of(model):
                return found[0]
            if self.evict:
                self.instances = [each for each in self.instances if not each.jit]
            instance = await self.load(model, options, told=told)
            instance.jit, instance.ttl = True, self.jit_ttl
            if isinstance(ttl, int | float) and ttl >= 0:  # anything else is taken and ignored
                instance.ttl = float(ttl)
            return instance

    async def load(
        self, model: FakeModel, options: Body | None = None, identifier: str = "", told: Told = unheard
    ) -> FakeInstance:
        """Load one more instance of it; *told* hears how far it is.

        Raises:
            Refusal: it does not fit.
        """
        self._check_memory(model)
        options = options or {}
        instance = FakeInstance(identifier or self._free_id(model.key), model, self._context(model, options))
        instance.parallel = options.get("parallel") or 4
        ignored = ("model", "context_length", "parallel", "echo_load_config")
        instance.extra = {name: value for name, value in options.items() if name not in ignored}
        self.instances.append(instance)
        self.loads.append(model.key)
        try:
            for step in LOAD_STEPS:
                await told(step)
                await asyncio.sleep(self.load_s / len(LOAD_STEPS))
                if step == 0.5:
                    await self.gate.wait()
        except BaseException:
            self.instances.remove(instance)
            raise
        instance.ready = True
        return self.touch(instance)

    def _check_memory(self, model: FakeModel) -> None:
        held = sum(each.model.size_bytes for each in self.instances)
        if self.memory is not None and held + model.size_bytes > self.memory:
            reason = "Model loading was stopped due to insufficient system resources."
            raise refusals.native(500, "model_load_failed", f"Failed to load model. {reason}")

    def hold(self, key: str, context_length: int | None = None, identifier: str = "") -> FakeInstance:
        """Have a model loaded at once, as if a person had done so before the test."""
        model = self.on_disk(key)
        assert model is not None, key
        options = {"context_length": context_length} if context_length else {}
        instance = FakeInstance(identifier or self._free_id(key), model, self._context(model, options))
        instance.ready = True
        self.instances.append(instance)
        return self.touch(instance)

    def unload(self, id: str) -> bool:
        """Drop the instance of that id; whether there was one."""
        found = next((each for each in self.loaded() if each.id == id), None)
        if found is not None:
            self.instances.remove(found)
        return found is not None

    def _context(self, model: FakeModel, options: Body) -> int:
        asked = options.get("context_length")  # never clamped, as there
        return asked if isinstance(asked, int) else min(self.default_context, model.max_context_length)

    def _free_id(self, key: str) -> str:
        taken = {each.id for each in self.instances}
        if key not in taken:
            return key
        number = 2
        while f"{key}:{number}" in taken:
            number += 1
        return f"{key}:{number}"

    def download(self, wanted: str) -> FakeDownload | FakeModel:
        """The job that downloads it, a running one again; or the model, where it is here already.

        Raises:
            Refusal: nobody has heard of it.
        """
        model = self.catalogue.get(wanted.lower().partition("@")[0])
        if model is None:
            message = f"Cannot find a model to download for '{wanted}'."
            raise refusals.native(404, "model_not_found", message, "model_not_found", "model")
        if self.on_disk(model.key) is not None:
            return model
        for job in self.downloads.values():
            if job.wanted == wanted and job.status == "downloading":
                return job
        job = FakeDownload(f"job_{secrets.token_hex(5)}", wanted, model, self.outcome, sized=self.sized)
        self.downloads[job.id] = job
        return job

    def step(self, job: FakeDownload) -> None:
        """Let a download go on by one step."""
        job.steps += 1
        done = job.outcome != "vanished" and job.status == "completed"
        if done and self.on_disk(job.model.key) is None:
            self.models.append(job.model)
            self.changed()


def iso(seconds: float) -> str:
    """A time as JavaScript writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
