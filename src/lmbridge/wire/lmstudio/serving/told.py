"""What is told of loads, unloads and downloads in LM Studio's own API (`/api/v1/models/…`)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from lmbridge.core.models import Download, InstanceState, ModelInfo

_encode: Final = msgspec.json.Encoder().encode

GREETING: Final = b'{"lmstudio":true}'
"""Of `GET /lmstudio-greeting`: LM Studio's own command and others look for exactly these bytes."""

ALREADY: Final = b'{"status":"already_downloaded"}'
"""Of a download of what is there: exactly this, and no job."""


class Greeting(Struct, frozen=True):
    """Who is here."""

    lmstudio: bool


class Job(Struct, frozen=True):
    """A download, as far as it is.

    Attributes:
        id: `job_` and ten hexadecimal digits. started, ended: seconds since 1970.
        reason: why it failed; ours, LM Studio does not tell.
    """

    id: str
    download: Download
    started: float
    ended: float | None = None
    reason: str = ""


class LoadConfig(Struct):
    """How a model is loaded."""

    context_length: int
    parallel: int | UnsetType = UNSET


class LoadAnswer(Struct):
    """The answer to a load."""

    type: Literal["llm", "embedding"]
    instance_id: str
    load_time_seconds: float
    status: Literal["loaded"] = "loaded"
    load_config: LoadConfig | UnsetType = UNSET


class UnloadAnswer(Struct):
    """The answer to an unload."""

    instance_id: str


class JobStatus(Struct):
    """A download that has begun; one that is here already has its status alone."""

    job_id: str
    status: str
    bytes_per_second: float | UnsetType = UNSET
    estimated_completion: str | UnsetType = UNSET
    completed_at: str | UnsetType = UNSET
    total_size_bytes: int | UnsetType = UNSET
    downloaded_bytes: int | UnsetType = UNSET
    started_at: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET


def encode_loaded(model: ModelInfo, instance: str, state: InstanceState, seconds: float, *, echo: bool) -> bytes:
    """The answer to a load.

    Args:
        instance: its name. seconds: that the load took. echo: tell how it was loaded.
    """
    chat = model.kind == "chat"
    told = LoadAnswer("llm" if chat else "embedding", instance, round(seconds, 3))
    if echo:
        told.load_config = LoadConfig(state.context_length or model.context_length or 0)
        if chat and state.slots is not None:
            told.load_config.parallel = state.slots
    return _encode(told)


def encode_unloaded(instance: str) -> bytes:
    """The answer to an unload."""
    return _encode(UnloadAnswer(instance))


def encode_job(job: Job, now: float) -> bytes:
    """A download that has begun, or how far it is.

    Args:
        now: seconds since 1970, from which the estimated end is told.
    """
    download, told = job.download, JobStatus(job.id, job.download.state, started_at=moment(job.started))
    told.reason = job.reason or UNSET
    if download.total_bytes is not None:
        told.total_size_bytes = download.total_bytes
    if download.done_bytes is not None:
        told.downloaded_bytes = download.done_bytes
    if job.ended is not None:
        if download.state == "completed":
            told.completed_at = moment(job.ended)
    elif download.bytes_per_s is not None:
        told.bytes_per_second = download.bytes_per_s
        if (left := download.seconds_left) is not None:
            told.estimated_completion = moment(now + left)
    return _encode(told)


def moment(seconds: float) -> str:
    """A time as LM Studio writes it: ISO 8601 in UTC, with milliseconds."""
    return (
        datetime.fromtimestamp(min(seconds, 2.5e11), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
