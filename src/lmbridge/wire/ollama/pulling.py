"""Progress of a download in Ollama's words: a line for each step, the last one `success`."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from lmbridge.core.models import Download


class Status(Struct, frozen=True):
    """A step that has no size."""

    status: str


class Pulling(Struct, frozen=True, kw_only=True):
    """How far the bytes are. Clients draw one bar for each digest; it names what is downloaded, not its bytes."""

    status: str
    digest: str
    total: int | UnsetType = UNSET
    completed: int | UnsetType = UNSET


MANIFEST: Final = Status("pulling manifest")
SUCCESS: Final = Status("success")


def pulling(name: str, download: Download) -> Pulling:
    """How far a download is."""
    digest = sha256(f"lmbridge download {name}".encode()).hexdigest()
    done, total = download.done_bytes, download.total_bytes
    return Pulling(
        status=f"pulling {digest[:12]}",
        digest=f"sha256:{digest}",
        total=UNSET if total is None else total,
        completed=UNSET if done is None else done,
    )


def line(step: Status | Pulling) -> bytes:
    """A step as a line of the stream."""
    return msgspec.json.encode(step) + b"\n"
