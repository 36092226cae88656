from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.fakes.openai_server import FakeOpenAI, fake_openai

from lmbridge.core.provider import ProviderContext
from lmbridge.providers.openai import OpenAIProvider


@pytest.fixture
async def upstream() -> AsyncIterator[FakeOpenAI]:
    async with fake_openai() as server:
        yield server


@pytest.fixture
def provider(upstream: FakeOpenAI, tmp_path: Path) -> OpenAIProvider:
    return OpenAIProvider.create({"url": upstream.url}, ProviderContext(tmp_path, "fake"))
