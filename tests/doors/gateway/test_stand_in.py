"""The gateway where LM Studio would listen, on a free port in the place of 1234."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.doors.gateway.asking import SESSION, Running, ask, running, until

from lmbridge.clients.lmbridge import RemoteHub
from lmbridge.core.errors import UnsafeBind
from lmbridge.doors.gateway import GatewaySettings
from lmbridge.doors.gateway.server import bind
from lmbridge.hub.keys import KeyRing

YIELD = "/api/lmbridge/stand-in/yield"
MINE = {"authorization": f"Bearer {SESSION}"}


@pytest.fixture
def second() -> socket.socket:
    return bind("127.0.0.1", 0)


@pytest.fixture
async def door(second: socket.socket, tmp_path: Path) -> AsyncIterator[Running]:
    async with running([], tmp_path, stand_in=second) as up:
        yield up


async def test_both_addresses_are_answered_by_their_own_names_alone(door: Running, second: socket.socket) -> None:
    port = second.getsockname()[1]
    for number in (door.port, port):
        for name in ("127.0.0.1", "localhost"):
            got = await ask(number, "GET", "/lmstudio-greeting", headers={"host": f"{name}:{number}"})
            assert (got.status, got.body) == (200, b'{"lmstudio":true}')
    for host in (f"evil.example:{port}", f"127.0.0.1:{port + 1}"):
        assert (await ask(port, "GET", "/lmstudio-greeting", headers={"host": host})).status == 403


async def test_the_second_needs_a_key_where_the_first_does(second: socket.socket, tmp_path: Path) -> None:
    key = KeyRing(tmp_path / "keys.json").create("one")
    async with running([], tmp_path, stand_in=second):
        port = second.getsockname()[1]
        assert (await ask(port, "GET", "/api/v1/models")).status == 401
        assert (await ask(port, "GET", "/api/v1/models", headers={"authorization": f"Bearer {key}"})).status == 200


async def test_it_is_given_up_at_once_for_who_started_the_gateway(door: Running, second: socket.socket) -> None:
    port = second.getsockname()[1]
    assert (await door.post(YIELD, {})).status == 401
    assert door.gateway.stand_in.listens
    assert (await door.post(YIELD, {"listen": False}, MINE)).status == 400
    assert (await door.post(YIELD, {}, MINE)).json == {"yielded": True}
    await until(lambda: _free(port))
    assert not door.gateway.stand_in.listens
    assert (await door.post(YIELD, {}, MINE)).json == {"yielded": False}
    assert (await door.get("/lmstudio-greeting")).status == 200


async def test_our_own_client_has_it_given_up(door: Running, second: socket.socket) -> None:
    async with RemoteHub(door.url, SESSION) as remote:
        assert await remote.give_up_stand_in()
        assert not await remote.give_up_stand_in()
    await until(lambda: second.fileno() == -1)


async def test_it_is_free_when_the_gateway_has_ended(second: socket.socket, tmp_path: Path) -> None:
    port = second.getsockname()[1]
    async with running([], tmp_path, stand_in=second):
        assert not _free(port)
    assert _free(port)


async def test_it_is_free_when_the_gateway_could_not_start(second: socket.socket, tmp_path: Path) -> None:
    with pytest.raises(UnsafeBind):
        async with running([], tmp_path, GatewaySettings(host="0.0.0.0", port=0), stand_in=second):  # noqa: S104
            raise AssertionError
    assert second.fileno() == -1


def _free(port: int) -> bool:
    try:
        with closing(socket.create_server(("127.0.0.1", port))):
            return True
    except OSError:
        return False
