"""Which model a name of Ollama's clients means, and under which names they are told of models."""

from __future__ import annotations

from lmbridge.core.errors import ModelNotFound
from lmbridge.core.models import InstanceState, ModelInfo, ModelKind
from lmbridge.doors.gateway.openai import named
from lmbridge.hub.hub import Hub
from lmbridge.wire.ollama.names import spellings, split, to_download


async def meant(hub: Hub, name: str, kind: ModelKind) -> tuple[str, ModelInfo]:
    """The name that the hub knows a model by, for work of *kind*, and the model.

    A model that is not here comes back with nothing known of it: who then asks the hub for it learns that it is
    not here, or has it downloaded first where the settings allow that.

    Raises:
        NoModels, WrongModelKind, BadModelFile, ProviderUnavailable.
    """
    for spelling in spellings(name):
        try:
            return spelling, await hub.resolve(spelling, kind)
        except ModelNotFound:
            continue
    if (variant := await _of_quantization(hub, name)) is not None:
        return variant.qualified, await hub.resolve(variant.qualified, kind)
    wanted = to_download(name)
    return wanted, ModelInfo(wanted, "")


async def find(hub: Hub, name: str) -> ModelInfo:
    """The model a name means, whatever it can do.

    Raises:
        ModelNotFound, NoModels, ProviderUnavailable.
    """
    missing: ModelNotFound | None = None
    for spelling in spellings(name):
        try:
            return await hub.find(spelling)
        except ModelNotFound as error:
            missing = missing or error
    variant = await _of_quantization(hub, name)
    if variant is None:
        raise missing or ModelNotFound(name, [])
    return variant


async def _of_quantization(hub: Hub, name: str) -> ModelInfo | None:
    """The model of a name with a tag, if that is its quantization."""
    parts = split(name)
    if parts is None:
        return None
    try:
        model = await hub.find(parts[0])
    except ModelNotFound:
        return None
    return model if model.quantization.casefold() == parts[1].casefold() else None


async def everything(hub: Hub) -> list[tuple[str, ModelInfo]]:
    """The models that can be used, with the shortest name that means each."""
    return [(name, model) for name, model in named(await hub.models()) if not model.problem and not model.stale_s]


async def instances_of(hub: Hub, model: ModelInfo) -> list[InstanceState]:
    """How a model is in memory, or the one instance of it that *model* is (`key:2`)."""
    return [state for _, _, state in await loaded(hub) if _is_of(state, model)]


def _is_of(state: InstanceState, model: ModelInfo) -> bool:
    return state.provider == model.provider and model.id in (state.model, state.name)


async def loaded(hub: Hub) -> list[tuple[str, ModelInfo, InstanceState]]:
    """The instances that are ready, with the name that means each and what is known of its model."""
    models = {(model.provider, model.id): (name, model) for name, model in named(await hub.models())}
    found = []
    for state in await hub.instances():
        if state.state != "ready":
            continue
        unlisted = state.model, ModelInfo(state.model, state.provider)
        name, model = models.get((state.provider, state.model), unlisted)
        # Its own name, `key:2`, where there are several; the provider before it stays.
        own = f"{name.removesuffix(model.id)}{state.name}" if state.name else name
        found.append((own, model, state))
    return found
