from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.doors.gateway.asking import running
from tests.fakes.byte_server import ByteServer, answer, read_request

from lmbridge.core.errors import (
    BridgeError,
    MethodNotAllowed,
    ModelBusy,
    NotEnoughMemory,
    ProviderRefused,
    Unauthorized,
    all_errors,
)
from lmbridge.core.provider import ProviderContext
from lmbridge.doors.gateway.status import HOPELESS, RETRY_AFTER, STATUS, headers_of, status_of
from lmbridge.providers.anthropic import AnthropicProvider
from lmbridge.providers.openai import OpenAIProvider

HELLO = [{"role": "user", "content": "hello"}]
ASKED = {
    "/v1/chat/completions": {"messages": HELLO},
    "/v1/responses": {"input": "hello"},
    "/v1/messages": {"messages": HELLO, "max_tokens": 9},
    "/api/chat": {"messages": HELLO},
    "/api/v1/chat": {"input": "hello"},
    "/api/v0/chat/completions": {"messages": HELLO},
}


def test_every_error_has_a_status_and_every_status_an_error() -> None:
    codes = {error.code for error in all_errors()}
    assert set(STATUS) == codes
    assert set(RETRY_AFTER) <= codes
    assert set(HOPELESS) <= codes
    assert not set(RETRY_AFTER) & HOPELESS


def test_every_status_is_an_error() -> None:
    assert all(400 <= status < 600 for status in STATUS.values())


@pytest.mark.parametrize(
    ("status", "shown"), [(400, 400), (429, 429), (401, 502), (403, 502), (500, 502), (None, 502)]
)
def test_what_a_provider_blames_on_the_request_keeps_its_status(status: int | None, shown: int) -> None:
    assert status_of(ProviderRefused("cloud", status, "no")) == shown


def test_headers_say_what_to_do() -> None:
    assert (b"retry-after", b"2") in headers_of(ModelBusy("m", 1))
    assert headers_of(ProviderRefused("p", 429, "slowly", retry_after=20)) == [(b"retry-after", b"20")]
    assert headers_of(ProviderRefused("p", 429, "slowly")) == []
    assert (b"x-should-retry", b"false") in headers_of(NotEnoughMemory("m", 2, 1))
    assert (b"www-authenticate", b'Bearer realm="lmbridge"') in headers_of(Unauthorized())
    assert (b"allow", b"GET, HEAD") in headers_of(MethodNotAllowed("PUT", "/", ["GET", "HEAD"]))
    assert headers_of(BridgeError("x")) == []


async def _busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that lists a model, and has had too many requests for more."""
    head, _ = await read_request(reader)
    if head.startswith(b"GET"):
        writer.write(answer(b'{"data": [{"id": "m"}], "has_more": false}'))
    else:
        body = b'{"type": "error", "error": {"type": "rate_limit_error", "message": "Slowly."}}'
        writer.write(answer(body, "retry-after: 20", status="429 Too Many Requests"))


@pytest.mark.parametrize("route", ASKED)
@pytest.mark.parametrize("kind", [OpenAIProvider, AnthropicProvider])
@pytest.mark.parametrize("stream", [False, True])
async def test_when_a_provider_wants_to_be_asked_again_is_told_in_every_language(
    kind: type[OpenAIProvider | AnthropicProvider], route: str, stream: bool, tmp_path: Path
) -> None:
    async with ByteServer(_busy) as server:
        provider = kind.create({"url": server.url, "key": "x"}, ProviderContext(tmp_path, "cloud"))
        async with running([provider], tmp_path) as up:
            got = await up.post(route, {"model": "m", "stream": stream, **ASKED[route]})
    assert b"Try again in 20 seconds." in got.body
    if route != "/api/v1/chat" or not stream:  # whose streams have begun by then
        assert (got.status, got.headers["retry-after"]) == (429, "20")
