"""Which models there are, and which one a name means. Asks the providers; `hub.routing` decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import monotonic

from lmbridge.core.errors import (
    BridgeError,
    ForeignServer,
    InvalidRequest,
    ModelNotFound,
    NoModels,
    ProviderNeedsKey,
    ProviderUnavailable,
)
from lmbridge.core.models import Instance, ModelInfo, ModelKind
from lmbridge.core.provider import Keeper, Namer, Provider
from lmbridge.hub import routing

FRESH_S = 3.0
"""How long a list of models is believed before the providers are asked again."""
AGAIN_S = 0.5
"""How long it is believed that a model is not there."""


class Catalogue:
    """The models of all providers.

    Args:
        providers: earlier ones win where a name fits several.
        defaults: names for callers who name none, by kind; "" leaves the choice to the providers' settings.
        holds: whether a model is in the hub's own memory. held: qualified names of all that are.
        copies: models that are in memory once more than their list tells, under names of their own.
    """

    def __init__(
        self,
        providers: Sequence[Provider],
        defaults: Mapping[ModelKind, str],
        holds: Callable[[ModelInfo], bool],
        held: Callable[[], set[str]],
        copies: Callable[[], Sequence[ModelInfo]] = tuple,
    ) -> None:
        self._providers, self._defaults, self._holds, self._held = providers, defaults, holds, held
        self._copies = copies
        self._by_id = {p.id: p for p in providers}
        self._namers = [p for p in providers if isinstance(p, Namer)]
        self._models: tuple[ModelInfo, ...] = ()
        self._resolved: dict[tuple[str, ModelKind], ModelInfo] = {}
        self._listed_at = -FRESH_S
        self._listing = asyncio.Lock()

    async def models(self) -> Sequence[ModelInfo]:
        """Every model of every provider, in the order of the providers."""
        async with self._listing:
            if monotonic() - self._listed_at >= FRESH_S:
                lists = await asyncio.gather(*(_models_of(p) for p in self._providers))
                self._models = tuple(model for models in lists for model in models)
                self._resolved.clear()
                self._listed_at = monotonic()
        return self._models

    def forget(self) -> None:
        """Ask the providers anew next time."""
        self._listed_at = -FRESH_S

    def known(self, name: str, kind: ModelKind) -> ModelInfo | None:
        """The model of a name that was resolved before, if it is in memory: then nothing has to be asked."""
        model = self._resolved.get((name or self._defaults[kind], kind))
        return model if model is not None and self._holds(model) else None

    async def resolve(self, name: str, kind: ModelKind) -> ModelInfo:
        """The model a name means; "" means the default of its kind, `PROVIDER:` that of a provider.

        Raises:
            ModelNotFound, NoModels, WrongModelKind, BadModelFile, ProviderUnavailable.
        """
        if (known := self.known(name, kind)) is not None:
            return known
        name = name or self._defaults[kind]
        owner = name.removesuffix(":")
        if not name or (name != owner and owner in self._by_id):
            loaded = await self._loaded()
            return self._in_memory(
                await self._sought(f"{owner}:", lambda models: self._choose(owner, kind, models, loaded))
            )
        if (copy := self._copy(name)) is not None:
            found = routing.usable(copy, kind)
        else:
            found = await self._sought(name, lambda models: routing.resolve(name, kind, models, self._names()))
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
        return await self._sought(name, lambda models: routing.find(name, models, self._names()))

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

    def provider(self, owner: str) -> Provider:
        """The provider with an id.

        Raises:
            InvalidRequest: there is none.
        """
        if owner not in self._by_id:
            known = ", ".join(self._by_id) or "none"
            raise InvalidRequest(f"There is no provider {owner!r}.", hint=f"There are: {known}.")
        return self._by_id[owner]

    async def kept(self) -> Sequence[Instance]:
        """What runtimes hold in memory by themselves."""
        keepers = [p for p in self._providers if isinstance(p, Keeper)]
        lists = await asyncio.gather(*(p.loaded() for p in keepers))
        return [instance for instances in lists for instance in instances]

    async def _loaded(self) -> set[str]:
        """Qualified names of what is in memory, here and where runtimes hold it by themselves."""
        loaded = self._held() | {i.model.qualified for i in await self.kept()}
        return loaded | {f"{copy.provider}:{copy.copy_of}" for copy in self._copies()}

    def _choose(self, owner: str, kind: ModelKind, models: Sequence[ModelInfo], loaded: set[str]) -> ModelInfo:
        """A model for who names none; of one provider, unless *owner* is ""."""
        mine = [m for m in models if owner in ("", m.provider)]
        for namer in self._namers:
            # The standard one of a provider is for who asks that provider; else a cloud's could be everybody's.
            standard = namer.names.get("standard") if owner and kind == "chat" else None
            meant = namer.names.get(kind) or standard
            if meant and any(m.provider == namer.id and not m.stale_s for m in mine):
                return routing.resolve(f"{namer.id}:{meant}", kind, mine, self._names())
        return routing.choose(kind, mine, loaded, self._servers())

    def _names(self) -> dict[str, str]:
        """The names that settings gave, with the qualified names they stand for; earlier providers win."""
        names: dict[str, str] = {}
        for provider in self._providers:
            if isinstance(provider, Namer):
                for name, meant in provider.names.items():
                    names.setdefault(name, f"{provider.id}:{meant}")
        return names

    async def _raise_if_down(self, name: str) -> bool:
        """A name that says whose model it is: if that server is down, this is why it was not found. Tells whether
        it is known to be up.

        Raises:
            ProviderUnavailable. ProviderNeedsKey, ForeignServer: it is not down, and cannot be asked either.
        """
        owner = self._names().get(name, name).partition(":")[0]
        state = await self._by_id[owner].probe() if owner in self._servers() else None
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

    def _servers(self) -> set[str]:
        return {p.id for p in self._providers if p.manifest.runs == "server"}


async def _models_of(provider: Provider) -> Sequence[ModelInfo]:
    """A provider's models; one that is down has none, and `probe` says why."""
    try:
        return await provider.models()
    except BridgeError:
        return []
