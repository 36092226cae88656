"""A hub on loopback and models to put on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
from tests.fakes import gguf_files
from tests.fakes.model_hub import FakeHub, model_hub

from lmbridge.core.errors import BridgeError
from lmbridge.machine.downloads.order import Account, Limits, Moved, Order, Ready
from lmbridge.machine.downloads.work import work
from lmbridge.machine.model_folders import find_models

NAME = "o/m-GGUF"
FILE = "m-Q4_K_M.gguf"
SILENT = ("stall", "mute")
LIMITS = Limits(connect=5, silence=10, attempts=3, pause=0.01, longest=1)
IMPATIENT = msgspec.structs.replace(LIMITS, silence=0.2)
"""For servers that are silent; where they are not, a slow machine must not be taken for one."""

Ordered = Callable[..., Order]


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of whoever runs the tests: neither a login nor a proxy."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no-login"))


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return gguf_files.chat_model(tmp_path_factory.mktemp("downloads") / "model.gguf").read_bytes()


@pytest.fixture(scope="session")
def projector(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return gguf_files.vision_model(tmp_path_factory.mktemp("downloads"))[1].read_bytes()


@pytest.fixture
async def hub() -> AsyncIterator[FakeHub]:
    async with model_hub() as hub:
        yield hub


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def order(hub: FakeHub, folder: Path) -> Ordered:
    def make(name: str, *, token: str = "", **facts: object) -> Order:
        facts = {"limits": LIMITS, "account": Account(hub.url, token), **facts}
        return Order(name, str(folder), **facts)  # type: ignore[arg-type]

    return make


async def done(order: Order, news: list[Moved] | None = None) -> Ready:
    """The work, in a thread of this process."""
    return await asyncio.to_thread(work, order, (news if news is not None else []).append)


def files(folder: Path) -> dict[str, int]:
    """What lies in *folder*, hidden files too, with sizes; nothing, where there is no such folder."""
    return {
        str(path.relative_to(folder)): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()
    }


def models(folder: Path) -> list[str]:
    return [model.id for model in find_models([folder], folder / "none")]


def content(ready: Ready) -> bytes:
    return Path(ready.path).read_bytes()


async def fails(order: Order, kind: type[BridgeError], words: str = "") -> BridgeError:
    with pytest.raises(kind, match=words or None) as caught:
        await done(order)
    return caught.value
