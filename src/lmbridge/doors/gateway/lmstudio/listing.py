"""Which models and instances there are, under the names that LM Studio's clients ask for them by."""

from __future__ import annotations

from collections.abc import Sequence

from lmbridge.core.errors import ModelNotFound
from lmbridge.core.models import InstanceState, ModelInfo
from lmbridge.doors.gateway.openai import named
from lmbridge.hub.hub import Hub
from lmbridge.wire.lmstudio.serving.lists import Listed


async def listed(hub: Hub, *, loaded_only: bool = False) -> list[Listed]:
    """Every model that can be used, with what is in memory of it.

    Args:
        loaded_only: leave out what is not in memory.
    """
    states = await hub.instances()
    models = [(name, m) for name, m in named(await hub.models()) if not m.problem and not m.stale_s]
    found = [Listed(name, model, _instances(name, model, states)) for name, model in models]
    return [each for each in found if each.instances or not loaded_only]


async def find(hub: Hub, name: str) -> Listed:
    """The model of that name, or the one that this is an instance of; that instance alone is told then.

    Raises:
        ModelNotFound.
    """
    everything = await listed(hub)
    for each in everything:
        if mine := tuple(i for i in each.instances if i[0] == name):
            return Listed(name, each.model, mine)
    for each in everything:
        if each.name.casefold() == name.casefold():
            return each
    raise ModelNotFound(name, [each.name for each in everything])


def instance_name(state: InstanceState) -> str:
    """What an instance is called within its provider: the model's id, or `key:2`."""
    return state.name or state.model


def _instances(
    name: str, model: ModelInfo, states: Sequence[InstanceState]
) -> tuple[tuple[str, InstanceState], ...]:
    prefix = name.removesuffix(model.id)  # the provider, where the id alone means a model of another one
    mine = (s for s in states if (s.provider, s.model) == (model.provider, model.id) and s.state != "unloading")
    return tuple((f"{prefix}{instance_name(state)}", state) for state in mine)
