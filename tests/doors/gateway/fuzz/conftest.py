"""A gateway in a thread of its own, as property tests have no event loop, and a quick way to ask it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Protocol

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from tests.doors.gateway.asking import LIMIT_S, Answer, Running, running
from tests.fakes.openai_server import fake_openai

from lmbridge.core.provider import ProviderContext
from lmbridge.providers.openai import OpenAIProvider


class Posting(Protocol):
    """Sends a body to a path of the gateway."""

    def __call__(self, path: str, body: object, headers: Mapping[str, str] = {}) -> Answer: ...


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as one:
        yield one


@pytest.fixture(scope="module")
def door(portal: BlockingPortal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway before the fake server."""
    home: Path = tmp_path_factory.mktemp("home")
    with portal.wrap_async_context_manager(fake_openai()) as server:
        provider = OpenAIProvider.create({"url": server.url}, ProviderContext(home, "fake"))
        with portal.wrap_async_context_manager(running([provider], home)) as up:
            yield up


@pytest.fixture
def post(door: Running) -> Iterator[Posting]:
    """Asks the door, on one connection as long as it stays open; each answer has a limit."""
    connection = HTTPConnection("127.0.0.1", door.port, timeout=LIMIT_S)

    def send(path: str, body: object, headers: Mapping[str, str] = {}) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request("POST", path, data, {"content-type": "application/json", **headers})
        got = connection.getresponse()
        told = {name.lower(): value for name, value in got.getheaders()}
        return Answer(got.status, told, got.read())

    try:
        yield send
    finally:
        connection.close()
