"""A provider that needs no server and no loading: one writes which models it has, and how they answer.

For other people's packages. A subclass has a `manifest`, `models` and `chat`; everything else is here, and may be
written anew.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import count
from typing import ClassVar, Final, Self

from lmbridge.core.errors import BridgeError, InvalidRequest
from lmbridge.core.events import Embeddings, Event
from lmbridge.core.extension import SettingValue
from lmbridge.core.models import Endpoint, Instance, LoadOptions, ModelInfo
from lmbridge.core.provider import Manifest, Progress, ProviderContext, ProviderState
from lmbridge.core.requests import ChatRequest, EmbedRequest
from lmbridge.core.settings import all_of

NO_ENDPOINT: Final = "http://127.0.0.1:0"
"""Where nothing answers: it is asked through its methods alone."""


class WithoutLoading:
    """The part of a provider that tells that nothing is loaded: its models take no memory, and cannot die."""

    async def estimate(self, model: ModelInfo, options: LoadOptions) -> int:
        """0: it takes none of this machine's memory that is worth counting."""
        return 0

    async def room(self) -> int | None:
        """None: memory is not the matter."""
        return None

    async def unload(self, instance: Instance) -> None:
        """Nothing to give back."""

    async def gone(self, instance: Instance) -> BridgeError:
        """Never returns: nothing can die, and a server that went away may come back."""
        never: asyncio.Future[BridgeError] = asyncio.get_running_loop().create_future()
        return await never


class PlainProvider(WithoutLoading, ABC):
    """A `Provider` whose models are always ready, and run in this process or behind its own code.

    Attributes:
        settings: every setting of the manifest, of its type. context: lmbridge's folder, and the provider's name.
    """

    manifest: ClassVar[Manifest]

    def __init__(self, settings: Mapping[str, SettingValue], context: ProviderContext) -> None:
        self.id = context.name
        self.settings, self.context = settings, context
        self._numbers = count(1)

    @classmethod
    def create(cls, settings: Mapping[str, object], context: ProviderContext) -> Self:
        """Build one from its table.

        Raises:
            ConfigInvalid: an unknown setting, or one of a wrong type.
        """
        strings = {name: value for name, value in settings.items() if isinstance(value, str)}
        others = {name: value for name, value in settings.items() if name not in strings}
        # The environment gives only strings, so that numbers in strings must do.
        return cls(all_of(cls.manifest.settings, others, strings, f"[{context.name}]"), context)

    @abstractmethod
    async def models(self) -> Sequence[ModelInfo]:
        """Every model it has, each with `provider=self.id`; [] when it cannot be asked."""

    @abstractmethod
    def chat(self, instance: Instance, request: ChatRequest) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Stream an answer: `Started`, pieces of text, `Finished`. Leaving the `with` ends the work."""

    async def probe(self) -> ProviderState:
        """Ready if it has a model."""
        if await self.models():
            return ProviderState(self.id, "ready", self.manifest.description)
        return ProviderState(self.id, "unavailable", "It has no models.")

    async def load(self, model: ModelInfo, options: LoadOptions, progress: Progress | None = None) -> Instance:
        """An instance at once."""
        if progress is not None:
            progress(1.0)
        key = f"{self.id}:{model.id}#{next(self._numbers)}"
        endpoint = Endpoint(NO_ENDPOINT, (), model.id, language="none")
        return Instance(key, model, endpoint, context_length=model.context_length, options=options)

    def prepare(self, instance: Instance, body: Mapping[str, object]) -> Mapping[str, object]:
        """The same: no body is relayed to where nothing answers."""
        return body

    async def embed(self, instance: Instance, request: EmbedRequest) -> Embeddings:
        """Vectors for texts.

        Raises:
            InvalidRequest: it makes none.
        """
        raise InvalidRequest(f"The provider {self.id!r} makes no embeddings.", param="model")

    async def aclose(self) -> None:
        """Nothing to close."""
