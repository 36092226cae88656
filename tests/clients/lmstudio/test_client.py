from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.clients.lmstudio.conftest import NOMIC, QWEN, client_of
from tests.fakes.byte_server import ByteServer, always, answer
from tests.fakes.lmstudio import GOOD_TOKEN, FakeLMStudio, fake_lmstudio

from lmbridge.clients.http import HTTPClient
from lmbridge.clients.lmstudio import LMStudioClient, LMStudioSettings
from lmbridge.core.errors import ConfigInvalid, ForeignServer, ProviderNeedsKey, ProviderUnavailable


async def test_a_client_of_a_server_that_answers_is_made_from_its_address(
    fake: FakeLMStudio, capsys: pytest.CaptureFixture[str]
) -> None:
    for written in (fake.url, f"{fake.url}/v1", f"{fake.url}/api/v1/"):
        async with await LMStudioClient.try_from_base_url(written) as client:
            assert client.url == fake.url
            assert repr(client) == f"LMStudioClient({fake.url!r})"
            for model in await client.fetch_models():
                print(model)  # noqa: T201 (as the documentation shows it)
    assert capsys.readouterr().out.splitlines()[:4][0] == QWEN


async def test_a_server_that_is_down_is_known_at_once(fake: FakeLMStudio) -> None:
    fake.fault = "refuse"
    with pytest.raises(ProviderUnavailable, match="lmbridge lmstudio start"):
        await LMStudioClient.try_from_base_url(fake.url)
    with pytest.raises(ConfigInvalid):
        await LMStudioClient.try_from_base_url("ftp://nowhere")


async def test_another_program_is_told_apart() -> None:
    error: BaseException | None = None
    async with ByteServer(always(answer(b"<html>"))) as server:
        try:
            await LMStudioClient.try_from_base_url(server.url)
        except ForeignServer as raised:
            error = raised
    assert error is not None


async def test_a_token_is_needed_and_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with fake_lmstudio(tmp_path, token=GOOD_TOKEN) as fake:
        for wrong in ("", "sk-lm-wrong", "lm-studio"):
            with pytest.raises(ProviderNeedsKey, match="LM_API_TOKEN") as raised:
                await LMStudioClient.try_from_base_url(fake.url, token=wrong)
            assert "sk-lm" not in str(raised.value)
        async with await LMStudioClient.try_from_base_url(fake.url, token=GOOD_TOKEN) as client:
            assert GOOD_TOKEN not in f"{client!r} {client.settings!r} {client.endpoint('m')!r}"
        monkeypatch.setenv("LM_API_TOKEN", GOOD_TOKEN)
        monkeypatch.setenv("LMSTUDIO_BASE_URL", f"{fake.url}/v1")
        async with await LMStudioClient.try_from_base_url() as client:
            assert client.url == fake.url
        with pytest.raises(ProviderNeedsKey):
            await LMStudioClient.try_from_base_url(settings=LMStudioSettings(fake.url))


async def test_good_news_are_believed_for_a_while_and_can_be_dropped(fake: FakeLMStudio) -> None:
    async with client_of(fake) as client:
        await client.check()
        asked = len(fake.requests)
        await client.check()
        assert len(fake.requests) == asked
        fake.fault = "refuse"
        client.forget()
        with pytest.raises(ProviderUnavailable):
            await client.check()


async def test_a_client_that_was_given_sends_everything(fake: FakeLMStudio) -> None:
    async with HTTPClient() as http:
        client = LMStudioClient(LMStudioSettings(fake.url), http=http)
        assert (await client.resolve("", "embedding")).key == NOMIC
        await client.aclose()
        await http.request("GET", fake.url)


async def test_an_endpoint_names_what_its_answers_may_be_called(fake: FakeLMStudio) -> None:
    async with client_of(fake, token="sesame") as client:
        endpoint = client.endpoint("mine", ("key", "key@q4"))
        assert (endpoint.url, endpoint.model, endpoint.also) == (
            f"{fake.url}/v1",
            "mine",
            ("mine", "key", "key@q4"),
        )


async def test_many_at_once_are_answered(fake: FakeLMStudio) -> None:
    async with client_of(fake) as client, asyncio.TaskGroup() as group:
        loads = [group.create_task(client.load_model(QWEN)) for _ in range(20)]
    assert {load.result().id for load in loads} == {QWEN}
    assert fake.routes.count("POST /api/v1/models/load") == 1
