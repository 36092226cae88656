from __future__ import annotations

import json

import pytest

from lmbridge.core.models import Download, InstanceState, ModelInfo
from lmbridge.wire.lmstudio.management import decode_download, decode_loaded, decode_unloaded
from lmbridge.wire.lmstudio.serving.told import ALREADY, Job, encode_job, encode_loaded, encode_unloaded, moment

STATE = InstanceState("m", "p", "ready", slots=4, context_length=8192)


def test_a_load_names_the_instance_and_its_time() -> None:
    told = encode_loaded(ModelInfo("m", "p"), "m:2", STATE, 7.94321, echo=False)
    assert told == b'{"type":"llm","instance_id":"m:2","load_time_seconds":7.943,"status":"loaded"}'
    assert decode_loaded(told, "p", "m").id == "m:2"


def test_a_load_tells_how_it_was_done_to_who_asks() -> None:
    chat = json.loads(encode_loaded(ModelInfo("m", "p"), "m", STATE, 1, echo=True))
    assert chat["load_config"] == {"context_length": 8192, "parallel": 4}
    embedding = json.loads(encode_loaded(ModelInfo("m", "p", "embedding"), "m", STATE, 1, echo=True))
    assert (embedding["type"], embedding["load_config"]) == ("embedding", {"context_length": 8192})
    bare = json.loads(encode_loaded(ModelInfo("m", "p"), "m", InstanceState("m", "p", "ready"), 1, echo=True))
    assert bare["load_config"] == {"context_length": 0}


def test_an_unload_repeats_the_name() -> None:
    assert encode_unloaded("m:2") == b'{"instance_id":"m:2"}'
    assert decode_unloaded(encode_unloaded("m:2"), "p", "m") == "m:2"


def test_a_running_download_tells_sizes_speed_and_when_it_may_end() -> None:
    job = Job("job_0123456789", Download("downloading", 250, 1000, 50.0), 1_700_000_000)
    assert json.loads(encode_job(job, 1_700_000_005)) == {
        "job_id": "job_0123456789",
        "status": "downloading",
        "bytes_per_second": 50.0,
        "estimated_completion": "2023-11-14T22:13:40.000Z",
        "total_size_bytes": 1000,
        "downloaded_bytes": 250,
        "started_at": "2023-11-14T22:13:20.000Z",
    }
    read = decode_download(encode_job(job, 1_700_000_005), "p", "m")
    assert (read.id, read.download) == ("job_0123456789", job.download)


@pytest.mark.parametrize(
    ("download", "ended", "fields"),
    [
        (Download("downloading"), None, {"job_id", "status", "started_at"}),
        (
            Download("downloading", 5, None, 9.0),
            None,
            {"job_id", "status", "started_at", "downloaded_bytes", "bytes_per_second"},
        ),
        (
            Download("completed", 7, 7, 9.0),
            1.0,
            {"job_id", "status", "started_at", "completed_at", "total_size_bytes", "downloaded_bytes"},
        ),
        (Download("failed"), 1.0, {"job_id", "status", "started_at"}),
    ],
)
def test_a_download_tells_only_what_is_known(download: Download, ended: float | None, fields: set[str]) -> None:
    assert set(json.loads(encode_job(Job("job_0123456789", download, 0.0, ended), 2.0))) == fields


def test_a_download_that_failed_says_why() -> None:
    job = Job("job_0123456789", Download("failed", 5, 9), 0.0, 1.0, "The disk is full.")
    assert json.loads(encode_job(job, 2.0))["reason"] == "The disk is full."
    assert decode_download(encode_job(job, 2.0), "p", "m").download.state == "failed"


def test_what_is_here_already_is_no_job() -> None:
    assert ALREADY == b'{"status":"already_downloaded"}'
    assert decode_download(ALREADY, "p", "m").id == ""


def test_a_time_beyond_all_calendars_is_a_time_all_the_same() -> None:
    assert moment(1e30).startswith("9892-")
