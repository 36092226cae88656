"""What is seen of the providers: each asked whether it is there, and for its models."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from lmbridge.config import load_config
from lmbridge.core.errors import BridgeError
from lmbridge.core.extension import ExtensionState
from lmbridge.core.models import ModelInfo
from lmbridge.core.provider import ProviderState
from lmbridge.registry import Entry, Registry
from lmbridge.registry.choosing import Chooser


class Sight(Struct, frozen=True):
    """One provider.

    Attributes:
        state: what a probe found, or `disabled`, or `failed`.
        models: what can be talked with; never an embedding model. tools, vision: whether one of them can.
    """

    id: str
    display_name: str
    category: str
    state: str
    detail: str = ""
    hint: str = ""
    default: bool = False
    extension: str = ""
    models: tuple[str, ...] = ()
    tools: bool | None = None
    vision: bool | None = None

    def told(self) -> dict[str, object]:
        """For programs."""
        facts = {name: getattr(self, name) for name in self.__struct_fields__}
        able = {"streaming": True, "tools": facts.pop("tools"), "vision": facts.pop("vision")}
        return {**facts, "capabilities": {**able, "models": facts.pop("models")}}


def opened() -> tuple[Registry, Chooser]:
    """The providers of this user's settings, and what changes them.

    Raises:
        ConfigInvalid: the settings cannot be used.
    """
    config = load_config()
    registry = Registry(config)
    return registry, Chooser(config, registry)


async def look() -> tuple[Sequence[Sight], Sequence[ExtensionState], str]:
    """All of them, the extensions, and the id of the default provider."""
    registry = Registry(load_config())
    try:
        default = registry.default
        seen = await asyncio.gather(*(_seen(entry, default) for entry in registry.entries))
        return seen, registry.extensions.states, default
    finally:
        await asyncio.gather(*(provider.aclose() for provider in registry.providers))
        await registry.aclose()


async def _seen(entry: Entry, default: str) -> Sight:
    provider, manifest = entry.provider, entry.manifest
    name, category = (manifest.display_name, manifest.category) if manifest else (entry.id, "ai")
    if provider is None:
        hint = f"`lmbridge providers enable {entry.id}`" if entry.state == "disabled" else ""
        return Sight(entry.id, name, category, entry.state, entry.reason, hint, extension=entry.extension)
    try:
        state, models = await asyncio.gather(provider.probe(), provider.models())
    except Exception as error:  # noqa: BLE001 - what another package's provider raises is a fact about it
        told = error.message if isinstance(error, BridgeError) else f"{type(error).__name__}: {error}"
        state, models = ProviderState(entry.id, "unavailable", told), ()
    able = [model for model in models if model.kind == "chat" and not model.problem]
    return Sight(
        entry.id,
        state.display_name or name,
        category,
        state.state,
        state.detail,
        state.hint,
        entry.id == default,
        entry.extension,
        tuple(model.id for model in able),
        _any(able, "tools"),
        _any(able, "vision"),
    )


def _any(models: Sequence[ModelInfo], ability: str) -> bool | None:
    """Whether one of them can; None when nobody tells."""
    known = [can for model in models if (can := getattr(model, ability)) is not None]
    return any(known) if known else None
