"""The hub: every door's and every caller's way to the models of all providers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from lmbridge.core.errors import (
    ContextExceeded,
    ModelNotFound,
    NoModels,
    ShuttingDown,
)
from lmbridge.core.events import Answer, AnswerBuilder, Embeddings, Event
from lmbridge.core.handle import ProviderHandle
from lmbridge.core.model import Model
from lmbridge.core.models import InstanceState, LoadOptions, ModelInfo, ModelKind
from lmbridge.core.provider import (
    Downloader,
    DownloadProgress,
    Progress,
    Provider,
    ProviderState,
    Remembering,
)
from lmbridge.core.requests import ChatRequest, EmbedRequest
from lmbridge.core.usage import UsageBy, UsageReport, Used, checked_task
from lmbridge.hub import context, faults
from lmbridge.hub.act.actor import HubActor
from lmbridge.hub.act.tooling import ToolboxOf
from lmbridge.hub.activity import Activity
from lmbridge.hub.answering import Answering
from lmbridge.hub.catalogue import Catalogue
from lmbridge.hub.counting import Counting
from lmbridge.hub.downloads import Downloads
from lmbridge.hub.lease import Lease
from lmbridge.hub.leases import Leases
from lmbridge.hub.leasing import Leasing
from lmbridge.hub.memory import Memory
from lmbridge.hub.roster import Roster
from lmbridge.hub.routing import usable
from lmbridge.hub.waiting import Caller, Queued

if TYPE_CHECKING:
    from lmbridge.hub.usage import Ledger

DEFAULT_TTL_S = 3600.0
"""How long an idle model stays loaded unless somebody says otherwise."""


class Attached(Protocol):
    """What ends with the hub."""

    async def aclose(self) -> None:
        """End. Idempotent."""


class Hub:
    """Owns the providers, the leases, and the choice of a model for a name.

    Args:
        providers: earlier ones win where a name fits several.
        default_model, default_embedding_model: for callers who name none; "" lets the hub choose.
        options: load options for models nobody gave options for.
        jit: whether a request loads the model it wants (just in time); without, `load` must have done so. What
            servers of their own keep out of our sight is asked all the same.
        auto_evict: whether only the last model that a request loaded stays; others go when they are idle.
        truncate: whether conversations that do not fit are trimmed (`hub.context`) although their callers did not
            ask for it, where their tokens can be counted.
        default_provider: id of the one that chats go to which name no model, unless *default_model* does; "" lets
            the hub choose.
        toolbox_of: makes tools of Python functions, for `Model.act`.
        ledger: where every call is written down; None for nowhere. It ends with the hub.
        attached: what came with the providers and is to end after them.

    Attributes:
        attached: what ends with it.
        substitutes: whether the only chat model in memory answers for names that nobody knows, as LM Studio does.
    """

    def __init__(
        self,
        providers: Sequence[Provider],
        *,
        default_model: str = "",
        default_embedding_model: str = "",
        options: LoadOptions = LoadOptions(),
        jit: bool = True,
        auto_evict: bool = False,
        truncate: bool = False,
        default_provider: str = "",
        toolbox_of: ToolboxOf | None = None,
        ledger: Ledger | None = None,
        attached: Sequence[Attached] = (),
    ) -> None:
        self._roster = Roster(providers, default_provider)
        self.attached = tuple(attached)
        self._closed = False
        self.jit, self.truncate = jit, truncate
        self._actor = HubActor(toolbox_of)
        self.substitutes = False
        self.activity, self._ledger = Activity(), ledger
        if ledger is not None:
            self.activity.keep(ledger.note)
        options = options.over(LoadOptions(ttl=DEFAULT_TTL_S))
        self._leases = Leases(self._roster.of, options, activity=self.activity, jit=jit, auto_evict=auto_evict)
        defaults: dict[ModelKind, str] = {"chat": default_model, "embedding": default_embedding_model}
        self._catalogue = Catalogue(
            self._roster, defaults, self._leases.holds, self._leases.names, self._leases.copies
        )
        self._memory = Memory(self._roster, self._catalogue, self._leases)
        self._downloads = Downloads(self._roster)

    @property
    def where(self) -> str:
        """Where the models run, for people."""
        return "this process"

    # -- what there is ----------------------------------------------------------------------------

    @property
    def providers(self) -> tuple[Provider, ...]:
        """The providers there are now, in their order."""
        return self._roster.all

    async def probe(self) -> Sequence[ProviderState]:
        """The state of every provider, asked at the same time."""
        return await self._roster.probe()

    async def models(self) -> Sequence[ModelInfo]:
        """Every model of every provider, in the order of the providers."""
        return await self._catalogue.models()

    async def refresh(self, provider: str = "") -> Sequence[ModelInfo]:
        """Every model of every provider, asked anew; see `AnyHub.refresh`."""
        for each in self.providers:
            if provider in ("", each.id) and isinstance(each, Remembering):
                each.forget()
        self._catalogue.forget()
        return await self._catalogue.models()

    def provider(self, id: str = "") -> ProviderHandle:
        """One provider, with methods that ask it alone; "" for whichever answers who names no model."""
        return ProviderHandle(self, id)

    async def default_provider(self) -> str:
        """Id of the provider that answers who names no model; "" where none was chosen and the hub chooses."""
        return self._roster.default

    # -- providers that come and go ---------------------------------------------------------------

    def register(self, provider: Provider, *, before: str = "") -> None:
        """One more place where models run; see `AnyHub.register`."""
        if self._closed:
            raise ShuttingDown
        self._roster.add(provider, before)
        self._catalogue.forget()
        self.activity.registered(provider.id)

    async def unregister(self, id: str) -> None:
        """End a provider, and what it has in memory; see `AnyHub.unregister`."""
        provider = self._roster.named(id)
        self._leases.retire(id)
        # Nothing is awaited before this, so that no request can be given one of its models meanwhile.
        self._roster.remove(provider)
        self._catalogue.forget()
        self._downloads.stop(id)
        self.activity.unregistered(id, self._roster.default)
        try:
            await faults.asked(id, provider.aclose())
        finally:
            self._leases.settle()

    # -- which model ------------------------------------------------------------------------------

    async def resolve(self, name: str, kind: ModelKind = "chat") -> ModelInfo:
        """The model a name means; "" means the default of its kind, `PROVIDER:` that of a provider.

        Raises:
            ModelNotFound, NoModels, WrongModelKind, BadModelFile, ProviderUnavailable.
        """
        return await self._catalogue.resolve(name, kind)

    async def model(self, name: str = "", kind: ModelKind = "chat") -> Model:
        """One model, with methods to talk with it; see `AnyHub.model`."""
        try:
            info = await self.resolve(name, kind)
        except (ModelNotFound, NoModels) as error:
            info = usable(await self._fetched(name, error), kind)
        return Model(self, info, self._actor)

    async def find(self, name: str) -> ModelInfo:
        """The model a name means, whatever it can do; "" means the default for chats.

        Raises:
            ModelNotFound, NoModels, ProviderUnavailable.
        """
        return await self._catalogue.find(name)

    async def instances(self) -> Sequence[InstanceState]:
        """The models in memory, and who waits for them; those that a runtime holds by itself too."""
        return await self._memory.states()

    # -- getting models ---------------------------------------------------------------------------

    async def download(
        self, name: str, *, provider: str = "", progress: DownloadProgress | None = None
    ) -> ModelInfo:
        """Get a model that is not here yet; see `AnyHub.download`."""
        owner, colon, rest = name.partition(":")
        if not provider and colon and owner in self._roster.by_id:
            provider, name = owner, rest
        if provider:
            self._roster.named(provider)
        return await self._download(await self._downloads.choose(provider), name, progress)

    async def _download(
        self, provider: Downloader, name: str, progress: DownloadProgress | None = None
    ) -> ModelInfo:
        model = await self._downloads.get(provider, name, progress)
        self._catalogue.forget()
        return await self._catalogue.find(f"{provider.id}:{model}")

    async def _fetched(self, name: str, error: ModelNotFound | NoModels) -> ModelInfo:
        """A missing model, downloaded if the settings allow that.

        Raises:
            ModelNotFound, NoModels: they do not. And as `download`.
        """
        fetcher = await self._downloads.fetcher(name)
        if fetcher is None:
            raise error
        with self._downloads.unasked(name):
            return await self._download(fetcher, name.removeprefix(f"{fetcher.id}:"))

    # -- using models -----------------------------------------------------------------------------

    def lease(
        self,
        name: str,
        *,
        kind: ModelKind = "chat",
        exclusive: bool = False,
        progress: Progress | None = None,
        options: LoadOptions = LoadOptions(),
        queued: Queued | None = None,
    ) -> Leasing:
        """Hold a model for the length of an `async with`, loaded and with room for one answer.

        Args:
            exclusive: the answer must be repeatable: nobody else is answered meanwhile, where the
                provider needs that.
            progress: called with 0 to 1 while the model loads.
            options: how to load the model, used only if this request is what causes the load.
            queued: called with the number of callers ahead for the same model, whenever that changes.

        Raises:
            ModelNotFound, NoModels, WrongModelKind, ModelNotLoaded, NotEnoughMemory, BadModelFile, LoadFailed,
            EngineMissing, ProviderUnavailable, ShuttingDown. InvalidRequest: an option that cannot be.
        """
        return Leasing(self, name, kind, exclusive, progress, options, queued)

    async def acquire(
        self,
        name: str,
        kind: ModelKind,
        exclusive: bool,
        progress: Progress | None,
        options: LoadOptions = LoadOptions(),
        queued: Queued | None = None,
    ) -> Lease:
        """As `lease`, for those who cannot use a `with`: the caller must `release` it, whatever happens."""
        model = self._catalogue.known(name, kind)
        if model is None:
            try:
                model = await self._catalogue.resolve(name, kind)
            except (ModelNotFound, NoModels) as error:
                model = await self._memory.only_chat() if self.substitutes and kind == "chat" else None
                if model is None and not self.jit:
                    raise
                model = model or usable(await self._fetched(name, error), kind)
        alone = exclusive and self._roster.of(model.provider).manifest.seeds_need_solitude
        there = not self.jit and await self._memory.needs_no_load(model)
        return await self._leases.acquire(model, alone, Caller(options, progress, queued, explicit=there))

    def lease_at_once(self, name: str, kind: ModelKind, exclusive: bool) -> Lease | None:
        """A lease as of `acquire` if its model is loaded and free, else None. Saves busy doors a coroutine."""
        model = self._catalogue.known(name, kind)
        if model is None:
            return None
        return self._leases.at_once(
            model, exclusive and self._roster.of(model.provider).manifest.seeds_need_solitude
        )

    def release(self, lease: Lease) -> None:
        """End a lease."""
        self._leases.release(lease)

    async def load(
        self, name: str, options: LoadOptions = LoadOptions(), progress: Progress | None = None
    ) -> InstanceState:
        """Load a model; loaded already with these options it is left as it is, with others loaded again."""
        try:
            model = await self.find(name)
        except (ModelNotFound, NoModels) as error:
            model = await self._fetched(name, error)
        await self._leases.load(model, options, progress)
        return self._leases.state(model)

    async def load_another(
        self, name: str, options: LoadOptions = LoadOptions(), progress: Progress | None = None
    ) -> InstanceState:
        """Load a model once more, whatever of it is in memory: as `key`, then `key:2`, `key:3`, …

        Each is a model of its own, asked, shown and unloaded by its name, and forgotten when it goes. Without a
        TTL in *options* it stays until somebody unloads it.

        Raises:
            InvalidRequest: it is in memory, and its provider cannot hold it twice. And as `load`.
        """
        try:
            model = await self.find(name)
        except (ModelNotFound, NoModels) as error:
            model = await self._fetched(name, error)
        mine = {m.id: m for m in await self.models() if m.provider == model.provider}
        model = mine.get(model.copy_of, model)
        await self._memory.check_copies(model)
        made = await self._leases.load_another(model, options, progress, mine)
        return self._leases.state(made)

    async def unload(self, name: str) -> InstanceState:
        """Give a model's memory back; returns what it was.

        Raises:
            ModelNotFound: it is not loaded. ModelBusy: it is answering somebody.
        """
        return await self._memory.unload(name)

    # -- asking -----------------------------------------------------------------------------------

    async def count(self, chat: ChatRequest) -> int | None:
        """Tokens of a prompt, as its model counts them; None where the provider does not tell. Loads the model.

        Raises:
            as `lease`, and InvalidRequest: what its runtime would refuse.
        """
        async with self.lease(chat.model) as lease, lease.explaining():
            return await lease.count(chat)

    async def fit(self, lease: Lease, chat: ChatRequest, truncate: bool = False) -> tuple[ChatRequest, int]:
        """A request that fits the context of a leased model, and how many turns were dropped for that.

        Nothing is dropped, nor counted, unless *truncate*, the request or the settings say so: then it is the
        engine that refuses what does not fit. What is dropped, and what is not: see `hub.context`.

        Raises:
            ContextExceeded: what must stay does not fit, with both numbers.
            UnsupportedParameter: it is to be trimmed, and the provider cannot count.
        """
        wanted = truncate or chat.truncate
        if not (wanted or self.truncate):
            return chat, 0
        return await context.fit(lease, chat, wanted=wanted)

    @asynccontextmanager
    async def ask(
        self, lease: Lease, chat: ChatRequest, dropped: Callable[[int], None] | None = None
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """Stream the answer of a leased model in normal form, with the prompt made to `fit`.

        Args:
            dropped: called with the number of turns that were dropped for that, if any were.

        Raises:
            ContextExceeded: with both numbers, and the tools' share where it is known. And as `Provider.chat`.
        """
        fitted, turns = await self.fit(lease, chat)
        if turns and dropped is not None:
            dropped(turns)
        try:
            async with Answering(lease.provider, lease.instance, fitted) as events:
                yield events
        except ContextExceeded as error:
            raise await lease.weighed(error, fitted) from error

    def chat(self, request: ChatRequest) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Stream an answer: `async with hub.chat(request) as events: async for event in events: ...`."""
        return self._chat(request)

    @asynccontextmanager
    async def _chat(self, request: ChatRequest) -> AsyncIterator[AsyncIterator[Event]]:
        began, task = perf_counter(), checked_task(request.task)
        async with AsyncExitStack() as stack:
            lease = await stack.enter_async_context(
                self.lease(request.model, exclusive=request.sampling.seed is not None)
            )
            counting = stack.enter_context(Counting(self.activity, lease, "chat", began, task))
            await stack.enter_async_context(lease.explaining())
            yield counting.over(await stack.enter_async_context(self.ask(lease, request)))

    async def answer(self, request: ChatRequest) -> Answer:
        """The whole answer at once."""
        builder = AnswerBuilder()
        async with self.chat(request) as events:
            async for event in events:
                builder.feed(event)
        return builder.close()

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Vectors for texts."""
        began, task = perf_counter(), checked_task(request.task)
        async with self.lease(request.model, kind="embedding") as lease:
            with Counting(self.activity, lease, "embedding", began, task) as counting:
                async with lease.explaining():
                    vectors = await lease.embed(request)
                counting.turn.used(vectors.usage)
        return vectors

    # -- looking back -----------------------------------------------------------------------------

    async def usage(
        self, by: UsageBy = "model", *, since: float | None = None, until: float | None = None, model: str = ""
    ) -> UsageReport:
        """What models were used for; see `AnyHub.usage`."""
        if self._ledger is None:
            return UsageReport(by, (), Used(""), since, until)
        return await self._ledger.report(by, since=since, until=until, model=model)

    # -- life -------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """End every lease, instance and provider. Idempotent."""
        self._closed = True
        await self._downloads.aclose()
        await self._leases.aclose()
        faults.note(await asyncio.gather(*(p.aclose() for p in self.providers), return_exceptions=True))
        for each in self.attached:
            await each.aclose()
        if self._ledger is not None:
            await self._ledger.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
