"""The client against a server whose every byte the test decides."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.fakes.byte_server import ByteServer, always, answer, read_request

from lmbridge.clients.http import HTTPClient
from lmbridge.clients.http.address import origin
from lmbridge.clients.http.client import _no_connection
from lmbridge.core.errors import BrokenAnswer, InvalidRequest, ProviderTimeout, ProviderUnavailable

OK = answer(b"hello", "content-type: text/plain; charset=utf-8")


@pytest.fixture
async def client() -> AsyncIterator[HTTPClient]:
    async with HTTPClient() as client:
        yield client


async def test_an_answer_has_status_headers_and_body(client: HTTPClient) -> None:
    async with ByteServer(always(answer(b"hi", "X-One: 1", "X-One: 2", status="418 Teapot"))) as server:
        response = await client.request("GET", server.url + "/a?b=c")
        assert response.status == 418
        assert response.headers == [(b"content-length", b"2"), (b"x-one", b"1"), (b"x-one", b"2")]
        assert response.header(b"x-one") == b"1"
        assert response.header(b"none") == b""
        assert response.content_type == ""
        assert await response.read() == b"hi"


async def test_a_request_is_written_as_http_demands(client: HTTPClient) -> None:
    seen: list[tuple[bytes, bytes]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            seen.append(await read_request(reader))
            writer.write(OK)

    async with ByteServer(handle) as server:
        response = await client.request("POST", server.url + "/x?y", headers=[("X-Key", "secret")], body=b"{}")
        assert await response.read() == b"hello"
        assert response.content_type == "text/plain"
        await (await client.request("GET", server.url)).read()
        host = f"127.0.0.1:{server.port}".encode()
    assert seen[0] == (
        b"POST /x?y HTTP/1.1\r\nhost: " + host + b"\r\naccept-encoding: identity\r\nX-Key: secret\r\n"
        b"content-type: application/json\r\ncontent-length: 2\r\n\r\n",
        b"{}",
    )
    assert seen[1][0] == b"GET / HTTP/1.1\r\nhost: " + host + b"\r\naccept-encoding: identity\r\n\r\n"


async def test_a_large_body_arrives_whole(client: HTTPClient) -> None:
    sizes: list[int] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            sizes.append(len((await read_request(reader))[1]))
            writer.write(OK)

    async with ByteServer(handle) as server:
        for size in (0, 1, 70_000, 5_000_000):
            await (await client.request("POST", server.url, body=bytes(size))).read()
    assert sizes == [0, 1, 70_000, 5_000_000]


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize("whole", [OK, CHUNKED])
async def test_connections_are_used_again(client: HTTPClient, whole: bytes) -> None:
    async with ByteServer(always(whole)) as server:
        for _ in range(5):
            assert await (await client.request("GET", server.url)).read() == b"hello"
        assert server.connections == 1


async def test_many_requests_at_the_same_time_keep_their_answers_apart(client: HTTPClient) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            _, body = await read_request(reader)
            writer.write(answer(body))

    async def ask(number: int) -> None:
        for turn in range(20):
            body = f"{number}.{turn}".encode()
            async with await client.request("POST", server.url, body=body) as response:
                assert await response.read() == body

    async with ByteServer(handle) as server, asyncio.TaskGroup() as group:
        for number in range(30):
            group.create_task(ask(number))
    assert server.connections <= 30


async def test_a_connection_is_not_kept_when_it_is_for_one_request_only(client: HTTPClient) -> None:
    heads: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await read_request(reader))[0])
        writer.write(OK)
        await reader.read()

    async with ByteServer(handle) as server:
        for _ in range(2):
            await (await client.request("GET", server.url, keep_alive=False)).read()
        assert server.connections == 2
        await server.all_ended()
    assert b"\r\nconnection: close\r\n" in heads[0]


async def test_a_connection_is_not_kept_when_the_server_says_it_closes(client: HTTPClient) -> None:
    async with ByteServer(always(answer(b"x", "Connection: close"))) as server:
        for _ in range(2):
            assert await (await client.request("GET", server.url)).read() == b"x"
        assert server.connections == 2


async def test_no_more_than_the_allowed_number_of_connections_is_kept() -> None:
    everybody = asyncio.Barrier(3)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await everybody.wait()
        writer.write(OK)
        await reader.read()

    async with HTTPClient(max_idle=1) as client, ByteServer(handle) as server:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(client.request("GET", server.url))
        assert server.connections == 3
        assert [len(kept) for kept in client._idle.values()] == [1]


async def test_a_request_is_sent_again_when_a_kept_connection_turns_out_to_be_closed(client: HTTPClient) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await read_request(reader)  # the second request on a connection is read, and then it closes

    async with ByteServer(handle) as server:
        assert await (await client.request("GET", server.url)).read() == b"hello"
        assert await (await client.request("GET", server.url)).read() == b"hello"
        assert server.connections == 2


async def test_a_request_is_not_sent_again_once_an_answer_has_begun(client: HTTPClient) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await read_request(reader)
        writer.write(b"HTTP/1.1 20")

    async with ByteServer(handle) as server:
        await (await client.request("GET", server.url)).read()
        with pytest.raises(BrokenAnswer, match="closed before its end"):
            await client.request("GET", server.url)
        assert server.connections == 1


async def test_a_fresh_connection_that_closes_at_once_is_a_broken_answer(client: HTTPClient) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)

    async with ByteServer(handle) as server:
        with pytest.raises(BrokenAnswer, match=r"'there' gave .* closed before it began"):
            await client.request("GET", server.url, provider="there")
        assert server.connections == 1


async def test_a_connection_closed_while_idle_is_not_used_again(client: HTTPClient) -> None:
    async with ByteServer(always(OK, keep=False)) as server:
        await (await client.request("GET", server.url)).read()
        await server.all_ended()
        assert await (await client.request("GET", server.url)).read() == b"hello"


async def test_a_server_that_talks_unasked_loses_its_connection(client: HTTPClient) -> None:
    said = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await said.wait()
        writer.write(answer(b"", status="408 Request Timeout"))
        assert not await reader.read()

    async with ByteServer(handle) as server:
        await (await client.request("GET", server.url)).read()
        said.set()
        await server.all_ended()


@pytest.mark.parametrize(
    "extra", [OK, b"x", b"HTTP/1.1 200 OK\r\n"], ids=["second answer", "garbage", "half an answer"]
)
async def test_bytes_after_an_answer_do_not_reach_the_next_one(client: HTTPClient, extra: bytes) -> None:
    async with ByteServer(always(OK + extra)) as server:
        for _ in range(2):
            assert await (await client.request("GET", server.url)).read() == b"hello"
        assert server.connections == 2


async def test_an_answer_before_the_request_was_read_closes_the_connection(client: HTTPClient) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(b"too much", status="413 Too Large"))
        await writer.drain()
        await asyncio.Event().wait()

    async with ByteServer(handle) as server:
        response = await client.request("POST", server.url, body=bytes(30_000_000))
        assert response.status == 413
        assert await response.read() == b"too much"
        await (await client.request("POST", server.url)).read()
        assert server.connections == 2


async def test_ipv6_and_names_are_understood(client: HTTPClient) -> None:
    async with ByteServer(always(OK), host="127.0.0.1") as server:
        url = f"http://localhost:{server.port}/"
        assert await (await client.request("GET", url)).read() == b"hello"
    with suppress(OSError):  # a machine without IPv6 on loopback
        async with ByteServer(always(OK), host="::1") as six:
            assert six.url.startswith("http://[::1]:")
            assert await (await client.request("GET", six.url)).read() == b"hello"


def _tls(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    here = Path(__file__).parents[2] / "fakes" / "localhost.pem"
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(here)
    trusting = ssl.create_default_context(cafile=str(here))
    return server, trusting


async def test_https_works_and_an_unknown_certificate_is_refused(tmp_path: Path) -> None:
    serving, trusting = _tls(tmp_path)
    async with ByteServer(always(OK), tls=serving) as server:
        url = f"https://localhost:{server.port}/"
        async with HTTPClient(tls=trusting) as client:
            for _ in range(2):
                assert await (await client.request("GET", url)).read() == b"hello"
            assert server.connections == 1
        async with HTTPClient() as client:
            with pytest.raises(ProviderUnavailable, match=r"certificate of localhost:\d+ is not trusted"):
                await client.request("GET", url)


async def test_https_to_a_server_without_tls_is_explained(client: HTTPClient) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer(b"", status="400 Bad Request"))

    async with ByteServer(handle) as server:
        with pytest.raises(ProviderUnavailable, match="does not speak TLS"):
            await client.request("GET", f"https://127.0.0.1:{server.port}/")


async def test_a_refused_connection_is_explained(client: HTTPClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ProviderUnavailable, match=rf"'p' .*nothing answers at 127.0.0.1:{port}"):
        await client.request("GET", f"http://127.0.0.1:{port}/", provider="p")
    with pytest.raises(ProviderUnavailable, match="nothing answers at localhost"):
        await client.request("GET", f"http://localhost:{port}/")


async def test_a_name_that_does_not_exist_is_explained(client: HTTPClient) -> None:
    with pytest.raises(ProviderUnavailable, match=r"the name 'nowhere.invalid' is not known"):
        await client.request("GET", "http://nowhere.invalid/")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://host/", "begin with http"),
        ("host:80", "begin with http"),
        ("http://user:sesame@host/", "must not hold a user name"),
        ("http:///path", "no host name"),
        ("http://host/a b", "percent-encoded"),
        ("http://host/ä", "percent-encoded"),
        ("http://host:port/", "port"),
        ("http://host:99999/", "[Pp]ort"),
    ],
)
async def test_a_url_that_cannot_be_asked_is_explained(client: HTTPClient, url: str, reason: str) -> None:
    with pytest.raises(ProviderUnavailable, match=reason) as caught:
        await client.request("GET", url)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    "header",
    [
        ("a", "x\r\nb: c"),
        ("a", "x\ny"),
        ("a", "x\0y"),
        ("a", "é"),
        ("a b", "x"),
        ("", "x"),
        ("a:", "x"),
        ("a\r\n", "x"),
        ("Host", "elsewhere"),
        ("Content-Length", "7"),
        ("transfer-encoding", "chunked"),
    ],
)
async def test_a_header_cannot_smuggle_anything_in(client: HTTPClient, header: tuple[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        await client.request("GET", "http://127.0.0.1:9/", headers=[header])


@pytest.mark.parametrize("method", ["", "GET /x", "GET\r\n", "HEAD", "CONNECT"])
async def test_a_method_cannot_smuggle_anything_in(client: HTTPClient, method: str) -> None:
    with pytest.raises(InvalidRequest):
        await client.request(method, "http://127.0.0.1:9/")


async def test_a_secret_is_in_no_error(client: HTTPClient) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await client.request("GET", "http://127.0.0.1:9/", headers=[("authorization", "Bearer sesame\n")])
    assert "sesame" not in str(caught.value)


async def test_silence_before_the_head_is_a_timeout() -> None:
    async with HTTPClient(first_byte_timeout=0.05) as client, ByteServer(_mute) as server:
        with pytest.raises(ProviderTimeout) as caught:
            await client.request("GET", server.url, provider="p")
        assert (caught.value.provider, caught.value.phase, caught.value.seconds) == ("p", "first byte", 0.05)
        await server.all_ended()


async def test_silence_on_a_kept_connection_is_a_timeout_and_not_sent_again() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await _mute(reader, writer)

    async with HTTPClient(first_byte_timeout=0.2) as client, ByteServer(handle) as server:
        await (await client.request("GET", server.url)).read()
        with pytest.raises(ProviderTimeout):
            await client.request("GET", server.url)
        assert server.connections == 1


async def test_silence_within_the_body_is_a_timeout() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
        await reader.read()

    async with HTTPClient(idle_timeout=0.05) as client, ByteServer(handle) as server:
        response = await client.request("GET", server.url)
        assert await anext(response) == b"half"
        with pytest.raises(ProviderTimeout, match="idle"):
            await anext(response)
        await server.all_ended()


async def test_a_connection_that_is_never_accepted_is_a_timeout() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = []
        for _ in range(3):  # fill the backlog, so that the next one gets no answer
            waiting.append(one := socket.socket())
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        async with HTTPClient(connect_timeout=0.1) as client:
            with pytest.raises(ProviderTimeout, match="connect"):
                await client.request("GET", f"http://127.0.0.1:{port}/")
        for one in waiting:
            one.close()


async def test_cancelling_a_request_closes_its_connection(client: HTTPClient) -> None:
    asked = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        asked.set()
        assert not await reader.read()

    async with ByteServer(handle) as server:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(client.request("GET", server.url))
            await asked.wait()
            task.cancel()
        assert task.cancelled()
        await server.all_ended()


async def test_cancelling_a_request_while_it_connects_leaves_nothing_behind() -> None:
    async with ByteServer(_mute) as server, HTTPClient() as client:
        for turns in range(12):  # wherever on its way it is
            async with asyncio.TaskGroup() as group:
                task = group.create_task(client.request("GET", server.url))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
        async with asyncio.timeout(5):
            await client.aclose()
    assert not client._all


async def test_leaving_an_answer_early_closes_its_connection(client: HTTPClient) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        await reader.read()

    async with ByteServer(handle) as server:
        async with await client.request("GET", server.url) as response:
            assert await anext(response) == b"half"
            assert not response.ended
        await server.all_ended()
        with pytest.raises(BrokenAnswer, match="closed on this side"):
            await response.read()


async def test_closing_the_client_breaks_what_is_under_way_and_refuses_more() -> None:
    client = HTTPClient()
    await client.aclose()
    client = HTTPClient()
    asked = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        asked.set()
        await reader.read()

    async with ByteServer(handle) as server, asyncio.TaskGroup() as group:

        async def ask() -> None:
            with pytest.raises(BrokenAnswer, match="closed on this side"):
                await client.request("GET", server.url)

        group.create_task(ask())
        await asked.wait()
        await client.aclose()
        await client.aclose()
        with pytest.raises(ProviderUnavailable, match="closed"):
            await client.request("GET", server.url)


async def test_closing_twice_at_the_same_time_is_closing_once() -> None:
    client = HTTPClient()
    async with ByteServer(always(OK)) as server:
        await (await client.request("GET", server.url)).read()
        await asyncio.gather(client.aclose(), client.aclose())
        await server.all_ended()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(110, "Connection timed out"), "Connection timed out"),
        (ConnectionResetError(104, "reset"), "closed the connection at once"),
        (OSError(113, "No route to host"), "no connection to h:80 (No route to host)"),
    ],
)
def test_rarer_failures_are_in_plain_words_too(error: OSError, words: str) -> None:
    found = _no_connection(error, origin("http://h/"), "p", None)
    assert isinstance(found, ProviderUnavailable)
    assert words in found.message


async def test_a_client_closed_while_it_connects_keeps_nothing() -> None:
    client = HTTPClient()
    async with ByteServer(_mute) as server, asyncio.TaskGroup() as group:

        async def ask() -> None:
            with pytest.raises(ProviderUnavailable, match="this client is closed"):
                await client.request("GET", server.url)

        group.create_task(ask())
        await asyncio.sleep(0)  # it has begun to connect
        await client.aclose()


async def test_old_idle_connections_are_closed(client: HTTPClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmbridge.clients.http.client.MAX_IDLE_AGE", 0.01)
    async with ByteServer(always(OK)) as server:
        await (await client.request("GET", server.url)).read()
        await server.all_ended()


async def test_only_old_idle_connections_are_closed(client: HTTPClient) -> None:
    async with ByteServer(always(OK)) as old, ByteServer(always(OK)) as young:
        for server in (old, young):
            await (await client.request("GET", server.url)).read()
        next(kept for place, kept in client._idle.items() if place[1] == old.port)[0].idle_since -= 100
        client._sweep()
        await old.all_ended()
        assert [place[1] for place in client._idle] == [young.port]


async def test_an_idle_connection_past_its_age_is_not_used(
    client: HTTPClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ByteServer(always(OK)) as server:
        await (await client.request("GET", server.url)).read()
        monkeypatch.setattr("lmbridge.clients.http.client.MAX_IDLE_AGE", -1.0)
        await (await client.request("GET", server.url)).read()
        assert server.connections == 2


async def test_an_encoded_body_is_refused(client: HTTPClient) -> None:
    async with ByteServer(always(answer(b"\x1f\x8b", "Content-Encoding: gzip"))) as server:
        with pytest.raises(BrokenAnswer, match="gzip"):
            await client.request("GET", server.url)
    unfinished = answer(b"\x1f\x8b", "Content-Encoding: gzip")[:-1]
    async with ByteServer(always(unfinished)) as server:
        with pytest.raises(BrokenAnswer, match="gzip"):
            await client.request("GET", server.url)
        await server.all_ended()
    async with ByteServer(always(answer(b"x", "Content-Encoding: identity"))) as server:
        assert await (await client.request("GET", server.url)).read() == b"x"


async def test_the_heads_that_are_remembered_are_limited(
    client: HTTPClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmbridge.clients.http.client._MAX_HEADS", 3)
    async with ByteServer(always(OK)) as server:
        for number in range(10):
            await (await client.request("GET", f"{server.url}/{number}")).read()
    assert len(client._heads) <= 3


async def _mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    while await reader.read(65536):
        pass


async def test_idle_connections_can_be_given_a_shorter_life() -> None:
    async with ByteServer(always(OK)) as server, HTTPClient(max_idle_age=0.01) as client:
        await (await client.request("GET", server.url)).read()
        await server.all_ended()
