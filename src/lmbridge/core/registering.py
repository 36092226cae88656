"""What is checked before a provider of somebody else's is taken in."""

from __future__ import annotations

from typing import Final

from lmbridge.core import settings
from lmbridge.core.provider import Manifest

NEEDED: Final = (
    "probe",
    "models",
    "estimate",
    "room",
    "load",
    "unload",
    "gone",
    "prepare",
    "chat",
    "embed",
    "aclose",
)
"""What a provider must be able to do, see `core.provider.Provider`."""


def provider_problem(provider: object) -> str:
    """Why something is no provider, and no class of providers; "" if it is one."""
    manifest = getattr(provider, "manifest", None)
    if not isinstance(manifest, Manifest):
        return "a provider needs a `manifest` of the type `Manifest`"
    needed = (*NEEDED, "create") if isinstance(provider, type) else NEEDED
    lacks = [name for name in needed if not callable(getattr(provider, name, None))]
    if lacks:
        return f"the provider {manifest.id!r} lacks {', '.join(f'`{name}`' for name in lacks)}"
    if not isinstance(provider, type) and not isinstance(getattr(provider, "id", None), str):
        return f"the provider {manifest.id!r} has no `id`"
    wrong = settings.problem(manifest.settings)
    return f"the provider {manifest.id!r}: {wrong}" if wrong else ""
