from __future__ import annotations

import asyncio
import json
import socket
from contextlib import closing
from pathlib import Path

import pytest
from tests.doors.gateway.asking import LIMIT_S, SESSION, Running, running, until
from tests.fakes.openai_server import FakeOpenAI, fake_openai

from lmbridge.core.errors import AddressInUse, ConfigInvalid, UnsafeBind
from lmbridge.core.provider import ProviderContext
from lmbridge.doors.gateway import GatewaySettings
from lmbridge.doors.gateway.server import bind, url_of
from lmbridge.hub.keys import KeyRing
from lmbridge.providers.openai import OpenAIProvider

ALL = "0.0.0.0"  # noqa: S104 - nothing is bound here
CHAT = "/v1/chat/completions"
HELLO = {"model": "fake-chat", "messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:5"),
        ("localhost", "http://localhost:5"),
        ("::1", "http://[::1]:5"),
        (ALL, "http://127.0.0.1:5"),
        ("::", "http://[::1]:5"),
        ("192.168.1.2", "http://192.168.1.2:5"),
    ],
)
def test_the_url_is_one_that_this_machine_can_use(host: str, url: str) -> None:
    assert url_of(host, 5) == url


def test_a_port_in_use_is_an_error_with_the_address() -> None:
    with closing(bind("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        with pytest.raises(AddressInUse, match=str(port)):
            bind("127.0.0.1", port)


def test_a_port_that_somebody_else_listens_on_is_in_use() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as first, pytest.raises(AddressInUse):
        bind("127.0.0.1", first.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "port"), [("no.such.host.invalid", 0), ("192.0.2.1", 0), ("127.0.0.1", 70000), ("\u00fc" * 70, 0)]
)
def test_an_address_that_cannot_be_listened_on_says_so(host: str, port: int) -> None:
    with pytest.raises(ConfigInvalid, match="host"):
        bind(host, port)


async def test_a_wide_bind_without_a_key_does_not_start(provider: OpenAIProvider, tmp_path: Path) -> None:
    with pytest.raises(UnsafeBind, match="keys create"):
        async with running([provider], tmp_path, GatewaySettings(host=ALL, port=0)):
            pass


async def test_a_wide_bind_with_a_key_starts_and_asks_for_it(provider: OpenAIProvider, tmp_path: Path) -> None:
    key = KeyRing(tmp_path / "keys.json").create("phone")
    async with running([provider], tmp_path, GatewaySettings(host=ALL, port=0)) as up:
        assert (await up.get("/v1/models")).status == 401
        assert (await up.get("/v1/models", {"x-api-key": key})).status == 200


async def test_a_damaged_key_ring_does_not_open_the_gateway(provider: OpenAIProvider, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("{")
    with pytest.raises(ConfigInvalid, match="key ring"):
        async with running([provider], tmp_path):
            pass


async def test_a_key_may_be_required_on_loopback(provider: OpenAIProvider, tmp_path: Path) -> None:
    async with running([provider], tmp_path, GatewaySettings(port=0, require_key=True)) as up:
        assert (await up.get("/v1/models")).status == 401
        assert (await up.get("/v1/models", {"x-api-key": SESSION})).status == 200


async def test_when_a_key_was_last_used_is_written_at_the_end(provider: OpenAIProvider, tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "keys.json")
    key = ring.create("laptop")
    async with running([provider], tmp_path) as up:
        await up.get("/v1/models", {"x-api-key": key})
    assert ring.list()[0].last_used > 0


async def test_the_shutdown_route_stops_the_gateway(provider: OpenAIProvider, tmp_path: Path) -> None:
    async with running([provider], tmp_path) as up:
        assert (await up.post("/api/lmbridge/shutdown", {})).status == 401
        got = await up.post("/api/lmbridge/shutdown", {}, {"authorization": f"Bearer {SESSION}"})
        assert got.status == 202
        await until(lambda: closed(up.port))


def closed(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("grace_s", [5.0, 0.0])
async def test_a_stream_under_way_is_finished_or_ends_with_an_error_when_the_gateway_stops(
    tmp_path: Path, grace_s: float
) -> None:
    async with fake_openai(pace=0.05 if grace_s else 0.5) as upstream:
        provider = OpenAIProvider.create({"url": upstream.url}, ProviderContext(tmp_path, "fake"))
        async with running([provider], tmp_path, GatewaySettings(port=0, grace_s=grace_s)) as up:
            reader, writer = await stream(up)
            await reader.readuntil(b"data:")
            up.gateway.stop()
            async with asyncio.timeout(LIMIT_S):
                rest = await reader.read()
            writer.close()
    if grace_s:
        assert b"data: [DONE]\n\n" in rest
    else:
        assert b'"code":"shutting_down"' in rest
        assert b"[DONE]" not in rest


async def stream(up: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    body = json.dumps({**HELLO, "stream": True}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
    head = f"POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1:{up.port}\r\ncontent-type: application/json\r\n"
    writer.write(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)
    return reader, writer


async def test_an_unstreamed_answer_that_is_cut_by_the_end_says_so(upstream: FakeOpenAI, tmp_path: Path) -> None:
    upstream.models = [{"id": "fault:mute"}]
    provider = OpenAIProvider.create({"url": upstream.url}, ProviderContext(tmp_path, "fake"))
    async with running([provider], tmp_path, GatewaySettings(port=0, grace_s=0)) as up:
        asking = asyncio.ensure_future(up.post(CHAT, {**HELLO, "model": "fault:mute"}))
        await until(lambda: any(tally.in_flight for tally in up.hub.activity.tallies))
        up.gateway.stop()
        got = await asking
    assert (got.status, got.code) == (503, "shutting_down")
