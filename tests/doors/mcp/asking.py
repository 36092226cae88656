"""A server of ours with a hub behind it, and the official client before it, without a process between them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import mcp_types as types
from mcp import Client
from mcp.client._memory import InMemoryTransport

from lmbridge.core.hub import AnyHub
from lmbridge.core.provider import Provider
from lmbridge.core.requests import ChatRequest
from lmbridge.doors.mcp.offer import Offer
from lmbridge.doors.mcp.server import make_server
from lmbridge.doors.mcp.tools import Borrow
from lmbridge.hub.hub import Hub

OFFER = Offer("lmbridge", "lmbridge", "1.0", "Ask away.", manage=True)
MODES = ("legacy", "2026-07-28")
"""Hosts that begin with a handshake, and those that do not."""


def lending(hub: AnyHub) -> Borrow:
    """Gives always the same hub."""

    @asynccontextmanager
    async def borrow() -> AsyncIterator[AnyHub]:
        yield hub

    return borrow


@asynccontextmanager
async def connected(
    providers: Sequence[object], mode: str = "legacy", *, offer: Offer = OFFER, **options: Any
) -> AsyncIterator[Client]:
    """The official client, connected with a server before *providers*."""
    async with (
        Hub(cast("Sequence[Provider]", providers)) as hub,
        Client(InMemoryTransport(make_server(lending(hub), offer)), mode=mode, **options) as client,
    ):
        yield client


def text_of(result: types.CallToolResult) -> str:
    """What a result says to a model."""
    (content,) = result.content
    assert isinstance(content, types.TextContent)
    return content.text


def error_of(result: types.CallToolResult) -> dict[str, str]:
    """What a failed call tells programs."""
    assert result.is_error
    assert result.meta is not None
    found = result.meta["lmbridge/error"]
    assert isinstance(found, dict)
    return found


class NoHost:
    """A host that must not be asked."""

    async def answer(self, request: ChatRequest) -> Any:
        raise AssertionError("the host was asked")
