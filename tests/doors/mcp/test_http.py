"""MCP over HTTP: the official client, and those who must not come in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import cast

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from msgspec import Struct
from tests.doors.gateway.asking import Answer, ask, until
from tests.doors.mcp.asking import MODES, OFFER, error_of, lending, text_of
from tests.fakes.openai_server import FakeOpenAI

from lmbridge.core.errors import UnsafeBind
from lmbridge.core.provider import Provider
from lmbridge.doors.gateway import GatewaySettings
from lmbridge.doors.gateway.server import bind
from lmbridge.doors.mcp.http import PATH, serve
from lmbridge.doors.mcp.offer import Offer
from lmbridge.doors.mcp.server import make_server
from lmbridge.hub.hub import Hub
from lmbridge.hub.keys import KeyRing
from lmbridge.providers.openai import OpenAIProvider

modes = pytest.mark.parametrize("mode", MODES)
PAGE = "https://app.example"
ACCEPT = {"accept": "application/json, text/event-stream"}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "tests", "version": "1"},
    },
}


class Served(Struct):
    """An MCP server that listens."""

    port: int
    keys: KeyRing

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{PATH}"

    async def post(self, body: object, headers: Mapping[str, str | None] = {}, path: str = PATH) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await ask(self.port, "POST", path, data, headers={**ACCEPT, **headers})

    @asynccontextmanager
    async def client(self, mode: str, key: str = "") -> AsyncIterator[Client]:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60) as http,
            Client(streamable_http_client(self.url, http_client=http), mode=mode) as client,
        ):
            yield client


@asynccontextmanager
async def served(
    providers: Sequence[object],
    folder: Path,
    settings: GatewaySettings = GatewaySettings(),
    *,
    offer: Offer = OFFER,
) -> AsyncIterator[Served]:
    """Serve for the length of the `async with`."""
    ready = asyncio.Event()
    ring = KeyRing(folder / "keys.json", recheck_s=0)
    async with Hub(cast("Sequence[Provider]", providers)) as hub:
        listening = bind("127.0.0.1", 0)
        port: int = listening.getsockname()[1]
        make = partial(make_server, lending(hub), offer)
        serving = asyncio.ensure_future(
            serve(make, settings, ring, listening, max_body=settings.max_body, on_ready=ready.set)
        )
        try:
            waiting = asyncio.ensure_future(ready.wait())
            await asyncio.wait({serving, waiting}, timeout=20, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if serving.done():
                serving.result()
            yield Served(port, ring)
        finally:
            serving.cancel()
            await asyncio.wait({serving})


@pytest.fixture
async def door(provider: OpenAIProvider, tmp_path: Path) -> AsyncIterator[Served]:
    async with served([provider], tmp_path) as one:
        yield one


@modes
async def test_the_official_client_is_served(door: Served, mode: str) -> None:
    told: list[str | None] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append(message)

    async with door.client(mode) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        result = await client.call_tool("chat", {"prompt": "hello"}, progress_callback=hear)
        resources = (await client.list_resources()).resources
    assert "chat" in names
    assert text_of(result) == "You said: hello "
    assert told[-1] == "You said: hello "
    assert len(resources) == 2


@modes
async def test_a_call_that_is_cancelled_frees_the_engine(door: Served, upstream: FakeOpenAI, mode: str) -> None:
    upstream.pace = 0.05
    async with door.client(mode) as client:
        call = asyncio.ensure_future(client.call_tool("chat", {"prompt": "word " * 1000}))
        await until(lambda: any(route.endswith("/chat/completions") for route, _ in upstream.requests))
        call.cancel()
        await asyncio.wait({call})
        await until(lambda: upstream.left == 1)


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "127.0.0.1:1"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
    ],
)
async def test_foreign_pages_and_names_are_refused(door: Served, headers: dict[str, str]) -> None:
    got = await door.post(INITIALIZE, headers)
    assert got.status == 403
    assert got.error["code"] == -32004
    assert got.json["id"] is None
    assert cast("dict[str, str]", got.error["data"])["code"] == "forbidden"
    assert "access-control-allow-origin" not in got.headers


async def test_a_page_that_the_settings_name_may_ask_and_read(provider: OpenAIProvider, tmp_path: Path) -> None:
    async with served([provider], tmp_path, GatewaySettings(cors=(PAGE,))) as door:
        asked = {"origin": PAGE, "access-control-request-headers": "mcp-protocol-version"}
        before = await ask(door.port, "OPTIONS", PATH, headers=asked)
        got = await door.post(INITIALIZE, {"origin": PAGE})
    assert before.status == 204
    assert before.headers["access-control-allow-headers"] == "mcp-protocol-version"
    assert got.status == 200
    assert got.headers["access-control-allow-origin"] == PAGE
    assert "mcp-session-id" in got.headers["access-control-expose-headers"]


async def test_other_paths_methods_and_bodies_are_refused(door: Served) -> None:
    assert (await door.post(INITIALIZE, path="/v1/models")).status == 404
    put = await ask(door.port, "PUT", PATH, b"{}")
    assert (put.status, put.headers["allow"]) == (405, "GET, POST, DELETE, OPTIONS")
    assert (await door.post(INITIALIZE, {"content-type": "text/plain"})).status == 415
    assert (await door.post(b"{")).status == 400
    twice = await ask(
        door.port, "POST", PATH, b"{}", headers={**ACCEPT, "host": f"x\r\nhost: 127.0.0.1:{door.port}"}
    )
    assert twice.status in (400, 403)


async def test_a_body_that_is_too_large_is_refused(provider: OpenAIProvider, tmp_path: Path) -> None:
    async with served([provider], tmp_path, GatewaySettings(max_body=1000)) as door:
        got = await door.post({**INITIALIZE, "padding": "x" * 2000})
    assert got.status == 413


@modes
async def test_where_there_are_keys_one_is_needed(provider: OpenAIProvider, tmp_path: Path, mode: str) -> None:
    key = KeyRing(tmp_path / "keys.json").create("laptop")
    async with served([provider], tmp_path) as door:
        refused = await door.post(INITIALIZE)
        wrong = await door.post(INITIALIZE, {"authorization": "Bearer lmb-wrong"})
        async with door.client(mode, key) as client:
            assert text_of(await client.call_tool("complete", {"prompt": "hello"})) == "You said: hello "
    assert (refused.status, wrong.status) == (401, 401)
    assert "www-authenticate" in refused.headers
    assert "lmbridge keys create" in str(refused.error["message"])


@modes
async def test_models_are_loaded_by_keys_that_are_good_for_that(
    provider: OpenAIProvider, tmp_path: Path, mode: str
) -> None:
    ring = KeyRing(tmp_path / "keys.json")
    some, all_of_it = ring.create("some", scopes=("infer",)), ring.create("all")
    async with served([provider], tmp_path) as door:
        async with door.client(mode, some) as client:
            refused = await client.call_tool("load_model", {"model": "fake-chat"})
            assert (await client.call_tool("list_models", {})).is_error is False
        async with door.client(mode, all_of_it) as client:
            loaded = await client.call_tool("load_model", {"model": "fake-chat"})
    assert error_of(refused)["code"] == "forbidden"
    assert loaded.structured_content["state"] == "ready"


async def test_a_session_belongs_to_the_key_that_began_it(provider: OpenAIProvider, tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "keys.json")
    mine = {"authorization": f"Bearer {ring.create('mine')}"}
    yours = {"authorization": f"Bearer {ring.create('yours')}"}
    listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    async with served([provider], tmp_path) as door:
        began = await door.post(INITIALIZE, mine)
        session = {"mcp-session-id": began.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
        assert (await door.post(listing, {**mine, **session})).status == 200
        assert (await door.post(listing, {**yours, **session})).status == 404


async def test_a_call_with_the_mark_of_a_server_of_ours_is_refused(door: Served) -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "status", "arguments": {}}}
    began = await door.post(INITIALIZE)
    session = {"mcp-session-id": began.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
    assert b"too_deep" not in (await door.post(call, session)).body
    assert b"too_deep" in (await door.post(call, {**session, "x-lmbridge-depth": "1"})).body


async def test_a_wider_bind_without_a_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafeBind):
        async with served([], tmp_path, GatewaySettings(host="192.0.2.1")):
            raise AssertionError
