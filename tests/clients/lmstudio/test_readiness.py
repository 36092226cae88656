from __future__ import annotations

import asyncio

import pytest
from tests.clients.lmstudio.conftest import QWEN, client_of
from tests.fakes.lmstudio import FakeLMStudio

from lmbridge.clients.lmstudio import LMStudioClient
from lmbridge.core.errors import DownloadFailed, ModelNotFound, ProviderUnavailable

GPT = "openai/gpt-oss-20b"


async def test_a_missing_model_is_downloaded_and_loaded_if_that_is_allowed(
    client: LMStudioClient, fake: FakeLMStudio
) -> None:
    with pytest.raises(ModelNotFound, match="lmbridge get"):
        await client.ensure_ready(GPT)
    instance = await client.ensure_ready(GPT, download=True, context_length=8192)
    assert (instance.id, instance.context_length) == (GPT, 8192)
    async with client_of(fake, auto_download=True) as allowed:
        assert (await allowed.ensure_ready("lmstudio-community/qwen3-0.6b-gguf")).id == "qwen3-0.6b"
        with pytest.raises(ModelNotFound):
            await allowed.ensure_ready("nobody/has-this")


async def test_a_word_of_the_settings_is_never_downloaded(fake: FakeLMStudio) -> None:
    async with client_of(fake, auto_download=True, fast="gone/away") as client:
        with pytest.raises(ModelNotFound, match="gone/away"):
            await client.ensure_ready("fast")
    assert not fake.runtime.downloads


async def test_it_gets_ready_in_the_background(client: LMStudioClient, fake: FakeLMStudio) -> None:
    readiness = client.ensure_ready_in_background(GPT, download=True)
    assert (readiness.done, readiness.progress) == (False, None)
    instance = await readiness.wait()
    assert instance.id == GPT
    assert (readiness.done, readiness.progress) == (True, 1.0)
    assert readiness.download is not None
    assert readiness.download.state == "completed"
    assert repr(readiness) == f"Readiness({GPT!r}, done=True, progress=1.0)"
    assert await readiness.wait() == instance


async def test_its_progress_is_that_of_the_download_and_then_of_the_load(
    client: LMStudioClient, fake: FakeLMStudio
) -> None:
    fake.runtime.outcome = "stuck"
    readiness = client.ensure_ready_in_background(GPT, download=True)
    await fake.until(lambda: readiness.progress is not None)
    assert readiness.progress is not None
    assert readiness.progress < 1.0
    readiness.loading = 0.25
    assert readiness.progress == 0.25
    await readiness.cancel()


async def test_who_stops_waiting_does_not_stop_the_work(client: LMStudioClient, fake: FakeLMStudio) -> None:
    fake.runtime.gate.clear()
    readiness = client.ensure_ready_in_background(QWEN)
    waiting = asyncio.ensure_future(readiness.wait())
    await fake.until(lambda: bool(fake.runtime.loads))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not readiness.done
    fake.runtime.gate.set()
    assert (await readiness.wait()).id == QWEN


async def test_one_that_is_stopped_says_so_to_who_waits(client: LMStudioClient, fake: FakeLMStudio) -> None:
    fake.runtime.outcome = "stuck"
    readiness = client.ensure_ready_in_background(GPT, download=True)
    await fake.until(lambda: bool(fake.runtime.downloads))
    await readiness.cancel()
    await readiness.cancel()
    assert readiness.done
    with pytest.raises(ProviderUnavailable, match="was stopped"):
        await readiness.wait()


async def test_closing_the_client_ends_it(fake: FakeLMStudio) -> None:
    client = client_of(fake)
    fake.runtime.outcome = "stuck"
    readiness = client.ensure_ready_in_background(GPT, download=True)
    await fake.until(lambda: bool(fake.runtime.downloads))
    await client.aclose()
    with pytest.raises(ProviderUnavailable):
        await readiness.wait()


async def test_a_failure_is_kept_for_who_waits(client: LMStudioClient, fake: FakeLMStudio) -> None:
    fake.runtime.outcome = "failed"
    readiness = client.ensure_ready_in_background(GPT, download=True)
    for _ in range(2):
        with pytest.raises(DownloadFailed):
            await readiness.wait()
