from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.doors.gateway.asking import Running, ask, running

from lmbridge.core.errors import ContextExceeded, ModelNotFound
from lmbridge.doors.gateway import GatewaySettings
from lmbridge.doors.gateway.lmstudio.families import FAITHFUL, LMSTUDIO
from lmbridge.providers.openai import OpenAIProvider

TOO_LONG = ContextExceeded(5000, 4096)


def test_too_long_a_prompt_is_the_callers_mistake_unless_lm_studio_is_followed_to_the_letter() -> None:
    assert LMSTUDIO.status(TOO_LONG) == 400
    assert FAITHFUL.status(TOO_LONG) == 500
    assert json.loads(LMSTUDIO.body(TOO_LONG))["error"]["type"] == "invalid_request"
    assert json.loads(FAITHFUL.body(TOO_LONG))["error"]["type"] == "internal_error"
    assert FAITHFUL.status(ModelNotFound("m", ())) == LMSTUDIO.status(ModelNotFound("m", ())) == 404


def test_both_have_an_event_for_streams() -> None:
    for family in (LMSTUDIO, FAITHFUL):
        assert family.event(TOO_LONG).startswith(b"event: error\n")


@pytest.fixture
async def faithful(provider: OpenAIProvider, tmp_path: Path) -> AsyncIterator[Running]:
    async with running([provider], tmp_path, GatewaySettings(port=0, lmstudio_quirks=True)) as up:
        yield up


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/tokenize"),
        ("POST", "/v1/models/unload"),
        ("GET", "/v1//models"),
        ("POST", "/chat/completions"),
        ("DELETE", "/v1/models"),
        ("OPTIONS", "/v1/models"),
        ("OPTIONS", "/nowhere"),
    ],
)
async def test_an_unknown_route_is_an_error_with_status_200_where_that_is_wished(
    faithful: Running, door: Running, method: str, path: str
) -> None:
    got = await ask(faithful.port, method, path)
    assert (got.status, got.json) == (200, {"error": f"Unexpected endpoint or method. ({method} {path})"})
    honest = await ask(door.port, method, path)
    assert honest.status in (404, 405) or (method, honest.status) == ("OPTIONS", 204)


async def test_an_unknown_name_is_answered_by_the_only_loaded_model_where_that_is_wished(
    faithful: Running, door: Running
) -> None:
    body = {"model": "no/such-model", "messages": [{"role": "user", "content": "hi"}]}
    for up in (faithful, door):
        await up.hub.load("fake-chat")
    assert (await faithful.post("/v1/chat/completions", body)).status == 200
    assert (await door.post("/v1/chat/completions", body)).status == 404
    native = await faithful.post("/api/v1/chat", {"model": "no/such-model", "input": "hi"})
    assert (native.status, native.error["type"]) == (404, "model_not_found")
