"""Promises that rest on the inside of uvicorn's protocol class."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.doors.gateway.asking import LIMIT_S, Running, decode, until

from lmbridge.doors.gateway.protocol import GatewayProtocol

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


async def test_what_is_not_http_after_a_request_does_not_spoil_its_answer(door: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(request(door.port) + b"this is not HTTP\r\n\r\n")
    async with asyncio.timeout(LIMIT_S):
        got = await reader.read()
    writer.close()
    assert got.count(b"HTTP/1.1") == 1
    assert decode(got).status == 200


async def test_what_comes_after_the_last_request_of_a_connection_is_not_answered(door: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(request(door.port, more="connection: close\r\n") + request(door.port))
    async with asyncio.timeout(LIMIT_S):
        got = await reader.read()
    writer.close()
    assert got.count(b"HTTP/1.1") == 1
    assert decode(got).status == 200


async def test_a_body_in_chunks_is_put_together(door: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    head = request(door.port).partition(b"content-length")[0] + b"transfer-encoding: chunked\r\n\r\n"
    writer.write(head + b"".join(b"1\r\n%c\r\n" % byte for byte in HELLO) + b"0\r\n\r\n")
    assert decode(await read_answer(reader)).status == 200
    writer.close()


async def test_a_body_that_breaks_off_its_own_coding_is_refused(door: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    head = request(door.port).partition(b"content-length")[0] + b"transfer-encoding: chunked\r\n\r\n"
    writer.write(head + b"5\r\n{    \r\nnonsense\r\n")
    async with asyncio.timeout(LIMIT_S):
        got = decode(await reader.read())
    writer.close()
    assert (got.status, got.headers["connection"]) == (400, "close")


async def test_many_requests_sent_ahead_are_all_answered(door: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(request(door.port) * 40)
    for _ in range(40):
        assert decode(await read_answer(reader)).status == 200
    writer.close()


async def test_head_gets_the_head_alone(door: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(f"HEAD /health HTTP/1.1\r\nhost: 127.0.0.1:{door.port}\r\n\r\n".encode() + request(door.port))
    async with asyncio.timeout(LIMIT_S):
        head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert decode(await read_answer(reader)).json["object"] == "chat.completion"
    writer.close()


async def test_the_path_of_an_absolute_target_is_understood(door: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    target = f"http://127.0.0.1:{door.port}/health?x=1"
    writer.write(f"GET {target} HTTP/1.1\r\nhost: 127.0.0.1:{door.port}\r\n\r\n".encode())
    assert decode(await read_answer(reader)).status == 200
    writer.close()


@pytest.mark.parametrize("framing", ["content-length", "chunked"])
async def test_a_client_that_offers_another_protocol_is_answered_in_this_one(door: Running, framing: str) -> None:
    # What Java's client sends with every request unless told otherwise.
    more = "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAA\r\n"
    asked = request(door.port, more=more)
    if framing == "chunked":
        head = asked.partition(b"content-length")[0] + b"transfer-encoding: chunked\r\n\r\n"
        asked = head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(HELLO), HELLO)
    health = f"GET /health HTTP/1.1\r\nhost: 127.0.0.1:{door.port}\r\n{more}\r\n".encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(asked + health + asked[:-5])
    assert decode(await read_answer(reader)).json["object"] == "chat.completion"
    assert decode(await read_answer(reader)).json["status"] == "ok"
    writer.write(asked[-5:])
    assert decode(await read_answer(reader)).json["object"] == "chat.completion"
    writer.close()


async def test_nothing_can_be_connected_to_through_the_gateway(door: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(f"CONNECT /x HTTP/1.1\r\nhost: 127.0.0.1:{door.port}\r\n\r\n".encode())
    async with asyncio.timeout(LIMIT_S):
        got = decode(await reader.read())
    writer.close()
    assert (got.status, got.code) == (400, "invalid_request")


async def test_a_body_that_does_not_come_is_not_waited_for_without_end(
    door: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GatewayProtocol, "body_s", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(request(door.port)[:-5])
    async with asyncio.timeout(LIMIT_S):
        got = decode(await reader.read())
    writer.close()
    assert (got.status, got.headers["connection"]) == (408, "close")


async def test_a_caller_who_does_not_read_his_answer_does_not_keep_his_place_for_ever(
    door: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GatewayProtocol, "stall_s", 0.05)
    said = " ".join(["x" * 1000] * 12_000)  # more than all buffers between here and there hold
    body = json.dumps(
        {"model": "fake-chat", "messages": [{"role": "user", "content": said}], "stream": True}
    ).encode()
    _, writer = await asyncio.open_connection("127.0.0.1", door.port)
    head = request(door.port).partition(b"content-length")[0]
    writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
    await until(lambda: any(tally.cancelled for tally in door.hub.activity.tallies))
    assert all(not state.leases for state in await door.hub.instances())
    writer.close()
