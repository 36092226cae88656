"""What every hub offers, the one in this process and the one behind a running gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Protocol, Self

from lmbridge.core.events import Answer, Embeddings, Event
from lmbridge.core.handle import ProviderHandle
from lmbridge.core.model import Model
from lmbridge.core.models import InstanceState, LoadOptions, ModelInfo, ModelKind
from lmbridge.core.provider import DownloadProgress, Progress, Provider, ProviderState
from lmbridge.core.requests import ChatRequest, EmbedRequest
from lmbridge.core.usage import UsageBy, UsageReport


class AnyHub(Protocol):
    """The meeting point as its users see it.

    Model names are those of `lmbridge ls`; "" is the default model, and `PROVIDER:` the default of a provider.
    """

    @property
    def where(self) -> str:
        """Where the models run, for people: `this process` or the URL of a gateway."""

    async def probe(self) -> Sequence[ProviderState]:
        """The state of every provider; never raises for one that is down."""

    async def models(self) -> Sequence[ModelInfo]:
        """Every model of every provider."""

    async def refresh(self, provider: str = "") -> Sequence[ModelInfo]:
        """Every model of every provider, asked anew: what was found before is not believed any more.

        Args:
            provider: the one to ask anew; "" for all of them.
        """

    def provider(self, id: str = "") -> ProviderHandle:
        """One provider, with methods that ask it alone; "" for whichever answers who names no model.

        One that does not exist is not configured, and its methods that ask raise ModelNotFound.
        """

    async def default_provider(self) -> str:
        """Id of the provider that answers who names no model; "" where none was chosen and the hub chooses."""

    def register(self, provider: Provider, *, before: str = "") -> None:
        """One more place where models run, from now until it is unregistered or the hub ends, which closes it.

        Its models are there at once. To be called in the hub's event loop.

        Args:
            before: id of the provider that it goes before, where a name fits models of both; "" makes it the last.

        Raises:
            ConfigInvalid: there is a provider of its id already, or what is given is none.
            InvalidRequest: the models run in a gateway. ShuttingDown.
        """

    async def unregister(self, id: str) -> None:
        """Close a provider; its models are gone at once, and what it has in memory.

        One that is needed is not taken away from who needs it. If it was the default provider, the first one takes
        its place that is no cloud, until one of its id is registered again.

        Raises:
            ModelBusy: one of its models answers, loads or is waited for; nothing has changed then.
            InvalidRequest: there is no such provider, or the models run in a gateway.
        """

    async def resolve(self, name: str, kind: ModelKind = "chat") -> ModelInfo:
        """The model a name means.

        Raises:
            ModelNotFound, NoModels, WrongModelKind.
        """

    async def model(self, name: str = "", kind: ModelKind = "chat") -> Model:
        """One model, with methods to talk with it and to let it work with tools: `respond`, `act`, `embed`.

        Nothing is loaded before it is asked.

        Raises:
            ModelNotFound, NoModels, WrongModelKind.
        """

    async def instances(self) -> Sequence[InstanceState]:
        """The models in memory, and who waits for them; those that a runtime holds by itself too."""

    async def load(
        self, name: str, options: LoadOptions = LoadOptions(), progress: Progress | None = None
    ) -> InstanceState:
        """Load a model; loaded already with these options, it is left as it is; with others, reloaded.

        Raises:
            ModelNotFound, ModelBusy, NotEnoughMemory, BadModelFile, LoadFailed, EngineMissing.
        """

    async def unload(self, name: str) -> InstanceState:
        """Give a model's memory back.

        Raises:
            ModelNotFound: it is not loaded. ModelBusy: it is answering somebody.
        """

    async def download(
        self, name: str, *, provider: str = "", progress: DownloadProgress | None = None
    ) -> ModelInfo:
        """Get a model that is not here yet; one that is here already is not an error.

        Leaving early stops the download, unless others wait for it; what is there is kept for the next time.

        Args:
            name: as the runtime's catalogue calls it, such as `openai/gpt-oss-20b`, or
                `owner/repository@q4_k_m` of Hugging Face. `PROVIDER:NAME` says whose.
            provider: who gets it; "" takes the first that is there and can.

        Raises:
            ModelNotFound: nobody has it. DownloadFailed, NoSpace, ProviderUnavailable.
            InvalidRequest: no provider here can download.
        """

    def chat(self, request: ChatRequest) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Stream an answer: `async with hub.chat(request) as events: async for event in events: ...`.

        The model is loaded first if need be. Leaving the `with` stops the engine.
        """

    async def answer(self, request: ChatRequest) -> Answer:
        """The whole answer at once."""

    async def count(self, chat: ChatRequest) -> int | None:
        """Tokens of a prompt, as its model counts them; None where the provider does not tell. Loads the model."""

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Vectors for texts."""

    async def usage(
        self, by: UsageBy = "model", *, since: float | None = None, until: float | None = None, model: str = ""
    ) -> UsageReport:
        """What the models were used for, by this user's programs and the gateway's callers, added up.

        Args:
            by: `model`, `day`, `hour`, `provider`, `task`, `caller`, or `where`: the gateway or other processes.
            since, until: seconds since 1970. model: only models whose `PROVIDER:NAME` contains this.

        Raises:
            ConfigInvalid: the ledger cannot be read.
        """

    async def aclose(self) -> None:
        """End what this hub started. Idempotent."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
