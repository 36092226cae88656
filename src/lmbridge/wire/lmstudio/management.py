"""Loading, unloading and downloading in LM Studio's own API (`/api/v1/models/…`, 0.4.0 and newer).

Its bodies are checked strictly there: a key that it does not know is refused. So only what is wanted is
written, and what a road cannot say (`ttl`, `identifier`) is not for this module.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Raw, Struct

from lmbridge.core.errors import BrokenAnswer
from lmbridge.core.models import Download
from lmbridge.wire.lmstudio.errors import decode_failure
from lmbridge.wire.openai.errors import is_error

LOAD: Final = "/api/v1/models/load"
UNLOAD: Final = "/api/v1/models/unload"
DOWNLOAD: Final = "/api/v1/models/download"
DOWNLOAD_STATUS: Final = "/api/v1/models/download/status/"
"""A job's id follows."""

State: TypeAlias = Literal["downloading", "paused", "completed", "failed", "already_downloaded"]

_T = TypeVar("_T")


class Loaded(Struct, frozen=True):
    """What a load says when it is done.

    Attributes:
        id: of the new instance. seconds: how long it took; None where it does not tell.
    """

    id: str
    seconds: float | None = None


class DownloadJob(Struct, frozen=True):
    """How far a download is.

    Attributes:
        id: to ask again with; "" when there is nothing left to ask.
        download: as core tells it. state: an unknown word of LM Studio counts as `downloading`.
    """

    id: str
    download: Download


def encode_load(
    model: str,
    *,
    context_length: int | None = None,
    parallel: int | None = None,
    flash_attention: bool | None = None,
) -> dict[str, object]:
    """The body of a load.

    Args:
        model: key, or key with a quantization.
        context_length: tokens; one above what the model was made for is not refused there.
        parallel: answers at the same time.
    """
    told = {"context_length": context_length, "parallel": parallel, "flash_attention": flash_attention}
    return {"model": model, **{name: value for name, value in told.items() if value is not None}}


def encode_download(name: str, quantization: str = "") -> dict[str, object]:
    """The body of a download.

    Args:
        name: of LM Studio's catalogue, or `https://huggingface.co/owner/repository`.
        quantization: for a link only.
    """
    return {"model": name, **({"quantization": quantization} if quantization else {})}


class _Loaded(Struct):
    instance_id: str
    status: object = None
    load_time_seconds: object = None


class _Unloaded(Struct):
    instance_id: str


class _Job(Struct):
    status: str
    job_id: str | None = None
    downloaded_bytes: object = None
    total_size_bytes: object = None
    bytes_per_second: object = None


def decode_loaded(data: bytes, provider: str, model: str) -> Loaded:
    """The answer to a load.

    Raises:
        BrokenAnswer: it names no instance, or does not say that it is loaded.
        BridgeError: the error it reports instead.
    """
    answer = _decode(data, _Loaded, provider, model)
    if not answer.instance_id or answer.status not in ("loaded", None):
        raise BrokenAnswer(provider, "it does not say that the model is loaded")
    return Loaded(answer.instance_id, _measured(answer.load_time_seconds))


def decode_unloaded(data: bytes, provider: str, instance: str) -> str:
    """The id in the answer to an unload.

    Raises:
        BrokenAnswer: it names none.
        BridgeError: the error it reports instead.
    """
    return _decode(data, _Unloaded, provider, instance).instance_id


def decode_download(data: bytes, provider: str, name: str) -> DownloadJob:
    """The answer to a download, or to the question how far it is.

    Raises:
        BrokenAnswer: it has no `status`.
        BridgeError: the error it reports instead.
    """
    job = _decode(data, _Job, provider, name)
    state = _STATES.get(job.status, "downloading")
    total = _size(job.total_size_bytes)
    done = _size(job.downloaded_bytes)
    if state == "completed" and total is not None:
        done = total
    running = state in ("downloading", "paused")
    download = Download(state, done, total or None, _measured(job.bytes_per_second) if running else None)
    return DownloadJob(job.job_id or "", download)


_STATES: Final[dict[str, State]] = {
    "downloading": "downloading",
    "paused": "paused",
    "completed": "completed",
    "failed": "failed",
    "already_downloaded": "already_downloaded",
}


class _Failed(Struct):
    error: Raw = Raw()


def _decode(data: bytes, shape: type[_T], provider: str, model: str) -> _T:
    """Its status is 200; whether it is a success is another question."""
    try:
        if is_error(msgspec.json.decode(data, type=_Failed).error):
            raise decode_failure(None, data, provider, model)
        return msgspec.json.decode(data, type=shape)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, msgspec.DecodeError) else "not text that can be read"
        raise BrokenAnswer(provider, reason[:200]) from error


def _size(value: object) -> int | None:
    """Bytes; sizes there need not be finite, known or whole."""
    return int(number) if (number := _measured(value)) is not None else None


def _measured(value: object) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**62
    return float(value) if good and isinstance(value, int | float) else None
