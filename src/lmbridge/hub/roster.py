"""Which providers a hub has, in their order, and which of them answers who names no model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from lmbridge.core.errors import BridgeError, ConfigInvalid, InvalidRequest, ProviderUnavailable
from lmbridge.core.provider import Namer, Provider, ProviderState, nearby
from lmbridge.core.registering import provider_problem
from lmbridge.hub.faults import asked


class Roster:
    """The providers of one hub.

    Args:
        providers: earlier ones win where a name fits several.
        chosen: id of the default provider; "" leaves it to the hub.

    Attributes:
        all: the providers. Another tuple whenever they have changed.
        by_id: the same by their ids.
    """

    def __init__(self, providers: Sequence[Provider], chosen: str = "") -> None:
        self._chosen = chosen
        self._have(providers)

    def _have(self, providers: Sequence[Provider]) -> None:
        self.all = tuple(providers)
        self.by_id = {p.id: p for p in self.all}

    @property
    def default(self) -> str:
        """Id of the provider that answers who names no model; "" where none was chosen."""
        return default_of(self._chosen, self.all)

    def of(self, id: str) -> Provider:
        """The provider that has a model.

        Raises:
            ProviderUnavailable: it was unregistered meanwhile.
        """
        found = self.by_id.get(id)
        if found is None:
            reason = "it is not registered any more"
            raise ProviderUnavailable(id, reason, hint="`lmbridge ls` lists the models there are.")
        return found

    def named(self, id: str) -> Provider:
        """The provider that somebody asks for by its id.

        Raises:
            InvalidRequest: there is none.
        """
        if id not in self.by_id:
            known = ", ".join(self.by_id) or "none"
            raise InvalidRequest(f"There is no provider {id!r}.", hint=f"There are: {known}.")
        return self.by_id[id]

    def add(self, provider: Provider, before: str = "") -> None:
        """One more: before the one with that id, else the last.

        Raises:
            ConfigInvalid: it is none, or there is one of its id. InvalidRequest: there is none to be *before*.
        """
        wrong = provider_problem(provider)
        if isinstance(provider, type):
            wrong = wrong or "a class was given: give one that its `create` has made"
        if wrong:
            raise ConfigInvalid("provider", wrong)
        if provider.id in self.by_id:
            raise ConfigInvalid("provider", f"there is a provider {provider.id!r} already")
        place = self.all.index(self.named(before)) if before else len(self.all)
        self._have([*self.all[:place], provider, *self.all[place:]])

    def remove(self, provider: Provider) -> None:
        """One less."""
        self._have([p for p in self.all if p is not provider])

    async def probe(self) -> Sequence[ProviderState]:
        """The state of every provider, asked at the same time."""
        providers = self.all
        states = await asyncio.gather(*map(_state_of, providers))
        return [
            replace(
                state,
                display_name=state.display_name or p.manifest.display_name,
                default=p.id == self.default,
            )
            for p, state in zip(providers, states, strict=True)
        ]

    def names(self) -> dict[str, str]:
        """The names that settings gave to models, with the qualified names they stand for; earlier ones win."""
        names: dict[str, str] = {}
        for provider in self.all:
            if isinstance(provider, Namer):
                for name, meant in provider.names.items():
                    names.setdefault(name, f"{provider.id}:{meant}")
        return names

    def servers(self) -> set[str]:
        """Ids of those that are servers of their own."""
        return {p.id for p in self.all if p.manifest.runs == "server"}

    def nearby(self) -> set[str]:
        """Ids of those that may answer who named neither them nor a model."""
        return {p.id for p in self.all if nearby(p)}


async def _state_of(provider: Provider) -> ProviderState:
    try:
        return await asked(provider.id, provider.probe())
    except BridgeError as error:
        return ProviderState(provider.id, "unavailable", error.message, error.hint)


def default_of(chosen: str, providers: Sequence[Provider]) -> str:
    """Id of the default provider; "" where none was chosen, or none may take the place of one that is gone.

    Its place takes the first one nearby: a cloud answers for nobody who did not choose it.
    """
    if not chosen or any(p.id == chosen for p in providers):
        return chosen
    return next((p.id for p in providers if nearby(p)), "")
