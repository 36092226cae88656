"""What the gateway is asked before another program is told of it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from tests.fakes.byte_server import ByteServer, always, answer
from tests.fakes.openai_server import fake_openai

from lmbridge.cli.programs.asked import Gateway, gateway, listed, model
from lmbridge.config import load_config
from lmbridge.core.errors import (
    BridgeError,
    ForeignServer,
    InvalidRequest,
    ModelNotFound,
    NotRunning,
    Unauthorized,
)

pytestmark = pytest.mark.anyio


async def test_the_models_are_listed_with_the_key_that_is_given() -> None:
    async with fake_openai(key="k") as fake:
        assert "fake-chat" in await listed(f"{fake.url}/models", "k")
        for key in ("", "wrong"):
            with pytest.raises(Unauthorized):
                await listed(f"{fake.url}/models", key)


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"data": [{"id": 1}]}', b"[]", b""])
async def test_something_else_that_answers_is_told(body: bytes) -> None:
    async with ByteServer(always(answer(body))) as server:
        with pytest.raises(ForeignServer):
            await listed(f"{server.url}/v1/models", "")


async def test_an_error_of_a_server_is_passed_on() -> None:
    async with ByteServer(always(answer(b"<html>", status="500 Oh"))) as server:
        with pytest.raises(BridgeError):
            await listed(f"{server.url}/v1/models", "")


async def test_where_nothing_listens_no_gateway_runs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(NotRunning, match=f"No gateway answers at http://127.0.0.1:{port}. "):
        await listed(f"http://127.0.0.1:{port}/v1/models", "")


async def test_a_gateway_that_is_named_is_asked_whether_it_wants_a_key(tmp_path: Path) -> None:
    config = load_config(environ={"LMBRIDGE_HOME": str(tmp_path)})
    async with fake_openai() as fake:
        there = await gateway(config, f"{fake.url}/", check=True)
        assert (there.url, there.needs_key) == (fake.url.removesuffix("/v1"), False)
        assert "fake-chat" in (there.models or ())
    async with fake_openai(key="k") as fake:
        there = await gateway(config, fake.url, check=True)
        assert (there.needs_key, there.own_key, there.models) == (True, "", None)
        assert "'k'" not in repr(there)


async def test_unasked_the_settings_are_believed(tmp_path: Path) -> None:
    environ = {"LMBRIDGE_HOME": str(tmp_path), "LMBRIDGE_GATEWAY_PORT": "4321"}
    assert await gateway(load_config(environ=environ), "", check=False) == Gateway("http://127.0.0.1:4321")
    with pytest.raises(NotRunning):
        await gateway(load_config(environ=environ), "", check=True)


async def test_a_model_of_another_gateway_must_be_named_and_be_there() -> None:
    there = Gateway("http://x", models=("a", "b"))
    assert await model(there, "a", check=True) == "a"
    with pytest.raises(ModelNotFound):
        await model(there, "c", check=True)
    with pytest.raises(ModelNotFound):
        await model(Gateway("http://x", models=()), "c", check=True)
    with pytest.raises(InvalidRequest, match="which model"):
        await model(there, "", check=True)
    assert await model(Gateway("http://x"), "c", check=False) == "c"
