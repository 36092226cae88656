"""What a provider of another package raises although it should not, as an error of ours.

A fault of one provider is nobody else's.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Iterable
from typing import TypeVar

from lmbridge.core.errors import BridgeError, BrokenAnswer
from lmbridge.core.provider import Provider

T = TypeVar("T")

log = logging.getLogger("lmbridge.hub")


async def asked(provider: str, work: Awaitable[T]) -> T:
    """What a provider answers.

    Raises:
        BridgeError: as the provider raised it; BrokenAnswer for everything else.
    """
    try:
        return await work
    except BridgeError:
        raise
    except Exception as error:
        raise fault(provider, error) from error


def fault(provider: str, error: Exception) -> BrokenAnswer:
    """What the fault of a provider is called."""
    return BrokenAnswer(provider, f"{type(error).__name__}: {error}".rstrip(": "))


async def room_of(provider: Provider) -> int | None:
    """Bytes of memory that a provider has for loading; None where it does not tell."""
    try:
        return await asked(provider.id, provider.room())
    except BridgeError:
        return None


def note(ended: Iterable[object]) -> None:
    """Write down what providers raised when they were closed: it is over for all of them."""
    for error in ended:
        if isinstance(error, Exception):
            log.warning("A provider failed while it was closed: %s: %s", type(error).__name__, error)
