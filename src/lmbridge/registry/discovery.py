"""Looking for servers where they usually listen. Only when asked: ports of others are not our business."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from lmbridge.core.provider import ProviderContext
from lmbridge.providers.openai import OpenAIProvider
from lmbridge.providers.openai.presets import PRESETS

USUAL: Final[Mapping[str, str]] = {preset.url: name for name, preset in PRESETS.items() if not preset.key_env}
"""URLs where servers of this machine usually listen, with their presets."""


class Discovered(Struct, frozen=True, omit_defaults=True):
    """A server that answers.

    Attributes:
        preset: the sort that usually listens there; "" where that is not known. models: how many it lists.
        state: `ready`, or `needs_key`.
    """

    url: str
    state: str
    models: int = 0
    preset: str = ""
    detail: str = ""


async def discover(home: Path, places: Mapping[str, str]) -> Sequence[Discovered]:
    """Ask at some URLs, all at the same time; returns those where a server speaks OpenAI's language.

    Args:
        home: lmbridge's own folder. places: presets, or "", by URL.

    Raises:
        ConfigInvalid: a URL that cannot be used.
    """
    asked = [OpenAIProvider.create({"url": url}, ProviderContext(home, url)) for url in places]
    found = await asyncio.gather(*(_look(*each) for each in zip(asked, places.items(), strict=True)))
    return [each for each in found if each is not None]


async def _look(provider: OpenAIProvider, place: tuple[str, str]) -> Discovered | None:
    try:
        state = await provider.probe()
        if state.state not in ("ready", "needs_key"):
            return None
        models = await provider.models() if state.state == "ready" else ()
        return Discovered(place[0], state.state, len(models), place[1], state.detail)
    finally:
        await provider.aclose()
