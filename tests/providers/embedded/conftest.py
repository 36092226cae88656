"""Model files, and a provider that finds nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.fakes import gguf_files

from lmbridge.core.provider import ProviderContext
from lmbridge.providers.embedded import EmbeddedProvider

Build = Callable[..., EmbeddedProvider]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a chat model, one without tools, one that thinks, an embedding model, one that sees."""
    folder = tmp_path_factory.mktemp("models")
    gguf_files.chat_model(folder / "chat-F16.gguf")
    gguf_files.chat_model(folder / "plain-F16.gguf", template=gguf_files.PLAIN_TEMPLATE)
    gguf_files.chat_model(folder / "thinking-F16.gguf", template=gguf_files.THINKING_TEMPLATE)
    gguf_files.embedding_model(folder / "embed-F16.gguf")
    gguf_files.vision_model(folder / "someone/vision-GGUF", name="vision")
    gguf_files.truncated(folder / "cut-F16.gguf", folder / "chat-F16.gguf")
    return folder


@pytest.fixture
async def build(models: Path, tmp_path: Path) -> AsyncIterator[Build]:
    """Makes providers and closes them at the end."""
    made: list[EmbeddedProvider] = []

    def make(**settings: object) -> EmbeddedProvider:
        table = {"folders": [str(models)], "lmstudio_models": False, **settings}
        made.append(EmbeddedProvider.create(table, ProviderContext(tmp_path / "home", "embedded")))
        return made[-1]

    yield make
    for provider in made:
        await provider.aclose()


@pytest.fixture
def provider(build: Build) -> EmbeddedProvider:
    return build()
