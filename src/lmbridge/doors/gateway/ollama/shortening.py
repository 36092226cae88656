"""Vectors of texts that are too long, for callers who want them cut: `truncate: true` of `/api/embed`.

A text is cut at its end, only if it does not fit, and by as little as the engine's own count of its tokens
suggests; nothing is estimated for one that fits.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from lmbridge.core.errors import ContextExceeded
from lmbridge.core.events import Embeddings, Usage
from lmbridge.core.models import Instance
from lmbridge.core.provider import Provider
from lmbridge.core.requests import EmbedRequest

MARGIN: Final = 0.97
"""Of what would fit if all letters took the same number of tokens; tries are cheaper than lost words."""


async def shortened(provider: Provider, instance: Instance, ask: EmbedRequest) -> Embeddings:
    """The vectors, each of a text or of as much of its beginning as fits.

    Raises:
        as `Provider.embed`; ContextExceeded only if not even a letter fits.
    """
    try:
        return await provider.embed(instance, ask)
    except ContextExceeded as error:
        if len(ask.inputs) == 1:
            return await _cut(provider, instance, ask, error)
    each = [await shortened(provider, instance, replace(ask, inputs=(text,))) for text in ask.inputs]
    usages = [made.usage for made in each if made.usage is not None]
    usage = Usage(sum(usage.prompt_tokens for usage in usages)) if len(usages) == len(each) else None
    return replace(each[0], vectors=tuple(made.vectors[0] for made in each), usage=usage)


async def _cut(provider: Provider, instance: Instance, ask: EmbedRequest, error: ContextExceeded) -> Embeddings:
    """The vector of as much of a text as fits."""
    (text,) = ask.inputs
    while text := shorter(text, error):
        try:
            return await provider.embed(instance, replace(ask, inputs=(text,)))
        except ContextExceeded as again:
            error = again
    raise error


def shorter(text: str, error: ContextExceeded) -> str:
    """As much of a text as may fit; at least a letter less, and half where the numbers are not told."""
    tokens, room = getattr(error, "prompt_tokens", 0), getattr(error, "context_length", 0)
    share = min(MARGIN, MARGIN * room / tokens) if tokens > 0 and room > 0 else 0.5
    return text[: min(len(text) - 1, int(len(text) * share))]
