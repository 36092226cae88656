"""What is in memory: what the hub has loaded, and what runtimes keep there by themselves."""

from __future__ import annotations

from collections.abc import Sequence

from lmbridge.core.errors import InvalidRequest, ModelNotFound
from lmbridge.core.models import Instance, InstanceState, ModelInfo
from lmbridge.core.provider import Keeper
from lmbridge.hub.catalogue import Catalogue
from lmbridge.hub.leases import Leases
from lmbridge.hub.roster import Roster


class Memory:
    """Both together, for those who do not care whose they are."""

    def __init__(self, roster: Roster, catalogue: Catalogue, leases: Leases) -> None:
        self._roster, self._catalogue, self._leases = roster, catalogue, leases

    async def states(self) -> Sequence[InstanceState]:
        """What is there, and who waits for it."""
        kept = {_called(i): i for i in await self._catalogue.kept()}
        # After the question, as what is ours may have changed while it was asked.
        ours = {_called(i) for i in self._leases.instances()}
        return [*self._leases.states(), *(_kept_state(i) for name, i in kept.items() if name not in ours)]

    async def only_chat(self) -> ModelInfo | None:
        """The only chat model that is there, if there is one, of those that may answer who did not name it."""
        nearby = self._roster.nearby()
        instances = [*await self._catalogue.kept(), *self._leases.instances()]
        loaded = {_called(i): i.model for i in instances if i.model.kind == "chat" and i.model.provider in nearby}
        return next(iter(loaded.values())) if len(loaded) == 1 else None

    async def needs_no_load(self, model: ModelInfo) -> bool:
        """Whether a model that we do not hold can be asked without taking up memory: its runtime holds it, or
        memory is its server's own affair."""
        provider = self._roster.of(model.provider)
        if not isinstance(provider, Keeper):
            return provider.manifest.runs == "server"
        return any(i.model.qualified == model.qualified for i in await provider.loaded())

    async def check_copies(self, model: ModelInfo) -> None:
        """Make sure that a model can be loaded once more.

        Raises:
            InvalidRequest: it is there, and its provider cannot hold it twice.
        """
        provider = self._roster.of(model.provider)
        if provider.manifest.copies:
            return
        kept = await provider.loaded() if isinstance(provider, Keeper) else ()
        if self._leases.next_copy(model) is not model or any(i.model.qualified == model.qualified for i in kept):
            raise InvalidRequest(
                f"{model.id!r} is loaded, and {provider.manifest.display_name} is not asked to load it twice.",
                hint=f"Use it as it is, or unload it first: `lmbridge unload {model.id}`.",
                param="model",
            )

    async def unload(self, name: str) -> InstanceState:
        """Give a model's memory back; returns what it was.

        Raises:
            ModelNotFound: it is not there. ModelBusy: it is answering somebody.
        """
        kept = await self._catalogue.kept()
        copies = [i for i in kept if i.endpoint.model != i.model.id]
        copy = next(
            (i for i in copies if name in (i.endpoint.model, f"{i.model.provider}:{i.endpoint.model}")), None
        )
        model = copy.model if copy is not None else await self._catalogue.find(name)
        wanted = [i for i in kept if i == copy or (copy is None and i.model.qualified == model.qualified)]
        state = next(map(_kept_state, wanted), None)
        ours = next((i.endpoint for i in self._leases.instances() if i.model.qualified == model.qualified), None)
        if ours is not None:
            if copy is None or ours.model == copy.endpoint.model:
                state = self._leases.state(model)
                await self._leases.unload(model)
            wanted = [i for i in wanted if i.endpoint.model != ours.model]
        if state is None:
            held = [i.model.id for i in self._leases.instances()]
            raise ModelNotFound(name, [*held, *(i.endpoint.model for i in kept)])
        for instance in wanted:
            await self._roster.of(model.provider).unload(instance)
        return state


def _called(instance: Instance) -> tuple[str, str]:
    """Whose instance, and what its runtime calls it."""
    return instance.model.provider, instance.endpoint.model


def _kept_state(instance: Instance) -> InstanceState:
    """How one is shown that a runtime holds without having been asked by us."""
    return InstanceState(
        model=instance.model.id,
        provider=instance.model.provider,
        state="ready",
        slots=instance.slots,
        context_length=instance.context_length,
        memory=instance.model.size_bytes or 0,
        name=instance.endpoint.model if instance.endpoint.model != instance.model.id else "",
        kept=True,
    )
