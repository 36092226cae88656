"""What is answered before the official server is there is what that server answers."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import anyio
import mcp_types as types
import pytest
from mcp.client._memory import InMemoryTransport
from mcp.shared.message import SessionMessage
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS
from tests.doors.mcp.asking import OFFER, lending
from tests.doors.mcp.test_prompts import WITH_PROMPTS

from lmbridge.doors.mcp.offer import MODERN, VERSIONS, Offer, greeting
from lmbridge.doors.mcp.server import make_server
from lmbridge.hub.hub import Hub

CLIENT = {"name": "tests", "version": "1"}
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


async def answer_of_the_package(*asked: dict[str, Any], offer: Offer = OFFER) -> Any:
    """What the official server answers to the last of some requests."""
    async with Hub([]) as hub, InMemoryTransport(make_server(lending(hub), offer)) as (read, write):
        with anyio.fail_after(20):
            for number, request in enumerate(asked):
                message = types.JSONRPCRequest(jsonrpc="2.0", id=number, **request)
                await write.send(SessionMessage(message))
                said = await read.receive()
    assert isinstance(said, SessionMessage)
    assert isinstance(said.message, types.JSONRPCResponse), said.message
    return said.message.result


def initialize(version: str) -> dict[str, Any]:
    return {
        "method": "initialize",
        "params": {"protocolVersion": version, "capabilities": {}, "clientInfo": CLIENT},
    }


def test_the_versions_are_those_of_the_package() -> None:
    assert (VERSIONS, MODERN) == (HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS)


@pytest.mark.parametrize("version", [*VERSIONS, *MODERN, "1999-01-01"])
async def test_a_handshake_is_answered_as_the_package_does(version: str) -> None:
    theirs = await answer_of_the_package(initialize(version))
    ours = greeting(OFFER, initialize(version))
    assert ours is not None
    if version == "2024-11-05" or version == "2025-03-26":
        theirs["serverInfo"].setdefault("title", OFFER.title)  # a field that these had not yet, and may be there
    assert ours == theirs


async def test_the_newer_way_to_begin_is_answered_as_the_package_does() -> None:
    discover: dict[str, Any] = {"method": "server/discover", "params": {"_meta": ENVELOPE}}
    ours = greeting(OFFER, discover)
    assert ours is not None
    assert {**ours, "supportedVersions": list(MODERN)} == await answer_of_the_package(discover)


async def test_a_server_with_prompts_says_so_from_the_beginning_as_the_package_does() -> None:
    begin, discover = initialize(VERSIONS[-1]), {"method": "server/discover", "params": {"_meta": ENVELOPE}}
    assert greeting(WITH_PROMPTS, begin) == await answer_of_the_package(begin, offer=WITH_PROMPTS)
    ours = greeting(WITH_PROMPTS, discover)
    assert ours is not None
    theirs = await answer_of_the_package(discover, offer=WITH_PROMPTS)
    assert {**ours, "supportedVersions": list(MODERN)} == theirs


async def test_tools_and_ping_are_answered_as_the_package_does() -> None:
    begin = initialize(VERSIONS[-1])
    assert greeting(OFFER, {"method": "tools/list"}) == await answer_of_the_package(
        begin, {"method": "tools/list"}
    )
    assert greeting(OFFER, {"method": "ping"}) == await answer_of_the_package(begin, {"method": "ping"})


@pytest.mark.parametrize(
    "message",
    [
        {"method": "initialize"},
        {"method": "initialize", "params": {}},
        {"method": "initialize", "params": {"protocolVersion": 1, "capabilities": {}, "clientInfo": CLIENT}},
        {"method": "initialize", "params": {"protocolVersion": "x", "capabilities": {}, "clientInfo": {}}},
        {"method": "server/discover", "params": {"_meta": {}}},
        {"method": "server/discover", "params": {"_meta": {**ENVELOPE, next(iter(ENVELOPE)): "2099-01-01"}}},
        {"method": "tools/list", "params": {"cursor": "x"}},
        {"method": "tools/call", "params": {"name": "chat"}},
        {"method": 7},
        {},
    ],
)
def test_everything_else_is_left_to_the_package(message: dict[str, object]) -> None:
    assert greeting(OFFER, message) is None


def test_nothing_is_imported_for_it_that_takes_long() -> None:
    heavy = ("mcp", "asyncio", "click")
    program = f"import sys, lmbridge.doors.mcp.stdio; print([m for m in {heavy} if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout
    assert said.strip() == "[]"
