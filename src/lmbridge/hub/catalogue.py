"""Which models there are, and which one a name means. Asks the providers; `hub.routing` decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import monotonic

from lmbridge.core.errors import (
    BridgeError,
    ForeignServer,
    ModelNotFound,
    NoModels,
    ProviderNeedsKey,
    ProviderUnavailable,
)
from lmbridge.core.models import Instance, ModelInfo, ModelKind
from lmbridge.core.provider import Keeper, Namer, Provider
from lmbridge.hub import routing
from lmbridge.hub.faults import asked
from lmbridge.hub.roster import Roster

FRESH_S = 3.0
"""How long a list of models is believed before the providers are asked again."""
AGAIN_S = 0.5
"""How long it is believed that a model is not there."""


class Catalogue:
    """The models of all providers.

    Args:
        roster: the providers.
        defaults: names for callers who name none, by kind; "" leaves the choice to the providers' settings.
        holds: whether a model is in the hub's own memory. held: qualified names of all that are.
        copies: models that are in memory once more than their list tells, under names of their own.
    """

    def __init__(
        self,
        roster: Roster,
        defaults: Mapping[ModelKind, str],
        holds: Callable[[ModelInfo], bool],
        held: Callable[[], set[str]],
        copies: Callable[[], Sequence[ModelInfo]] = tuple,
    ) -> None:
        self._roster, self._defaults, self._holds, self._held = roster, defaults, holds, held
        self._copies = copies
        self._models: tuple[ModelInfo, ...] = ()
        self._resolved: dict[tuple[str, ModelKind], ModelInfo] = {}
        self._listed_at = -FRESH_S
        self._listing = asyncio.Lock()

    async def models(self) -> Sequence[ModelInfo]:
        """Every model of every provider, in the order of the providers."""
        async with self._listing:
            while monotonic() - self._listed_at >= FRESH_S:
                asked = self._roster.all
                lists = await asyncio.gather(*(_models_of(p) for p in asked))
                self._models = tuple(model for models in lists for model in models)
                self._resolved.clear()
                if asked is self._roster.all:  # else one came or went meanwhile
                    self._listed_at = monotonic()
        return self._models

    def forget(self) -> None:
        """Ask the providers anew next time."""
        self._listed_at = -FRESH_S

    def known(self, name: str, kind: ModelKind) -> ModelInfo | None:
        """The model of a name that was resolved before, if it is in memory: then nothing has to be asked."""
        model = self._resolved.get((name or self._default(kind), kind))
        return model if model is not None and self._holds(model) else None

    def _default(self, kind: ModelKind) -> str:
        """What is meant by no name: a model, `PROVIDER:`, or "" for whatever may answer."""
        if self._defaults[kind] or kind != "chat" or not self._roster.default:
            return self._defaults[kind]
        return f"{self._roster.default}:"

    async def resolve(self, name: str, kind: ModelKind) -> ModelInfo:
        """The model a name means; "" means the default of its kind, `PROVIDER:` that of a provider.

        Raises:
            ModelNotFound, NoModels, WrongModelKind, BadModelFile, ProviderUnavailable.
        """
        if (known := self.known(name, kind)) is not None:
            return known
        name = name or self._default(kind)
        owner = name.removesuffix(":")
        if not name or (name != owner and owner in self._roster.by_id):
            loaded = await self._loaded()
            return self._in_memory(
                await self._sought(f"{owner}:", lambda models: self._choose(owner, kind, models, loaded))
            )
        if (copy := self._copy(name)) is not None:
            found = routing.usable(copy, kind)
        else:
            names = self._roster.names
            found = await self._sought(name, lambda models: routing.resolve(name, kind, models, names()))
        self._resolved[name, kind] = found
        return self._in_memory(found)

    def _copy(self, name: str) -> ModelInfo | None:
        """The copy in memory that is called exactly so."""
        return next((c for c in self._copies() if name in (c.id, c.qualified)), None)

    def _in_memory(self, model: ModelInfo) -> ModelInfo:
        """The model itself, or the first copy that is in memory when it is not: nothing is loaded once more
        for a name that one in memory can answer to."""
        if self._holds(model):
            return model
        copies = [c for c in self._copies() if c.copy_of == model.id and c.provider == model.provider]
        return next((c for c in copies if self._holds(c)), model)

    async def find(self, name: str) -> ModelInfo:
        """The model a name means, whatever it can do; "" means the default for chats.

        Raises:
            ModelNotFound, NoModels, ProviderUnavailable.
        """
        if not name or name.endswith(":"):
            return await self.resolve(name, "chat")
        if (copy := self._copy(name)) is not None:
            return copy
        return await self._sought(name, lambda models: routing.find(name, models, self._roster.names()))

    async def _sought(self, name: str, seek: Callable[[Sequence[ModelInfo]], ModelInfo]) -> ModelInfo:
        """What *seek* finds; where it finds nothing, among the models of now: a server may just have come up."""
        models, asked_now = await self.models(), monotonic() - self._listed_at < AGAIN_S
        try:
            return seek(models)
        except (ModelNotFound, NoModels):
            if not asked_now:
                self.forget()
                models = await self.models()
        try:
            return seek(models)
        except (ModelNotFound, NoModels):
            up = await self._raise_if_down(name)
            if not (up and asked_now):
                raise
            self.forget()  # it came up since
        return seek(await self.models())

    async def kept(self) -> Sequence[Instance]:
        """What runtimes hold in memory by themselves."""
        keepers = [p for p in self._roster.all if isinstance(p, Keeper)]
        lists = await asyncio.gather(*(p.loaded() for p in keepers))
        return [instance for instances in lists for instance in instances]

    async def _loaded(self) -> set[str]:
        """Qualified names of what is in memory, here and where runtimes hold it by themselves."""
        loaded = self._held() | {i.model.qualified for i in await self.kept()}
        return loaded | {f"{copy.provider}:{copy.copy_of}" for copy in self._copies()}

    def _choose(self, owner: str, kind: ModelKind, models: Sequence[ModelInfo], loaded: set[str]) -> ModelInfo:
        """A model for who names none; of one provider, or with "" of those nearby: no cloud is asked unawares."""
        able = {owner} if owner else self._roster.nearby()
        mine = [m for m in models if m.provider in able]
        names = self._roster.names()
        for namer in (p for p in self._roster.all if isinstance(p, Namer)):
            # The standard one of a provider is for who asks that provider; else it could be everybody's.
            standard = namer.names.get("standard") if owner and kind == "chat" else None
            meant = namer.names.get(kind) or standard
            if meant and any(m.provider == namer.id and not m.stale_s for m in mine):
                return routing.resolve(f"{namer.id}:{meant}", kind, mine, names)
        try:
            return routing.choose(kind, mine, loaded, self._roster.servers())
        except NoModels as error:
            far = next((m for m in models if m.provider not in able and m.kind == kind and not m.problem), None)
            raise error if owner or far is None else NoModels(far.qualified) from None

    async def _raise_if_down(self, name: str) -> bool:
        """A name that says whose model it is: if that server is down, this is why it was not found. Tells whether
        it is known to be up.

        Raises:
            ProviderUnavailable. ProviderNeedsKey, ForeignServer: it is not down, and cannot be asked either.
        """
        owner = self._roster.names().get(name, name).partition(":")[0]
        state = await self._roster.of(owner).probe() if owner in self._roster.servers() else None
        if state is None or state.state == "ready":
            return state is not None
        if state.state == "needs_key":
            raise ProviderNeedsKey(owner, None, hint=state.hint)
        told = state.detail.removeprefix(f"The provider {owner!r} cannot be reached: ").rstrip(".") or state.state
        if state.state == "foreign":
            error = ForeignServer(owner, "its address", told, hint=state.hint)
            error.message = state.detail or error.message  # the whole sentence already
            error.args = (f"{error.message} {error.hint}",)
            raise error
        raise ProviderUnavailable(owner, told, hint=state.hint)


async def _models_of(provider: Provider) -> Sequence[ModelInfo]:
    """A provider's models; one that is down has none, and `probe` says why."""
    try:
        return await asked(provider.id, provider.models())
    except BridgeError:
        return []
