from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from tests.fakes.byte_server import ByteServer, always, answer, read_request

from lmbridge.clients.http import HTTPClient
from lmbridge.clients.lmstudio.identity import Identity, identify
from lmbridge.core.errors import ForeignServer, ProviderUnavailable


@pytest.fixture
async def http() -> AsyncIterator[HTTPClient]:
    async with HTTPClient(connect_timeout=2.0) as http:
        yield http


async def kind_of(http: HTTPClient, body: bytes, status: str = "200 OK") -> str:
    async with ByteServer(always(answer(body, status=status))) as server:
        return (await identify(http, server.url)).kind


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b'{"lmstudio":true}', "200 OK", "lmstudio"),
        (b'\xef\xbb\xbf{"lmstudio": true, "news": 1}', "200 OK", "lmstudio"),
        (b'{"error":"Unexpected endpoint or method. (GET /lmstudio-greeting)"}', "200 OK", "lmstudio"),
        (
            b'{"error":{"code":"invalid_api_key","message":"An LM Studio API token is required"}}',
            "401 No",
            "lmstudio",
        ),
        (b'{"lmstudio":false}', "200 OK", "foreign"),
        (b'{"error":"Not found"}', "200 OK", "foreign"),
        (b'{"lmstudio":"true"}', "200 OK", "foreign"),
        (b"<html>", "200 OK", "foreign"),
        (b"", "200 OK", "foreign"),
        (b"[" * 60_000, "200 OK", "foreign"),
        (b"x" * 70_000, "200 OK", "foreign"),
        (b'{"lmstudio":true}', "404 Not Found", "foreign"),
        (b"", "401 Unauthorized", "foreign"),
        (b"", "302 Found", "foreign"),
        (b"", "503 Busy", "down"),
    ],
)
async def test_only_lm_studio_greets_as_lm_studio(http: HTTPClient, body: bytes, status: str, kind: str) -> None:
    assert await kind_of(http, body, status) == kind


async def test_the_greeting_is_asked_without_a_token(http: HTTPClient) -> None:
    heads: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        heads.append(head.lower())
        writer.write(answer(b'{"lmstudio":true}'))

    async with ByteServer(handle) as server:
        identity = await identify(http, server.url + "/proxy", [("x-trace", "1")])
    assert identity.error("lmstudio", "http://h") is None
    assert heads[0].startswith(b"get /proxy/lmstudio-greeting ")
    assert b"authorization" not in heads[0]
    assert b"x-trace: 1" in heads[0]


async def test_nothing_there_is_down(http: HTTPClient) -> None:
    async with ByteServer(always(b"")) as server:
        url = server.url
    identity = await identify(http, url)
    assert identity.kind == "down"
    error = identity.error("lmstudio", url)
    assert isinstance(error, ProviderUnavailable)
    assert "lmbridge lmstudio start" in error.hint


async def test_who_accepts_and_says_nothing_is_silent(http: HTTPClient) -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)

    for handle, words in ((mute, "did not answer within 0.1 s"), (hang_up, "closes them without an answer")):
        async with ByteServer(handle) as server:
            identity = await identify(http, server.url, limit=0.1)
        assert identity.kind == "silent"
        assert words in identity.reason
    async with ByteServer(mute) as server, HTTPClient(first_byte_timeout=0.05) as hasty:
        assert "silent for 0.05 s" in (await identify(hasty, server.url)).reason


async def test_who_speaks_no_http_is_somebody_else(http: HTTPClient) -> None:
    async with ByteServer(always(b"SSH-2.0-OpenSSH_9\r\n")) as server:
        identity = await identify(http, server.url)
    assert identity.kind == "foreign"
    error = identity.error("lmstudio", "http://h")
    assert isinstance(error, ForeignServer)
    assert "lms server start --port" in error.hint


async def test_a_connection_that_takes_too_long_is_down() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with HTTPClient(connect_timeout=1e-9) as http:
            identity = await identify(http, f"http://127.0.0.1:{listener.getsockname()[1]}")
    assert (identity.kind, identity.reason) == ("down", "no connection within 1e-09 s")


async def test_a_gateway_that_stands_in_for_lm_studio_says_which_process_it_is(http: HTTPClient) -> None:
    head = b"HTTP/1.1 200 OK\r\nx-lmbridge: 0123456789abcdef\r\ncontent-length: 17\r\n\r\n"
    async with ByteServer(always(head + b'{"lmstudio":true}')) as server:
        assert await identify(http, server.url) == Identity("lmstudio", "", "0123456789abcdef")
