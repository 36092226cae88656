"""Bodies of every form, in every split, whole and broken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from tests.fakes.byte_server import ByteServer, always, answer, read_request

from lmbridge.clients.http import HTTPClient
from lmbridge.clients.http.connection import HIGH_WATER, LONGEST_WAIT
from lmbridge.core.errors import BrokenAnswer

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\ntrailer: t\r\n\r\n"
LENGTH = HEAD + b"content-length: 11\r\n\r\nhello world"
UNTIL_CLOSE = HEAD + b"\r\nhello world"
INFORMED = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + LENGTH


@pytest.fixture
async def client() -> AsyncIterator[HTTPClient]:
    async with HTTPClient() as client:
        yield client


@pytest.mark.parametrize("step", [1, 2, 7, 50, 1000])
@pytest.mark.parametrize("whole", [CHUNKED, LENGTH, UNTIL_CLOSE, INFORMED])
async def test_a_body_is_the_same_however_its_bytes_are_split(client: HTTPClient, whole: bytes, step: int) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        transport = writer.transport
        for start in range(0, len(whole), step):
            transport.write(whole[start : start + step])
            await asyncio.sleep(0)

    async with ByteServer(handle) as server, await client.request("GET", server.url) as response:
        assert response.status == 200
        assert await response.read() == b"hello world"
        assert response.ended
        assert await response.read() == b""
        assert [piece async for piece in response] == []
        assert not response.header(b"trailer")
        assert not response.header(b"link")


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_an_answer_without_a_body_ends_with_its_head(client: HTTPClient, status: str) -> None:
    async with ByteServer(always(f"HTTP/1.1 {status}\r\n\r\n".encode())) as server:
        for _ in range(2):
            assert await (await client.request("GET", server.url)).read() == b""
        assert server.connections == 1


async def test_pieces_come_as_they_arrive(client: HTTPClient) -> None:
    go_on = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(HEAD + b"transfer-encoding: chunked\r\n\r\n3\r\none\r\n")
        await go_on.wait()
        writer.write(b"3\r\ntwo\r\n0\r\n\r\n")
        await reader.read()

    async with ByteServer(handle) as server:
        response = await client.request("GET", server.url)
        assert await anext(response) == b"one"
        go_on.set()
        assert await anext(response) == b"two"
        with pytest.raises(StopAsyncIteration):
            await anext(response)


async def test_a_slow_reader_slows_the_server_down(client: HTTPClient) -> None:
    size = 64 * 2**20
    written = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await read_request(reader)
        writer.write(HEAD + b"content-length: %d\r\n\r\n" % size)
        while written < size:
            writer.write(bytes(2**16))
            written += 2**16
            await writer.drain()
        await reader.read()

    async with ByteServer(handle) as server:
        response = await client.request("GET", server.url)
        before = -1
        while written != before:  # until the server is held back
            before = written
            for _ in range(200):
                await asyncio.sleep(0)
        assert written < size
        assert response._buffered < 4 * HIGH_WATER
        assert len(await response.read()) == size
        assert written == size


@pytest.mark.parametrize(
    "broken",
    [
        CHUNKED[:-20],
        HEAD + b"transfer-encoding: chunked\r\n\r\n",
        LENGTH[:-1],
        HEAD + b"content-length: 11\r\n\r\n",
    ],
)
async def test_a_body_that_is_cut_off_is_broken(client: HTTPClient, broken: bytes) -> None:
    async with ByteServer(always(broken, keep=False)) as server:
        response = await client.request("GET", server.url, provider="p")
        with pytest.raises(
            BrokenAnswer, match="'p' gave a broken answer: the connection was closed before its end"
        ):
            await response.read()
        with pytest.raises(BrokenAnswer):
            await response.read()


async def test_what_arrived_before_a_cut_can_still_be_read(client: HTTPClient) -> None:
    async with ByteServer(always(LENGTH[:-3], keep=False)) as server:
        response = await client.request("GET", server.url)
        assert await anext(response) == b"hello wo"
        with pytest.raises(BrokenAnswer):
            await anext(response)


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"\x15\x03\x01\x00\x02\x02\x16",
        b"HTTP/1.1 abc\r\n\r\n",
        HEAD + b"bad header\r\n\r\n",
        HEAD + b"content-length: -5\r\n\r\n",
        HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_broken(client: HTTPClient, garbage: bytes) -> None:
    async with ByteServer(always(garbage)) as server:
        with pytest.raises(BrokenAnswer, match="not HTTP"):
            await (await client.request("GET", server.url)).read()
        await server.all_ended()


async def test_a_chunk_that_is_none_breaks_the_body(client: HTTPClient) -> None:
    async with ByteServer(always(CHUNKED[:-15] + b"zzz\r\n")) as server:
        response = await client.request("GET", server.url)
        with pytest.raises(BrokenAnswer, match="not HTTP"):
            await response.read()


@pytest.mark.parametrize("endless", [b"x-filler: " + b"y" * 1000 + b"\r\n", b"HTTP/1.1 103 Hints\r\n\r\n"])
async def test_an_endless_head_is_given_up(client: HTTPClient, endless: bytes) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        if not endless.startswith(b"HTTP"):
            writer.write(HEAD)
        while not writer.transport.is_closing():
            writer.write(endless)
            await writer.drain()

    async with ByteServer(handle) as server:
        with pytest.raises(BrokenAnswer, match="headers are larger than 65,536 bytes"):
            await client.request("GET", server.url)
        await server.all_ended()


async def test_endless_trailers_are_given_up(client: HTTPClient) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n")
        while not writer.transport.is_closing():
            writer.write(b"x-filler: " + b"y" * 1000 + b"\r\n")
            await writer.drain()

    async with ByteServer(handle) as server:
        response = await client.request("GET", server.url)
        with pytest.raises(BrokenAnswer, match="headers are larger"):
            await response.read()


async def test_a_body_over_the_limit_is_broken_and_closed(client: HTTPClient) -> None:
    async with ByteServer(always(answer(bytes(5000)))) as server:
        assert len(await (await client.request("GET", server.url)).read(limit=5000)) == 5000
        with pytest.raises(BrokenAnswer, match="larger than 4,999 bytes"):
            await (await client.request("GET", server.url)).read(limit=4999)


async def test_a_complete_small_answer_needs_no_further_waiting(client: HTTPClient) -> None:
    async with ByteServer(always(answer(b"hello"))) as server:
        response = await client.request("GET", server.url)
        assert response.ended
        reading = response.read()
        with pytest.raises(StopIteration) as done:
            reading.send(None)
        assert done.value.value == b"hello"


async def test_a_reset_is_told_apart_from_a_close(client: HTTPClient) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)  # the rest is left unread: the kernel resets when it is closed
        writer.write(LENGTH[:-1])
        await writer.drain()
        writer.transport.abort()

    async with ByteServer(handle) as server:
        with pytest.raises(BrokenAnswer, match=r"was (reset|closed)"):
            await (await client.request("POST", server.url, body=bytes(3_000_000))).read()


TOMORROW = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)


@pytest.mark.parametrize(
    ("told", "least", "most"),
    [
        ("20", 20, 20),
        ("0", 0, 0),
        ("9" * 400, LONGEST_WAIT, LONGEST_WAIT),
        pytest.param(TOMORROW, 3600, 86400, id="tomorrow"),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0, 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_WAIT, LONGEST_WAIT),
    ],
)
async def test_when_to_ask_again_is_told_in_seconds(client: HTTPClient, told: str, least: int, most: int) -> None:
    whole = answer(b"", f"retry-after: {told}", status="429 Too Many Requests")
    async with ByteServer(always(whole)) as server, await client.request("GET", server.url) as response:
        assert response.retry_after is not None
        assert least <= response.retry_after <= most


@pytest.mark.parametrize("told", ["", "soon", "-1", "1e9", "\u00b2", "Mon, 99 Foo 2026 00:00:00 GMT"])
async def test_what_is_no_time_to_ask_again_is_none(client: HTTPClient, told: str) -> None:
    whole = answer(b"", f"retry-after: {told}", status="503 Service Unavailable")
    async with ByteServer(always(whole)) as server, await client.request("GET", server.url) as response:
        assert response.retry_after is None
