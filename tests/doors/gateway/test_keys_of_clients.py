"""Keys as the official clients send them, each in its own header, and what a client makes of a refusal."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import anthropic
import msgspec
import ollama
import openai
import pytest
from tests.doors.gateway.asking import Running, running
from tests.fakes.provider import ScriptedProvider

from lmbridge.clients.lmstudio import LMStudioClient, LMStudioSettings
from lmbridge.core.models import ModelInfo
from lmbridge.hub.keys import KeyRing

HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    ring = KeyRing(tmp_path / "keys.json")
    ring.create("first")  # from now on keys are needed
    return ring


@pytest.fixture
async def up(ring: KeyRing, tmp_path: Path) -> AsyncIterator[Running]:
    assert ring.list()
    async with running([ScriptedProvider([ModelInfo("tiny", "scripted")])], tmp_path) as one:
        yield one


def ollama_client(up: Running, key: str) -> ollama.AsyncClient:
    return ollama.AsyncClient(up.url, headers={"Authorization": f"Bearer {key}"})


@pytest.mark.parametrize("lmstudio_form", [False, True])
async def test_every_client_gets_in_with_a_key_of_either_form(
    up: Running, ring: KeyRing, lmstudio_form: bool
) -> None:
    key = ring.create("app", scopes=("infer",), lmstudio_form=lmstudio_form)
    async with openai.AsyncOpenAI(base_url=f"{up.url}/v1", api_key=key, max_retries=0) as one:
        assert [model.id async for model in one.models.list()] == ["tiny"]
    for named in ({"api_key": key}, {"auth_token": key}):
        async with anthropic.AsyncAnthropic(base_url=up.url, max_retries=0, **named) as two:  # type: ignore[arg-type]
            assert [model.id async for model in two.models.list()] == ["tiny"]
    async with ollama_client(up, key) as three:
        assert [model.model for model in (await three.list()).models] == ["tiny"]


async def test_our_client_of_lm_studio_gets_in_with_a_key_in_its_form(up: Running, ring: KeyRing) -> None:
    key = ring.create("app", lmstudio_form=True)
    async with LMStudioClient(LMStudioSettings(url=up.url, token=key)) as client:
        assert [model.key for model in await client.fetch_models()] == ["tiny"]


async def test_clients_tell_a_key_that_is_not_known_or_over_from_one_that_lacks_the_scope(
    up: Running, ring: KeyRing
) -> None:
    over, admin = ring.create("over", expires=time.time() + 1000), ring.create("admin", scopes=("admin",))
    stored = msgspec.json.decode(ring.path.read_bytes())
    stored["keys"][1]["expires"] = 1_700_000_000
    ring.path.write_bytes(msgspec.json.encode(stored))
    for key, openai_error, anthropic_error, status, said in (
        ("lmb-nobody", openai.AuthenticationError, anthropic.AuthenticationError, 401, "not known"),
        (over, openai.AuthenticationError, anthropic.AuthenticationError, 401, "expired on 2023-11-14"),
        (admin, openai.PermissionDeniedError, anthropic.PermissionDeniedError, 403, "scope 'infer'"),
    ):
        async with openai.AsyncOpenAI(base_url=f"{up.url}/v1", api_key=key, max_retries=0) as one:
            with pytest.raises(openai_error, match=said):
                await one.chat.completions.create(model="tiny", messages=HELLO)  # type: ignore[arg-type]
        async with anthropic.AsyncAnthropic(base_url=up.url, api_key=key, max_retries=0) as two:
            with pytest.raises(anthropic_error, match=said):
                await two.messages.create(model="tiny", max_tokens=5, messages=HELLO)  # type: ignore[arg-type]
        async with ollama_client(up, key) as three:
            with pytest.raises(ollama.ResponseError, match=said) as caught:
                await three.chat("tiny", HELLO)
        assert caught.value.status_code == status


async def test_a_key_for_asking_cannot_load_or_unload(up: Running, ring: KeyRing) -> None:
    async with ollama_client(up, ring.create("asks", scopes=("infer",))) as client:
        with pytest.raises(ollama.ResponseError, match="scope 'models'"):
            await client.pull("anything")
