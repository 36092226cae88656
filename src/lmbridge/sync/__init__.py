"""The blocking twin of `connect` and the hub: `with lmbridge.sync.connect() as hub: ...`.

Forwards to one event loop in one background thread and holds no logic of its own. Leaving the `with` ends
the loop, its thread, and what the hub started.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from anyio.from_thread import BlockingPortal, start_blocking_portal

from lmbridge import assembly
from lmbridge.config import Config
from lmbridge.core.events import Answer, Embeddings, Event
from lmbridge.core.hub import AnyHub
from lmbridge.core.models import InstanceState, LoadOptions, ModelInfo, ModelKind
from lmbridge.core.provider import DownloadProgress, Progress, Provider, ProviderState
from lmbridge.core.requests import ChatRequest, EmbedRequest
from lmbridge.core.usage import UsageBy, UsageReport
from lmbridge.sync.model import BlockingModel
from lmbridge.sync.provider import BlockingProvider


@contextmanager
def connect(
    config: Config | None = None, *, gateway: bool | None = None, files: Sequence[Path] = ()
) -> Iterator[BlockingHub]:
    """The models of this computer, for code without `async`. Arguments and errors as `lmbridge.connect`."""
    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(assembly.connect(config, gateway=gateway, files=files)) as hub,
    ):
        yield BlockingHub(hub, portal)


class BlockingHub:
    """A hub whose methods block. Each does what the method of the same name of `lmbridge.Hub` does."""

    def __init__(self, hub: AnyHub, portal: BlockingPortal) -> None:
        self._hub, self._portal = hub, portal

    @property
    def where(self) -> str:
        """Where the models run, for people."""
        return self._hub.where

    def probe(self) -> Sequence[ProviderState]:
        """The state of every provider."""
        return self._portal.call(self._hub.probe)

    def models(self) -> Sequence[ModelInfo]:
        """Every model of every provider."""
        return self._portal.call(self._hub.models)

    def refresh(self, provider: str = "") -> Sequence[ModelInfo]:
        """Every model of every provider, asked anew."""
        return self._portal.call(self._hub.refresh, provider)

    def provider(self, id: str = "") -> BlockingProvider:
        """One provider, with methods that ask it alone."""
        return BlockingProvider(self._hub.provider(id), self._portal)

    def default_provider(self) -> str:
        """Id of the provider that answers who names no model; "" where the hub chooses."""
        return self._portal.call(self._hub.default_provider)

    def register(self, provider: Provider, *, before: str = "") -> None:
        """One more place where models run. Its methods are called in the background thread."""
        self._portal.call(partial(self._hub.register, provider, before=before))

    def unregister(self, id: str) -> None:
        """Close a provider; its models are gone at once."""
        self._portal.call(self._hub.unregister, id)

    def resolve(self, name: str, kind: ModelKind = "chat") -> ModelInfo:
        """The model a name means."""
        return self._portal.call(self._hub.resolve, name, kind)

    def model(self, name: str = "", kind: ModelKind = "chat") -> BlockingModel:
        """One model, with methods to talk with it and to let it work with tools."""
        return BlockingModel(self._portal.call(self._hub.model, name, kind), self._portal)

    def instances(self) -> Sequence[InstanceState]:
        """The models in memory."""
        return self._portal.call(self._hub.instances)

    def load(
        self, name: str, options: LoadOptions = LoadOptions(), progress: Progress | None = None
    ) -> InstanceState:
        """Load a model. *progress* is called in the background thread."""
        return self._portal.call(self._hub.load, name, options, progress)

    def unload(self, name: str) -> InstanceState:
        """Give a model's memory back."""
        return self._portal.call(self._hub.unload, name)

    def download(self, name: str, *, provider: str = "", progress: DownloadProgress | None = None) -> ModelInfo:
        """Get a model that is not here yet. *progress* is called in the background thread."""
        return self._portal.call(partial(self._hub.download, name, provider=provider, progress=progress))

    def chat(self, request: ChatRequest) -> AbstractContextManager[Iterator[Event]]:
        """Stream an answer: `with hub.chat(request) as events: for event in events: ...`."""
        return self._chat(request)

    @contextmanager
    def _chat(self, request: ChatRequest) -> Iterator[Iterator[Event]]:
        with self._portal.wrap_async_context_manager(self._hub.chat(request)) as events:
            yield iter(partial(self._portal.call, _next, events), None)

    def answer(self, request: ChatRequest) -> Answer:
        """The whole answer at once."""
        return self._portal.call(self._hub.answer, request)

    def count(self, chat: ChatRequest) -> int | None:
        """Tokens of a prompt, as its model counts them."""
        return self._portal.call(self._hub.count, chat)

    def embed(self, request: EmbedRequest) -> Embeddings:
        """Vectors for texts."""
        return self._portal.call(self._hub.embed, request)

    def usage(
        self, by: UsageBy = "model", *, since: float | None = None, until: float | None = None, model: str = ""
    ) -> UsageReport:
        """What the models were used for, added up."""
        return self._portal.call(partial(self._hub.usage, by, since=since, until=until, model=model))


async def _next(events: AsyncIterator[Event]) -> Event | None:
    return await anext(events, None)
