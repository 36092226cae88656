"""What LM Studio has: which of its APIs it speaks, its models, and what a name means."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Final

from lmbridge.clients.lmstudio.cache import ModelCache
from lmbridge.clients.lmstudio.link import Link
from lmbridge.clients.lmstudio.names import Found, find, only
from lmbridge.core.errors import BridgeError, BrokenAnswer, ModelNotFound, ProviderRefused, RouteNotFound
from lmbridge.core.models import ModelKind
from lmbridge.wire.lmstudio.models import ROUTES, Generation, LMStudioModel, decode_list

NEWEST_FIRST: Final[tuple[Generation, ...]] = ("v1", "v0", "openai")


class Catalogue:
    """The models of one LM Studio.

    Args:
        cache: where lists are kept for when it is down; None keeps none.

    Attributes:
        generation: the newest of its APIs that it answers; None before it was asked.
    """

    def __init__(self, link: Link, cache: ModelCache | None = None) -> None:
        self._link, self._cache = link, cache
        self._models: list[LMStudioModel] = []
        self._fresh_until = 0.0
        self._listing = asyncio.Lock()
        self.generation: Generation | None = None

    async def fetch(self) -> list[LMStudioModel]:
        """Every model it has, asked for now.

        Raises:
            RouteNotFound: it has no list of the generation that the settings insist on.
            ProviderUnavailable, ProviderTimeout, ProviderNeedsKey, ForeignServer, BrokenAnswer.
        """
        with self._link.explained():
            models = await self._list()
        self._models = models
        self._fresh_until = monotonic() + self._link.habits.listed_for
        if self._cache is not None:
            await asyncio.to_thread(self._cache.keep, models)
        return list(models)

    async def recent(self) -> Sequence[LMStudioModel]:
        """The same, believed for some seconds: a burst of requests asks once."""
        if monotonic() < self._fresh_until:
            return self._models
        async with self._listing:
            if monotonic() >= self._fresh_until:
                await self.fetch()
            return self._models

    def forget(self) -> None:
        """Something has changed: ask again."""
        self._fresh_until = 0.0

    async def ready_generation(self) -> Generation:
        """Which API it has, asked for if nobody did yet."""
        while self.generation is None:  # somebody may forget it again meanwhile
            await self.fetch()
        return self.generation

    async def find(self, name: str, kind: ModelKind | None = "chat", *, fresh: bool = False) -> Found:
        """What *name* means; "" is the model of the settings, else the only one in memory, else the only one.

        Args:
            kind: what it is for; None for any. fresh: do not believe an earlier list.

        Raises:
            ModelNotFound: there is none, or it could be several. WrongModelKind: it is for something else.
            NoModels, InvalidRequest: none was named, and there is none or several.
        """
        settings = self._link.settings
        chosen = settings.tiers.get(name, name)
        if not chosen:
            chosen = settings.embedding_model if kind == "embedding" else settings.model
            chosen = settings.tiers.get(chosen, chosen)
        if fresh:
            self.forget()
        known_for_sure = monotonic() >= self._fresh_until
        models = await self.recent()
        try:
            return find(chosen, models, kind) if chosen else only(models, kind or "chat")
        except ModelNotFound:
            if known_for_sure:
                raise
        self.forget()  # it may have come since
        return find(chosen, await self.recent(), kind)

    async def find_or_trust(self, name: str, kind: ModelKind) -> Found:
        """What *name* means; where the list itself cannot be had, a name is taken as it is.

        Raises:
            as `find`, and what stands in the way of the list where no model is named.
        """
        try:
            return await self.find(name, kind)
        except (BrokenAnswer, ProviderRefused, RouteNotFound):
            if not name:
                raise
            return Found(LMStudioModel(name, kind, knows_loaded=False), name)

    async def _list(self) -> list[LMStudioModel]:
        known = self.generation
        if known is not None:
            try:
                return await self._list_of(known)
            except RouteNotFound:  # LM Studio was exchanged for another version meanwhile
                self.generation = None
        missing: BridgeError | None = None
        for generation in self._allowed():
            try:
                models = await self._list_of(generation)
            except RouteNotFound as error:
                missing = error
            else:
                self.generation = generation
                return models
        raise self._none() from missing

    async def _list_of(self, generation: Generation) -> list[LMStudioModel]:
        try:
            data = await self._link.ask(ROUTES[generation])
        except ProviderRefused as error:
            if error.status in (404, 405, 501):  # some builds say it so
                raise RouteNotFound(error.message) from error
            raise
        return decode_list(data, self._link.provider, generation)

    def _allowed(self) -> tuple[Generation, ...]:
        match self._link.settings.native_api:
            case True:
                return ("v1", "v0")
            case False:
                return ("openai",)
            case None:
                return NEWEST_FIRST

    def _none(self) -> RouteNotFound:
        if self._link.settings.native_api:
            return RouteNotFound(
                "This LM Studio has no API of its own, which the settings insist on.",
                hint="Update LM Studio, or take `native_api` out of [lmstudio] in lmbridge.toml.",
            )
        return RouteNotFound(
            "LM Studio answers, but has no list of models there.",
            hint="Take a path too many out of `url` of [lmstudio] in lmbridge.toml.",
        )
