"""A computer whose LM Studio, and nobody else's, is looked at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
from tests.fakes.byte_server import ByteServer
from tests.fakes.lmstudio import FakeInstall, install_fake
from tests.fakes.lmstudio.install import free_port

from lmbridge.clients.http import HTTPClient
from lmbridge.machine.lmstudio.home import Places
from lmbridge.providers.lmstudio import look as look_module


@pytest.fixture(autouse=True)
def default_port(monkeypatch: pytest.MonkeyPatch) -> int:
    """In the place of 1234, where a developer's own LM Studio may answer."""
    port = free_port()
    monkeypatch.setattr(look_module, "DEFAULT_PORT", port)
    return port


@pytest.fixture
async def http() -> AsyncIterator[HTTPClient]:
    async with HTTPClient(connect_timeout=10, first_byte_timeout=10) as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder, its name as names are."""
    return tmp_path / "Ada Ünal's home"


class MakeInstall(Protocol):
    def __call__(self, **about: Any) -> FakeInstall: ...


@pytest.fixture
def make_install(folder: Path) -> Iterator[MakeInstall]:
    """Installs a fake LM Studio; what it starts ends with the test."""
    made: list[FakeInstall] = []

    def make(**about: Any) -> FakeInstall:
        install = install_fake(folder, **about)
        made.append(install)
        return install

    yield make
    for install in made:
        install.stop()


def places_of(install: FakeInstall) -> Places:
    """That user's computer, on which there is nothing else."""
    return Places(install.environ, install.user_home, "linux", install.user_home)


@asynccontextmanager
async def web_page(port: int) -> AsyncIterator[ByteServer]:
    """Another program on a port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello")
        await writer.drain()
        writer.close()

    async with ByteServer(serve, port=port) as server:
        yield server


@asynccontextmanager
async def silence(port: int) -> AsyncIterator[ByteServer]:
    """A program that takes connections and says nothing."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with ByteServer(serve, port=port) as server:
        yield server
