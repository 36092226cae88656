"""No request makes the gateway fetch an address or read a path that the request names, in whichever API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.doors.gateway.asking import Running, running

from lmbridge.core.provider import ProviderContext
from lmbridge.providers.embedded import EmbeddedProvider

TINY = "lmbridge-tiny"


@pytest.fixture(scope="module")
async def up(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    home = tmp_path_factory.mktemp("home")
    provider = EmbeddedProvider.create({"lmstudio_models": False}, ProviderContext(home, "embedded"))
    async with running([provider], home) as one:
        yield one


class Lure:
    """A server that nobody should come to."""

    def __init__(self) -> None:
        self.visits = 0

    def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits += 1
        writer.close()


@pytest.fixture
async def lure() -> AsyncIterator[tuple[Lure, str]]:
    visited = Lure()
    async with await asyncio.start_server(visited, "127.0.0.1", 0) as server:
        yield visited, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/picture.png"


def with_picture(url: str) -> dict[str, dict[str, object]]:
    """A request with a picture to each route that takes one."""
    openai = [{"type": "image_url", "image_url": {"url": url}}]
    anthropic = [{"type": "image", "source": {"type": "url", "url": url}}]
    responses = [{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]
    ollama = [{"role": "user", "content": "x", "images": [url]}]
    return {
        "/v1/chat/completions": {"messages": [{"role": "user", "content": openai}]},
        "/v1/messages": {"max_tokens": 4, "messages": [{"role": "user", "content": anthropic}]},
        "/v1/messages/count_tokens": {"messages": [{"role": "user", "content": anthropic}]},
        "/v1/responses": {"input": responses},
        "/v1/responses/input_tokens": {"input": responses},
        "/api/v0/chat/completions": {"messages": [{"role": "user", "content": openai}]},
        "/api/v1/chat": {"input": [{"type": "image", "data_url": url}]},
        "/api/chat": {"messages": ollama},
        "/api/generate": {"prompt": "x", "images": [url]},
    }


async def test_the_address_of_a_picture_is_refused_and_not_fetched(up: Running, lure: tuple[Lure, str]) -> None:
    visited, address = lure
    for url in (address, "file:///etc/passwd", "/etc/passwd", f"//{address.removeprefix('http://')}"):
        for path, body in with_picture(url).items():
            for stream in (False, True):
                asked = body if "count" in path or "input_tokens" in path else {**body, "stream": stream}
                got = await up.post(path, {"model": TINY, **asked})
                assert got.status == 400, (path, url, got.body)
                assert b"base64" in got.body
    assert visited.visits == 0


async def test_servers_of_tools_that_a_request_names_are_not_called(up: Running, lure: tuple[Lure, str]) -> None:
    visited, url = lure
    server = {"type": "mcp", "server_label": "x", "server_url": url, "require_approval": "never"}
    hello = [{"role": "user", "content": "x"}]
    for path, body in (
        ("/v1/responses", {"input": "x", "tools": [server]}),
        ("/api/v1/chat", {"input": "x", "integrations": [{"type": "ephemeral_mcp", "server_url": url}]}),
        ("/v1/messages", {"max_tokens": 4, "messages": hello, "mcp_servers": [{"type": "url", "url": url}]}),
    ):
        got = await up.post(path, {"model": TINY, **body})
        assert got.status == 400, (path, got.body)
    assert visited.visits == 0


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../../../etc/passwd", "file:///etc/passwd", "a\u0000b", "~/x.gguf"]
)
async def test_a_path_is_not_the_name_of_a_model(up: Running, name: str, tmp_path: Path) -> None:
    hello = [{"role": "user", "content": "x"}]
    for path, body in (
        ("/v1/chat/completions", {"messages": hello}),
        ("/v1/messages", {"messages": hello, "max_tokens": 4}),
        ("/v1/responses", {"input": "x"}),
        ("/v1/embeddings", {"input": "x"}),
        ("/api/v1/chat", {"input": "x"}),
        ("/api/v1/models/load", {}),
        ("/api/chat", {"messages": hello}),
        ("/api/show", {}),
        ("/api/lmbridge/models/load", {}),
    ):
        got = await up.post(path, {"model": name, **body})
        assert got.status in (400, 404), (path, got.body)
        assert b"root:" not in json.dumps(got.body.decode()).encode()
    for path in ("/v1/models/", "/api/v0/models/", "/v1/responses/"):
        for way in ("../../../../etc/passwd", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "..%5c..%5cx"):
            got = await up.get(f"{path}{way}")
            assert got.status in (400, 404), (path, way)
