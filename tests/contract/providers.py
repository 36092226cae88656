"""The providers that the contract suite is run against, each with models that cost nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from msgspec import Struct
from tests.fakes.gguf_files import chat_model, embedding_model
from tests.fakes.openai_server import fake_openai

from lmbridge.core.provider import Provider, ProviderContext
from lmbridge.machine.engine.requirements import missing
from lmbridge.providers.embedded import EmbeddedProvider
from lmbridge.providers.openai import OpenAIProvider


class UnderTest(Struct):
    """A provider, and the ids of two models it has."""

    provider: Provider
    chat: str
    embedding: str


@asynccontextmanager
async def embedded(folder: Path) -> AsyncIterator[UnderTest]:
    files = folder / "files"
    files.mkdir()
    chat_model(files / "tiny-chat.gguf")
    embedding_model(files / "tiny-embed.gguf")
    settings = {"folders": [str(files)], "lmstudio_models": False}
    provider = EmbeddedProvider.create(settings, ProviderContext(folder, "embedded"))
    try:
        yield UnderTest(provider, "tiny-chat", "tiny-embed")
    finally:
        await provider.aclose()


@asynccontextmanager
async def openai(folder: Path) -> AsyncIterator[UnderTest]:
    async with fake_openai(key="sesame") as server:
        settings = {"url": server.url, "key": "sesame"}
        provider = OpenAIProvider.create(settings, ProviderContext(folder, "server"))
        try:
            yield UnderTest(provider, "fake-chat", "fake-embed")
        finally:
            await provider.aclose()


PROVIDERS_UNDER_TEST: dict[str, Callable[[Path], AbstractAsyncContextManager[UnderTest]]] = {"openai": openai}
if missing() is None:  # where the engine has no wheels, there is nothing to hold to the contract
    PROVIDERS_UNDER_TEST["embedded"] = embedded
