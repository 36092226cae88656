"""The hub: every door's and every caller's way to the models of all providers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from time import monotonic
from types import TracebackType
from typing import Self

from lmbridge.core.errors import BridgeError, ModelNotFound, NoModels, ProviderUnavailable
from lmbridge.core.events import Answer, AnswerBuilder, Embeddings, Event
from lmbridge.core.models import InstanceState, LoadOptions, ModelInfo, ModelKind
from lmbridge.core.provider import Progress, Provider, ProviderState
from lmbridge.core.requests import ChatRequest, EmbedRequest
from lmbridge.hub import routing
from lmbridge.hub.activity import Activity
from lmbridge.hub.leases import Lease, Leases

FRESH_S = 3.0
"""How long a list of models is believed before the providers are asked again."""

DEFAULT_TTL_S = 3600.0
"""How long an idle model stays loaded unless somebody says otherwise."""


class Hub:
    """Owns the providers, the leases, and the choice of a model for a name.

    Args:
        providers: earlier ones win where a name fits several.
        default_model, default_embedding_model: for callers who name none; "" lets the hub choose.
        options: load options for models nobody gave options for.
    """

    def __init__(
        self,
        providers: Sequence[Provider],
        *,
        default_model: str = "",
        default_embedding_model: str = "",
        options: LoadOptions = LoadOptions(),
    ) -> None:
        self.providers = tuple(providers)
        self.activity = Activity()
        self._by_id = {p.id: p for p in self.providers}
        self._defaults: dict[ModelKind, str] = {"chat": default_model, "embedding": default_embedding_model}
        options = options.over(LoadOptions(ttl=DEFAULT_TTL_S))
        self._leases = Leases(self._by_id.__getitem__, options, activity=self.activity)
        self._models: tuple[ModelInfo, ...] = ()
        self._resolved: dict[tuple[str, ModelKind], ModelInfo] = {}
        self._listed_at = -FRESH_S
        self._listing = asyncio.Lock()

    @property
    def where(self) -> str:
        """Where the models run, for people."""
        return "this process"

    # -- what there is ----------------------------------------------------------------------------

    async def probe(self) -> Sequence[ProviderState]:
        """The state of every provider, asked at the same time."""
        return await asyncio.gather(*(p.probe() for p in self.providers))

    async def models(self) -> Sequence[ModelInfo]:
        """Every model of every provider, in the order of the providers."""
        async with self._listing:
            if monotonic() - self._listed_at >= FRESH_S:
                lists = await asyncio.gather(*(_models_of(p) for p in self.providers))
                self._models = tuple(model for models in lists for model in models)
                self._resolved.clear()
                self._listed_at = monotonic()
        return self._models

    async def resolve(self, name: str, kind: ModelKind = "chat") -> ModelInfo:
        """The model a name means; "" means the default of its kind.

        Raises:
            ModelNotFound, NoModels, WrongModelKind, BadModelFile.
        """
        if (known := self._known(name, kind)) is not None:
            return known
        models = await self.models()
        name = name or self._defaults[kind]
        if not name:
            return routing.choose(kind, models, self._leases.names(), self._servers())
        try:
            found = routing.resolve(name, kind, models)
        except (ModelNotFound, NoModels):
            await self._raise_if_down(name)
            raise
        self._resolved[name, kind] = found
        return found

    async def find(self, name: str) -> ModelInfo:
        """The model a name means, whatever it can do; "" means the default for chats.

        Raises:
            ModelNotFound, NoModels, ProviderUnavailable.
        """
        if not name:
            return await self.resolve("")
        try:
            return routing.find(name, await self.models())
        except (ModelNotFound, NoModels):
            await self._raise_if_down(name)
            raise

    async def _raise_if_down(self, name: str) -> None:
        """A name that says whose model it is: if that server is down, this is why it was not found.

        Raises:
            ProviderUnavailable.
        """
        owner = name.partition(":")[0]
        state = await self._by_id[owner].probe() if owner in self._servers() else None
        if state is not None and state.state != "ready":
            told = state.detail.removeprefix(f"The provider {owner!r} cannot be reached: ").rstrip(".")
            raise ProviderUnavailable(owner, told or state.state, hint=state.hint)

    def _known(self, name: str, kind: ModelKind) -> ModelInfo | None:
        """The model of a name that was resolved before, if it is in memory: then nothing has to be asked."""
        model = self._resolved.get((name or self._defaults[kind], kind))
        if model is not None and self._leases.holds(model):
            return model
        return None

    def _servers(self) -> set[str]:
        return {p.id for p in self.providers if p.manifest.category == "server"}

    async def instances(self) -> Sequence[InstanceState]:
        """The models in memory, and who waits for them."""
        return self._leases.states()

    # -- using models -----------------------------------------------------------------------------

    def lease(
        self, name: str, *, kind: ModelKind = "chat", exclusive: bool = False, progress: Progress | None = None
    ) -> Leasing:
        """Hold a model for the length of an `async with`, loaded and with room for one answer.

        Args:
            exclusive: the answer must be repeatable: nobody else is answered meanwhile, where the
                provider needs that.
            progress: called with 0 to 1 while the model loads.

        Raises:
            ModelNotFound, NoModels, WrongModelKind, NotEnoughMemory, BadModelFile, LoadFailed,
            EngineMissing, ProviderUnavailable, ShuttingDown.
        """
        return Leasing(self, name, kind, exclusive, progress)

    async def acquire(self, name: str, kind: ModelKind, exclusive: bool, progress: Progress | None) -> Lease:
        """As `lease`, for those who cannot use a `with`: the caller must `release` it, whatever happens."""
        model = self._known(name, kind) or await self.resolve(name, kind)
        alone = exclusive and self._by_id[model.provider].manifest.seeds_need_solitude
        return await self._leases.acquire(model, alone, progress)

    def lease_at_once(self, name: str, kind: ModelKind, exclusive: bool) -> Lease | None:
        """A lease as of `acquire` if its model is loaded and free, else None. Saves busy doors a coroutine."""
        model = self._known(name, kind)
        if model is None:
            return None
        return self._leases.at_once(model, exclusive and self._by_id[model.provider].manifest.seeds_need_solitude)

    def release(self, lease: Lease) -> None:
        """End a lease."""
        self._leases.release(lease)

    async def load(
        self, name: str, options: LoadOptions = LoadOptions(), progress: Progress | None = None
    ) -> InstanceState:
        """Load a model; loaded already with these options it is left as it is, with others loaded again."""
        model = await self.find(name)
        await self._leases.load(model, options, progress)
        return self._state(model)

    async def unload(self, name: str) -> InstanceState:
        """Give a model's memory back; returns what it was.

        Raises:
            ModelNotFound: it is not loaded. ModelBusy: it is answering somebody.
        """
        loaded = [self._leases.model(n) for n in self._leases.names()]
        model = await self.find(name)
        if model not in loaded:
            raise ModelNotFound(name, [m.id for m in loaded])
        state = self._state(model)
        await self._leases.unload(model)
        return state

    def _state(self, model: ModelInfo) -> InstanceState:
        mine = (s for s in self._leases.states() if (s.provider, s.model) == (model.provider, model.id))
        return next(mine, InstanceState(model.id, model.provider, "unloading"))

    def chat(self, request: ChatRequest) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Stream an answer: `async with hub.chat(request) as events: async for event in events: ...`."""
        return self._chat(request)

    @asynccontextmanager
    async def _chat(self, request: ChatRequest) -> AsyncIterator[AsyncIterator[Event]]:
        async with AsyncExitStack() as stack:
            lease = await stack.enter_async_context(
                self.lease(request.model, exclusive=request.sampling.seed is not None)
            )
            await stack.enter_async_context(lease.explaining())
            yield await stack.enter_async_context(lease.provider.chat(lease.instance, request))

    async def answer(self, request: ChatRequest) -> Answer:
        """The whole answer at once."""
        builder = AnswerBuilder()
        async with self.chat(request) as events:
            async for event in events:
                builder.feed(event)
        return builder.close()

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Vectors for texts."""
        async with self.lease(request.model, kind="embedding") as lease, lease.explaining():
            return await lease.provider.embed(lease.instance, request)

    # -- life -------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """End every lease, instance and provider. Idempotent."""
        await self._leases.aclose()
        await asyncio.gather(*(p.aclose() for p in self.providers))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class Leasing:
    """What `Hub.lease` returns: an `async with` around one lease. A class, because the gateway enters
    one for every request and a generator would cost it several microseconds each time."""

    __slots__ = ("_ask", "_hub", "_lease")

    def __init__(self, hub: Hub, name: str, kind: ModelKind, exclusive: bool, progress: Progress | None) -> None:
        self._hub, self._ask = hub, (name, kind, exclusive, progress)

    async def __aenter__(self) -> Lease:
        self._lease = await self._hub.acquire(*self._ask)
        return self._lease

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hub.release(self._lease)


async def _models_of(provider: Provider) -> Sequence[ModelInfo]:
    """A provider's models; one that is down has none, and `probe` says why."""
    try:
        return await provider.models()
    except BridgeError:
        return []
