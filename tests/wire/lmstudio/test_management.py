from __future__ import annotations

import json

import pytest

from lmbridge.core.errors import BrokenAnswer, LoadFailed, ModelNotFound, RouteNotFound
from lmbridge.core.models import Download
from lmbridge.wire.lmstudio.management import (
    DownloadJob,
    Loaded,
    decode_download,
    decode_loaded,
    decode_unloaded,
    encode_download,
    encode_load,
)


def body(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def test_a_load_says_only_what_is_wanted() -> None:
    assert encode_load("m") == {"model": "m"}
    assert encode_load("m", context_length=8192, parallel=2, flash_attention=False) == {
        "model": "m",
        "context_length": 8192,
        "parallel": 2,
        "flash_attention": False,
    }


def test_a_loaded_model_is_named_by_its_instance() -> None:
    told = body(type="llm", instance_id="m:2", load_time_seconds=7.9, status="loaded", load_config={})
    assert decode_loaded(told, "p", "m") == Loaded("m:2", 7.9)
    assert decode_loaded(body(instance_id="m", error=None), "p", "m") == Loaded("m")


@pytest.mark.parametrize(
    "data",
    [body(), body(instance_id=""), body(instance_id="m", status="loading"), b"[]", b"", b"\xff", b"[" * 9999],
)
def test_a_load_that_does_not_say_so_is_none(data: bytes) -> None:
    with pytest.raises(BrokenAnswer):
        decode_loaded(data, "p", "m")


def test_an_error_with_status_200_is_no_load() -> None:
    with pytest.raises(RouteNotFound):
        decode_loaded(body(error="Unexpected endpoint or method. (POST /api/v1/models/load)"), "p", "m")
    with pytest.raises(LoadFailed, match="'m' failed"):
        decode_loaded(body(error={"message": "no", "type": "model_load_failed"}, instance_id="m"), "p", "m")


def test_an_unload_names_its_instance() -> None:
    assert decode_unloaded(body(instance_id="m:2"), "p", "m:2") == "m:2"
    with pytest.raises(ModelNotFound):
        decode_unloaded(body(error={"message": "no", "type": "model_not_found"}), "p", "m")


def test_a_download_is_asked_for_by_name_or_link() -> None:
    assert encode_download("a/b") == {"model": "a/b"}
    assert encode_download("https://huggingface.co/a/b", "Q4_K_M")["quantization"] == "Q4_K_M"


@pytest.mark.parametrize(
    ("fields", "job"),
    [
        ({"status": "already_downloaded"}, DownloadJob("", Download("already_downloaded"))),
        (
            {"status": "downloading", "job_id": "j", "total_size_bytes": 100, "downloaded_bytes": 25,
             "bytes_per_second": 12.5, "started_at": "2026-01-01"},
            DownloadJob("j", Download("downloading", 25, 100, 12.5)),
        ),
        ({"status": "paused", "job_id": "j"}, DownloadJob("j", Download("paused"))),
        ({"status": "queued", "job_id": "j", "total_size_bytes": 0}, DownloadJob("j", Download("downloading"))),
        ({"status": "completed", "job_id": "j", "total_size_bytes": 9, "bytes_per_second": 3},
         DownloadJob("j", Download("completed", 9, 9))),
        ({"status": "completed", "job_id": "j"}, DownloadJob("j", Download("completed"))),
        ({"status": "failed", "job_id": None}, DownloadJob("", Download("failed"))),
        ({"status": "downloading", "total_size_bytes": "?", "downloaded_bytes": -1, "bytes_per_second": True},
         DownloadJob("", Download("downloading"))),
    ],
)  # fmt: skip
def test_the_state_of_a_download_is_understood(fields: dict[str, object], job: DownloadJob) -> None:
    assert decode_download(body(**fields), "p", "a/b") == job


def test_a_size_that_is_not_finite_is_not_known() -> None:
    told = b'{"status": "downloading", "total_size_bytes": 1e400}'
    assert (
        decode_download(b'{"status": "downloading", "total_size_bytes": 1e30}', "p", "m").download.total_bytes
        is None
    )
    with pytest.raises(BrokenAnswer):
        decode_download(told, "p", "m")


def test_a_download_without_a_state_is_broken() -> None:
    with pytest.raises(BrokenAnswer):
        decode_download(body(job_id="j"), "p", "m")
