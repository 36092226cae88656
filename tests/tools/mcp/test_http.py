"""What an address may lead to, and how much a server may send."""

import asyncio
import ipaddress

import httpx2
import pytest
from tests.fakes.byte_server import ByteServer, Handle
from tests.tools.mcp.conftest import box_of

from lmbridge.core.errors import ToolServerUnavailable
from lmbridge.machine.mcp.entries import Entry
from lmbridge.tools.mcp import http as module
from lmbridge.tools.mcp.http import Careful, Guard, Refused, TooLong

JSON = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


def answering(head: str, body: bytes = b"") -> Handle:
    """Answers every request with these bytes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head.encode() + f"content-length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()

    return handle


@pytest.mark.parametrize(
    ("address", "guard", "tls", "said"),
    [
        ("127.0.0.1", Guard(), True, "this machine itself"),
        ("127.9.9.9", Guard(), True, "this machine itself"),
        ("::1", Guard(), True, "this machine itself"),
        ("::ffff:127.0.0.1", Guard(), True, "this machine itself"),
        ("10.0.0.1", Guard(), True, "private network"),
        ("64:ff9b::7f00:1", Guard(), True, "this machine itself"),
        ("64:ff9b::a00:1", Guard(), True, "private network"),
        ("2002:a00:1::1", Guard(), True, "private network"),
        ("2001:4860:4860::8888", Guard(), True, ""),
        ("::ffff:10.0.0.1", Guard(), True, "private network"),
        ("192.168.1.1", Guard(loopback=True), True, "private network"),
        ("169.254.169.254", Guard(loopback=True), True, "private network"),
        ("100.64.0.1", Guard(), True, "private network"),
        ("0.0.0.0", Guard(loopback=True), True, "private network"),  # noqa: S104 - refused
        ("224.0.0.1", Guard(), True, "private network"),
        ("fd00::1", Guard(), True, "private network"),
        ("fe80::1", Guard(), True, "private network"),
        ("93.184.216.34", Guard(), False, "not encrypted"),
        ("93.184.216.34", Guard(), True, ""),
        ("127.0.0.1", Guard(loopback=True), False, ""),
        ("10.0.0.1", Guard(private=True), False, ""),
        ("127.0.0.1", Guard(private=True), False, "this machine itself"),
    ],
)
def test_where_a_request_may_lead_us(address: str, guard: Guard, tls: bool, said: str) -> None:
    refusal = guard.refusal(ipaddress.ip_address(address), tls)
    assert said in refusal
    assert bool(refusal) == bool(said)


async def test_a_name_is_looked_up_before_it_is_connected_to_and_the_server_is_told_the_name() -> None:
    heads: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(f"{JSON}content-length: 2\r\n\r\n{{}}".encode())
        await writer.drain()

    async with ByteServer(handle) as server:
        url = f"http://localhost:{server.port}/mcp"
        async with httpx2.AsyncClient(transport=Careful(Guard(loopback=True))) as client:
            assert (await client.get(url)).json() == {}
        assert b"host: localhost:" in heads[0].lower()
        async with httpx2.AsyncClient(transport=Careful(Guard())) as client:
            with pytest.raises(Refused, match="this machine itself"):
                await client.get(url)
            with pytest.raises(Refused, match="no such host"):
                await client.get("https://no-such-host.invalid/")
        assert server.connections == 1


async def test_a_redirect_of_a_guarded_address_leads_nowhere() -> None:
    head = "HTTP/1.1 307 Temporary Redirect\r\nlocation: /other\r\n"
    async with ByteServer(answering(head)) as server:
        async with httpx2.AsyncClient(transport=Careful(Guard(loopback=True)), follow_redirects=True) as client:
            assert (await client.get(server.url)).status_code == 307
        entry = Entry(name="web", url=f"{server.url}/mcp")
        async with box_of(entry, guard=Guard(loopback=True)) as box:
            with pytest.raises(ToolServerUnavailable):
                await box.tools()


async def test_an_answer_without_end_or_compressed_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    async with (
        ByteServer(answering(JSON, b" " * 2000)) as server,
        httpx2.AsyncClient(transport=Careful()) as client,
    ):
        with pytest.raises(TooLong):
            await client.get(server.url)
    head = f"{JSON}content-encoding: gzip\r\n"
    async with ByteServer(answering(head, b"x")) as server, httpx2.AsyncClient(transport=Careful()) as client:
        with pytest.raises(Refused, match="compressed"):
            await client.get(server.url)


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n", b"<html>"),
        (JSON, b"{"),
        (JSON, b'{"jsonrpc": "2.0", "id": 1, "result": {}}'),
        ("HTTP/1.1 500 Oh\r\n", b""),
        ("HTTP/1.1 401 No\r\n", b""),
        ("HTTP/1.1 202 Accepted\r\n", b""),
        ("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n", b"data: {\n\n"),
        ("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n", b""),
        ("nonsense\r\n", b""),
    ],
)
async def test_whatever_answers_there_it_is_an_error_and_no_hang(head: str, body: bytes) -> None:
    async with ByteServer(answering(head, body)) as server:
        entry = Entry(name="web", url=f"{server.url}/mcp", start_timeout_s=10)
        async with box_of(entry) as box:
            with pytest.raises(ToolServerUnavailable):
                await box.tools()


@pytest.mark.parametrize("status", [401, 403])
async def test_a_server_that_wants_a_key_says_so_with_the_setting_that_holds_it(status: int) -> None:
    async with (
        ByteServer(answering(f"HTTP/1.1 {status} No\r\ncontent-type: text/plain\r\n")) as server,
        box_of(Entry(name="web", url=f"{server.url}/mcp")) as box,
    ):
        with pytest.raises(ToolServerUnavailable, match=rf"HTTP {status}: it wants a key, .* in `headers`"):
            await box.tools()
