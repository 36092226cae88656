"""A fake LM Studio, and a client that is as patient as a test can be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.fakes.lmstudio import FakeLMStudio, fake_lmstudio

from lmbridge.clients.lmstudio import Habits, LMStudioClient, LMStudioSettings
from lmbridge.machine.lmstudio.lms import Lms

QWEN = "qwen/qwen3-4b-2507"
THINKER = "qwen/qwen3-1.7b"
GEMMA = "google/gemma-3-4b"
NOMIC = "text-embedding-nomic-embed-text-v1.5"

SHORT = LMStudioSettings(
    connect_timeout=2.0, first_byte_timeout=2.0, idle_timeout=2.0, ask_timeout=2.0, load_timeout=5.0
)
QUICK = Habits(delay=0.01, settle=0.2, look_again=0.01, poll=0.01, slowest_poll=0.02, stall=1.0)


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[FakeLMStudio]:
    """LM Studio 0.4."""
    async with fake_lmstudio(tmp_path) as fake:
        yield fake


@pytest.fixture
async def old(tmp_path: Path) -> AsyncIterator[FakeLMStudio]:
    """LM Studio 0.3."""
    async with fake_lmstudio(tmp_path, version="0.3") as fake:
        yield fake


def client_of(
    fake: FakeLMStudio, *, lms: Lms | None = None, cache: Path | None = None, **settings: object
) -> LMStudioClient:
    """A client that has to be closed."""
    wanted = replace(SHORT, **{"url": fake.url, **settings})
    return LMStudioClient(wanted, lms=lms, cache=cache, habits=QUICK)


def lms_of(fake: FakeLMStudio) -> Lms:
    """The command that belongs to a fake: a real program that talks to it."""
    assert fake.install is not None
    return Lms(fake.install.lms, environ=fake.install.environ)


@pytest.fixture
async def client(fake: FakeLMStudio) -> AsyncIterator[LMStudioClient]:
    """A client of 0.4, without the command."""
    async with client_of(fake) as client:
        yield client
