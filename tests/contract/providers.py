"""The providers that the contract suite is run against, each with models that cost nothing."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

from msgspec import Struct
from tests.doors.gateway.asking import SESSION, running
from tests.fakes.anthropic_server import fake_anthropic
from tests.fakes.gguf_files import chat_model, embedding_model
from tests.fakes.lmstudio import GOOD_TOKEN, fake_lmstudio
from tests.fakes.openai_server import fake_openai

from lmbridge.clients.lmstudio import LMStudioSettings
from lmbridge.core.provider import Provider, ProviderContext
from lmbridge.machine.engine.requirements import missing
from lmbridge.machine.lmstudio.home import Places
from lmbridge.providers.anthropic import AnthropicProvider
from lmbridge.providers.embedded import EmbeddedProvider
from lmbridge.providers.lmstudio.provider import LMStudioProvider
from lmbridge.providers.openai import OpenAIProvider
from lmbridge.providers.openai.presets import PRESETS


class UnderTest(Struct):
    """A provider, and the ids of two models it has; it may have no embedding model."""

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
async def openai(folder: Path, preset: str = "") -> AsyncIterator[UnderTest]:
    async with fake_openai(key="sesame") as server:
        settings = {"url": server.url, "key": "sesame", "preset": preset}
        provider = OpenAIProvider.create(settings, ProviderContext(folder, "server"))
        try:
            yield UnderTest(provider, "fake-chat", "fake-embed")
        finally:
            await provider.aclose()


@asynccontextmanager
async def anthropic(folder: Path) -> AsyncIterator[UnderTest]:
    async with fake_anthropic(key="sesame") as server:
        settings = {"url": server.url, "key": "sesame"}
        provider = AnthropicProvider.create(settings, ProviderContext(folder, "claude"))
        try:
            yield UnderTest(provider, "fake-claude", "")
        finally:
            await provider.aclose()


@asynccontextmanager
async def anthropic_gateway(folder: Path) -> AsyncIterator[UnderTest]:
    """Our own gateway before the engine, asked in Anthropic's language."""
    async with embedded(folder) as under, running([under.provider], folder) as door:
        settings = {"url": door.url, "key": SESSION, "models": [under.chat]}
        provider = AnthropicProvider.create(settings, ProviderContext(folder, "gateway"))
        try:
            yield UnderTest(provider, under.chat, "")
        finally:
            await provider.aclose()


@asynccontextmanager
async def lmstudio(folder: Path, version: str = "0.4") -> AsyncIterator[UnderTest]:
    token = GOOD_TOKEN if version == "0.4" else ""
    async with fake_lmstudio(folder / "user", version=version, token=token) as fake:
        assert fake.install is not None
        user = fake.install.user_home
        places = Places(fake.install.environ, user, "linux", user)
        settings = LMStudioSettings(url=fake.url, token=token)
        provider = LMStudioProvider(settings, ProviderContext(folder, "lmstudio"), places=places)
        try:
            yield UnderTest(provider, "qwen/qwen3-4b-2507", "text-embedding-nomic-embed-text-v1.5")
        finally:
            await provider.aclose()


@asynccontextmanager
async def lmstudio_live(folder: Path) -> AsyncIterator[UnderTest]:
    """A real one, with the smallest of its models."""
    provider = LMStudioProvider(LMStudioSettings.read({}, os.environ), ProviderContext(folder, "lmstudio"))
    try:
        models = sorted(await provider.models(), key=lambda model: model.size_bytes or 0)
        smallest = {model.kind: model.id for model in reversed(models)}
        yield UnderTest(provider, smallest["chat"], smallest["embedding"])
    finally:
        await provider.aclose()


PROVIDERS_UNDER_TEST: dict[str, Callable[[Path], AbstractAsyncContextManager[UnderTest]]] = {
    "anthropic": anthropic,
    "openai": openai,
    # Not the cloud's, which calls `max_tokens` otherwise: see tests/providers/openai/test_presets.py.
    **{f"openai-{name}": partial(openai, preset=name) for name in PRESETS if name != "openai"},
    "lmstudio": lmstudio,
    "lmstudio-0.3": partial(lmstudio, version="0.3"),
    "lmstudio-live": lmstudio_live,
}
if missing() is None:  # where the engine has no wheels, there is nothing to hold to the contract
    PROVIDERS_UNDER_TEST["embedded"] = embedded
    PROVIDERS_UNDER_TEST["anthropic-gateway"] = anthropic_gateway

EMBEDDERS = [name for name in PROVIDERS_UNDER_TEST if not name.startswith("anthropic")]
"""Those of them that make vectors."""
