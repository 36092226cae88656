"""Promises that rest on the inside of uvicorn's protocol class."""

from __future__ import annotations

import asyncio
import json

from tests.doors.gateway.asking import LIMIT_S, Running, decode

CHAT = "/v1/chat/completions"
HELLO = json.dumps({"model": "fake-chat", "messages": [{"role": "user", "content": "hello"}]}).encode()


def request(port: int, *, version: str = "1.1", more: str = "") -> bytes:
    head = f"POST {CHAT} HTTP/{version}\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n{more}"
    return head.encode() + b"content-length: %d\r\n\r\n" % len(HELLO) + HELLO


async def read_answer(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(LIMIT_S):
        head = await reader.readuntil(b"\r\n\r\n")
        return head + await reader.readexactly(int(decode(head + b" " * 100_000).headers["content-length"]))


async def test_a_connection_is_used_again_and_again(door: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    for _ in range(5):
        writer.write(request(door.port))
        assert decode(await read_answer(reader)).status == 200
    writer.close()


async def test_requests_sent_without_waiting_are_answered_in_order(door: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    health = f"GET /health HTTP/1.1\r\nhost: 127.0.0.1:{door.port}\r\n\r\n".encode()
    writer.write(request(door.port) + health + request(door.port) + health)
    objects = [decode(await read_answer(reader)).json.get("object") for _ in range(4)]
    writer.close()
    assert objects == ["chat.completion", None, "chat.completion", None]


async def test_an_old_client_gets_its_answer_and_a_closed_connection(door: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(request(door.port, version="1.0"))
    async with asyncio.timeout(LIMIT_S):
        got = decode(await reader.read())
    writer.close()
    assert (got.status, got.headers["connection"]) == (200, "close")


async def test_a_client_that_waits_for_leave_to_send_gets_it(door: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    head, _, body = request(door.port, more="expect: 100-continue\r\n").partition(b"\r\n\r\n")
    writer.write(head + b"\r\n\r\n")
    async with asyncio.timeout(LIMIT_S):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert decode(await read_answer(reader)).status == 200
    writer.close()


async def test_a_request_in_single_bytes_is_understood(door: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    for byte in request(door.port):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)
    assert decode(await read_answer(reader)).status == 200
    writer.close()


async def test_many_small_heads_on_one_connection_do_not_add_up(door: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    for _ in range(5):
        writer.write(request(door.port, more=f"x-more: {'x' * 20_000}\r\n"))
        assert decode(await read_answer(reader)).status == 200
    writer.close()
