"""`--stand-in`: listening where LM Studio does, if nobody else does, and giving that up for the real one."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmbridge.clients.lmstudio import Identity
    from lmbridge.config import GatewayConfig

GREETING_S = 2.0
"""Seconds that who listens at LM Studio's address gets to say who it is."""

ANSWER_S = 5.0
"""Seconds a gateway gets to give up the port."""


async def take(settings: GatewayConfig) -> tuple[socket.socket | None, str]:
    """A socket that listens at LM Studio's address, and "", or None and who has it."""
    from lmbridge.core.errors import AddressInUse
    from lmbridge.doors.gateway.server import bind
    from lmbridge.doors.gateway.stand_in import HOST

    if settings.port == settings.stand_in_port:
        return None, "the gateway itself listens there anyway"
    try:
        return bind(HOST, settings.stand_in_port), ""
    except AddressInUse as error:
        return None, await _who(f"http://{HOST}:{error.port}", error.port)


async def why_not(url: str, port: int) -> str:
    """Why a gateway that was just started does not answer at LM Studio's address; "" if it does.

    Args:
        url: of the gateway.
    """
    from lmbridge.doors.gateway.stand_in import HOST

    second = f"http://{HOST}:{port}"
    here, there = await _greeted(url), await _greeted(second)
    if here.gateway and here.gateway == there.gateway:
        return ""
    return await _who(second, port) if there.kind != "down" else "nobody listens there"


async def _greeted(url: str) -> Identity:
    from lmbridge.clients.http import HTTPClient
    from lmbridge.clients.lmstudio import identify

    async with HTTPClient(connect_timeout=GREETING_S) as http:
        return await identify(http, url, limit=GREETING_S)


async def _who(url: str, port: int) -> str:
    """Who answers at LM Studio's address: the greeting tells LM Studio, and gateways, from all others."""
    from lmbridge.machine.ports import holder

    found = await _greeted(url)
    if found.gateway:
        return "another gateway of lmbridge listens there"
    if found.kind == "lmstudio":
        return "LM Studio itself answers there"
    return f"{holder(port) or 'another program'} listens there"


async def give_up(home: Path) -> str:
    """Have the running gateway of this user listen no longer where LM Studio does.

    Returns:
        Its URL; "" when there is none, or it does not listen there.
    """
    from lmbridge.clients.lmbridge import RemoteHub
    from lmbridge.core.errors import BridgeError
    from lmbridge.machine.gateway_file import running

    found = running(home)
    if found is None:
        return ""
    try:
        async with RemoteHub(found.url, found.key) as gateway, asyncio.timeout(ANSWER_S):
            return found.url if await gateway.give_up_stand_in() else ""
    except (BridgeError, TimeoutError):
        return ""  # whoever needs the port will say that it is taken
