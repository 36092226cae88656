"""A lease: one caller's hold on a loaded instance, and what he can learn of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec.structs import replace

from lmbridge.core.errors import (
    BridgeError,
    BrokenAnswer,
    ContextExceeded,
    ForeignServer,
    ModelGone,
    ProviderNeedsKey,
    ProviderUnavailable,
)
from lmbridge.core.events import Embeddings
from lmbridge.core.models import Instance, ModelInfo
from lmbridge.core.provider import Counter, Keeper, Provider
from lmbridge.core.requests import ChatRequest, EmbedRequest
from lmbridge.hub.faults import asked

GONE = (ModelGone, ProviderUnavailable, ForeignServer, ProviderNeedsKey)
"""Errors of a runtime whose model cannot be asked any more."""
CRASH_NEWS_S = 2.0
"""How long a broken answer waits to learn whether its engine died."""


class Held:
    """A loaded instance in the hands of the hub, and the news of its end.

    Attributes:
        keeper: its provider, if that keeps models by itself. watcher: waits for the end.
    """

    __slots__ = ("gone", "instance", "keeper", "model", "provider", "watcher")

    watcher: asyncio.Task[None]

    def __init__(self, model: ModelInfo, instance: Instance, provider: Provider) -> None:
        self.model, self.instance, self.provider = model, instance, provider
        self.keeper = provider if isinstance(provider, Keeper) else None
        self.gone: asyncio.Future[BridgeError] = asyncio.get_running_loop().create_future()

    @property
    def certain(self) -> bool:
        """Whether it is known to be there: others may unload what a runtime keeps by itself."""
        return self.keeper is None or self.keeper.sure_of(self.instance)


class Lease:
    """A model in use: loaded, and staying loaded until the `async with` ends.

    Attributes:
        held: what this is a hold on. model, instance, provider: who answers.
        alone: nobody else may have one meanwhile.
        waited_s: seconds from asking to having it, loading included.
        ahead: callers for the same model who were waiting already when it was asked for.
        load_s: seconds of loading that it waited for; None if the model was there.
    """

    __slots__ = ("ahead", "alone", "held", "instance", "load_s", "model", "provider", "waited_s")

    def __init__(
        self, held: Held, alone: bool, waited_s: float, ahead: int = 0, load_s: float | None = None
    ) -> None:
        self.held = held
        self.model, self.instance, self.provider = held.model, held.instance, held.provider
        self.alone, self.waited_s, self.ahead, self.load_s = alone, waited_s, ahead, load_s

    @property
    def name(self) -> str:
        """What `ps` and the runtime call the instance: `key`, or `key:2`."""
        return self.instance.endpoint.model

    async def explain(self, error: BridgeError) -> BridgeError:
        """The reason behind an error met while asking the instance: its crash, if it died, else *error*."""
        if self.held.keeper is not None:
            reason = await self.held.keeper.doubt(self.instance, error)
            if reason is not error and isinstance(reason, GONE):
                # Who asks again at once must not be given what is gone.
                await asyncio.wait([self.held.gone], timeout=CRASH_NEWS_S)
            return reason
        if not self.instance.memory or not isinstance(error, BrokenAnswer | ProviderUnavailable):
            return error
        news, _ = await asyncio.wait([self.held.gone], timeout=CRASH_NEWS_S)
        return self.held.gone.result() if news else error

    async def confirm(self) -> bool:
        """Whether the instance is there still; asks its runtime where that is not certain.

        Raises:
            ProviderUnavailable, ForeignServer, ProviderNeedsKey: it cannot be asked.
        """
        keeper = self.held.keeper
        if keeper is None or self.held.certain or await keeper.confirm(self.instance):
            return True
        await asyncio.wait([self.held.gone], timeout=CRASH_NEWS_S)
        return False

    async def count(self, chat: ChatRequest) -> int | None:
        """Tokens of a prompt, as the model itself counts them; None where its provider does not tell."""
        return await self.provider.count(self.instance, chat) if isinstance(self.provider, Counter) else None

    async def weighed(self, error: ContextExceeded, chat: ChatRequest) -> ContextExceeded:
        """The same error, telling how many of the tokens are the tools', where they can be counted.

        Args:
            chat: what was asked.
        """
        tokens = getattr(error, "prompt_tokens", None)  # unknown where the provider told it in words alone
        if tokens is None or not chat.tools:
            return error
        try:
            bare = await self.count(replace(chat, tools=(), tool_choice="auto"))
        except BridgeError:
            return error
        if bare is None or not 0 < bare < tokens:
            return error
        return ContextExceeded(tokens, error.context_length, tokens - bare)

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Vectors for texts; raises as `Provider.embed`."""
        return await asked(self.provider.id, self.provider.embed(self.instance, request))

    @asynccontextmanager
    async def explaining(self) -> AsyncIterator[None]:
        """Around work with the instance: an error inside is raised as what `explain` makes of it."""
        try:
            yield
        except BridgeError as error:
            reason = await self.explain(error)
            if reason is error:
                raise
            raise reason from error
