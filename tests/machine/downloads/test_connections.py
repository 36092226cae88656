"""Requests through proxies and TLS, and why they fail in words."""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
import urllib.request
from pathlib import Path

import pytest
from tests.fakes.byte_server import ByteServer, always, answer, read_request
from tests.fakes.model_hub import FakeHub, model_hub
from tests.machine.downloads.conftest import IMPATIENT, Ordered, done

from lmbridge.core.errors import ConfigInvalid, ProviderUnavailable
from lmbridge.machine.downloads.connections import Connections, Interrupted, why
from lmbridge.machine.downloads.order import Account

CERTIFICATE = Path(__file__).parents[2] / "fakes" / "localhost.pem"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "the name 'hub' is not known"),
        (ConnectionRefusedError(111, "refused"), "nothing answers at hub:1"),
        (ConnectionResetError(104, "reset"), "hub:1 closed the connection"),
        (TimeoutError(), "hub:1 is silent"),
        (ssl.SSLError(1, "x"), "does not speak TLS"),
        (http.client.IncompleteRead(b"secret"), "does not speak HTTP as expected (IncompleteRead)"),
        (ValueError("Invalid header value b'Bearer hf_secret'"), "does not speak HTTP as expected (ValueError)"),
        (OSError(101, "Network is unreachable"), "no connection to hub:1 (Network is unreachable)"),
        (OSError("Tunnel connection failed: 407 Proxy Authentication Required"), "let us through (status 407)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_every_failure_is_told_in_words_that_hold_no_secret(error: Exception, words: str) -> None:
    assert words in why(error, "hub:1")
    assert "secret" not in why(error, "hub:1")


async def test_a_proxy_of_the_environment_is_used(
    hub: FakeHub, order: Ordered, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        line, rest = head.split(b"\r\n", 1)
        method, target, version = line.split(b" ")
        seen.append(target.decode())
        place, path = target.removeprefix(b"http://").split(b"/", 1)
        port = hub.hub.port if place == b"hub.example" else int(place.split(b":")[1])
        there, onwards = await asyncio.open_connection("127.0.0.1", port)
        onwards.write(b"%s /%s %s\r\n%s" % (method, path, version, rest))
        writer.write(await there.read())
        onwards.close()

    hub.add("o/m", {"m-Q4_K_M.gguf": model})
    async with ByteServer(forward) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        await done(order("o/m", account=Account("http://hub.example")))
    assert [target.split("/")[2].split(":")[0] for target in seen] == ["hub.example", "hub.example", "127.0.0.1"]


async def test_a_proxy_that_is_down_is_the_one_that_is_named(
    order: Ordered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with pytest.raises(ProviderUnavailable, match=r"nothing answers at the proxy 127\.0\.0\.1:9"):
        await done(order("o/m", account=Account("http://hub.example")))


async def test_a_proxy_that_wants_a_login_says_so(order: Ordered, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = answer(b"", "proxy-authenticate: Basic", status="407 Proxy Authentication Required")
    async with ByteServer(always(refusal, keep=False)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(ProviderUnavailable, match="status 407"):
            await done(order("o/m", account=Account("https://hub.example")))


async def test_hosts_are_spared_the_proxy_as_the_environment_says(
    hub: FakeHub, order: Ordered, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("o/m", {"m-Q4_K_M.gguf": model})
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert (await done(order("o/m"))).fetched


async def test_a_socks_proxy_is_refused_by_name(order: Ordered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1080")
    with pytest.raises(ConfigInvalid, match="SOCKS"):
        await done(order("o/m"))


async def test_https_is_checked_against_what_is_trusted(
    order: Ordered, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    async with model_hub(context) as hub:
        hub.add("o/m", {"m-Q4_K_M.gguf": model})
        account = Account(f"https://localhost:{hub.hub.port}")
        with pytest.raises(ProviderUnavailable, match="certificate of localhost:"):
            await done(order("o/m", account=account))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE))
        assert (await done(order("o/m", account=account))).fetched


async def test_a_server_without_tls_is_explained(order: Ordered) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"", status="400 Bad Request"))

    async with ByteServer(plain) as server:
        account = Account(server.url.replace("http:", "https:"))
        with pytest.raises(ProviderUnavailable, match="does not speak TLS"):
            await done(order("o/m", account=account))


async def test_silence_ends_after_the_limit() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with ByteServer(silent) as server:
        request = urllib.request.Request(server.url)  # noqa: S310  # loopback
        with pytest.raises(Interrupted, match="is silent"):
            await asyncio.to_thread(Connections(IMPATIENT).send, request)
