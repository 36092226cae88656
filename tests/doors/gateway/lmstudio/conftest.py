"""A gateway with the real engine and models of random weights, asked by our own client of LM Studio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.doors.gateway.asking import Running, running
from tests.fakes.gguf_files import chat_model, embedding_model
from tests.tools.mcp.conftest import http_server  # noqa: F401 - a fixture

from lmbridge.clients.lmstudio import Habits, LMStudioClient, LMStudioSettings
from lmbridge.core.provider import ProviderContext
from lmbridge.providers.embedded import EmbeddedProvider

QUICK = Habits(delay=0.01, settle=0.2, look_again=0.01, poll=0.01, slowest_poll=0.02, stall=5.0)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Running]:
    """Its models are `random-chat` and `text-embedding-random`; what a test loads is gone with it."""
    models = tmp_path / "models"
    models.mkdir()
    chat_model(models / "random-chat.gguf")
    embedding_model(models / "text-embedding-random.gguf")
    provider = EmbeddedProvider.create({"lmstudio_models": False}, ProviderContext(tmp_path, "embedded"))
    async with running([provider], tmp_path) as up:
        yield up


@pytest.fixture(params=[True, False], ids=["native", "older"])
async def client(request: pytest.FixtureRequest, engine: Running) -> AsyncIterator[LMStudioClient]:
    """Our own client, in both generations of LM Studio's API."""
    settings = LMStudioSettings(url=engine.url, native_api=request.param)
    async with LMStudioClient(settings, habits=QUICK) as one:
        yield one


@pytest.fixture
async def native(engine: Running) -> AsyncIterator[LMStudioClient]:
    """The same in the newer one alone, which loads, unloads and downloads."""
    async with LMStudioClient(LMStudioSettings(url=engine.url, native_api=True), habits=QUICK) as one:
        yield one
