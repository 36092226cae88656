"""The fake hub is enough like the real one for the real one's own library to be content with it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import huggingface_hub as library
import pytest
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from tests.fakes.model_hub import COMMIT, FakeHub, model_hub

NAME = "someone/model-GGUF"
FILE = "model-Q4_K_M.gguf"
CONTENT = b"GGUF" + bytes(50_000)
# The library leaves its connections to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
async def hub(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeHub]:
    monkeypatch.setenv("NO_PROXY", "*")
    async with model_hub() as hub:
        hub.token = "hf_secret"
        hub.add(NAME, {"README.md": b"# model", FILE: CONTENT}, lfs=frozenset({FILE}))
        yield hub


async def downloaded(hub: FakeHub, folder: Path, name: str = NAME, token: str | bool = False, **facts: str) -> str:
    facts = {"filename": FILE, **facts}
    options = {"local_dir": folder, "endpoint": hub.url, "token": token, **facts}
    return await asyncio.to_thread(library.hf_hub_download, name, **options)  # type: ignore[arg-type]


async def test_it_lists_what_a_repository_holds(hub: FakeHub) -> None:
    api = library.HfApi(endpoint=hub.url, token=False)
    info = await asyncio.to_thread(api.model_info, NAME, revision="main", files_metadata=True)
    files = {file.rfilename: file for file in info.siblings or ()}
    assert info.sha == COMMIT
    lfs = files[FILE].lfs
    assert lfs is not None
    assert (lfs.sha256, lfs.size) == (hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
    assert (files["README.md"].lfs, files["README.md"].size) == (None, 7)


async def test_it_finds_repositories(hub: FakeHub) -> None:
    api = library.HfApi(endpoint=hub.url, token=False)
    found = await asyncio.to_thread(lambda: list(api.list_models(search="model", filter="gguf", limit=3)))
    assert [each.id for each in found] == [NAME]


async def test_it_sends_files_by_way_of_its_cdn(hub: FakeHub, tmp_path: Path) -> None:
    path = await downloaded(hub, tmp_path)
    assert Path(path).read_bytes() == CONTENT  # noqa: ASYNC240  # a small file
    assert len(hub.cdn_requests) == 1


async def test_it_follows_a_moved_repository(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("old/model", {}, moved=NAME)
    assert await downloaded(hub, tmp_path, "old/model")


async def test_it_refuses_as_the_hub_does(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("someone/gated", {FILE: CONTENT}, gated=True)
    hub.add("someone/private", {FILE: CONTENT}, private=True)
    with pytest.raises(GatedRepoError):
        await downloaded(hub, tmp_path, "someone/gated")
    for name in ("someone/private", "someone/nothing"):
        with pytest.raises(RepositoryNotFoundError):
            await downloaded(hub, tmp_path, name)
    with pytest.raises(EntryNotFoundError):
        await downloaded(hub, tmp_path, filename="other.gguf")
    with pytest.raises(RevisionNotFoundError):
        await downloaded(hub, tmp_path, revision="v9")
    assert await downloaded(hub, tmp_path / "gated", "someone/gated", token="hf_secret")
    assert await downloaded(hub, tmp_path / "private", "someone/private", token="hf_secret")
