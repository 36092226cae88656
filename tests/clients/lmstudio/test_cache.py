from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from lmbridge.clients.lmstudio import cache as cache_module
from lmbridge.clients.lmstudio.cache import ModelCache
from lmbridge.wire.lmstudio.models import LMStudioModel, LoadedInstance

URL = "http://localhost:1234"
MODEL = LMStudioModel("a/b", "embedding", size_bytes=7, loaded=(LoadedInstance("a/b", "a/b"),))


def test_a_list_is_kept_with_its_age_and_without_what_was_in_memory(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path / "new folder", URL)
    assert cache.read() == []
    cache.keep([MODEL])
    [kept] = cache.read()
    assert (kept.key, kept.kind, kept.size_bytes, kept.loaded, kept.knows_loaded) == (
        "a/b",
        "embedding",
        7,
        (),
        False,
    )
    assert kept.stale_s > 0
    assert ModelCache(tmp_path / "new folder", "http://other").read() == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps permissions otherwise")
def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path / "kept", URL)
    cache.keep([MODEL])
    assert stat.S_IMODE(cache.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(cache.path.parent.stat().st_mode) == 0o700
    assert os.listdir(cache.path.parent) == [cache.path.name]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b'{"url": "http://other", "time": 1, "models": []}']
)
def test_a_file_that_is_none_of_ours_is_no_list(tmp_path: Path, content: bytes) -> None:
    cache = ModelCache(tmp_path, URL)
    cache.path.write_bytes(content)
    assert cache.read() == []


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = ModelCache(tmp_path / "file", URL)
    cache.keep([MODEL])
    assert cache.read() == []
    blocked = ModelCache(tmp_path, URL)
    blocked.path.mkdir()
    blocked.keep([MODEL])
    assert os.listdir(tmp_path) == ["file", blocked.path.name] or set(os.listdir(tmp_path)) == {
        "file",
        blocked.path.name,
    }


def test_an_unchanged_list_is_written_only_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ModelCache(tmp_path, URL)
    cache.keep([MODEL])
    cache.path.unlink()
    cache.keep([MODEL])
    assert not cache.path.exists()
    cache.keep([MODEL, LMStudioModel("c/d")])
    assert len(cache.read()) == 2
    cache.path.unlink()
    monkeypatch.setattr(cache_module, "KEEP_AGAIN", 0.0)
    cache.keep([MODEL, LMStudioModel("c/d")])
    assert len(cache.read()) == 2
