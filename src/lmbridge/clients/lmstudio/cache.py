"""The list of models on disk, for when its server is down: what it had, and how old that knowledge is."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from lmbridge.wire.lmstudio.models import LMStudioModel

MOST_BYTES: Final = 32 * 2**20
"""A file larger than this is not one of ours."""


class _Kept(Struct):
    url: str
    time: float
    models: list[LMStudioModel]


class ModelCache:
    """One file for each address, readable for its owner only. A convenience: where it cannot write, it forgets.

    Args:
        folder: made when it is missing.
        url: of the server.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        self.path = folder / f"lmstudio-models-{sha256(url.encode()).hexdigest()[:12]}.json"

    def keep(self, models: Sequence[LMStudioModel]) -> None:
        """Keep a list that was just asked for."""
        # What is in memory now is not when somebody reads this.
        known = [replace(model, loaded=(), loading=False, knows_loaded=False) for model in models]
        with suppress(OSError):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(self.path, msgspec.json.encode(_Kept(self.url, time.time(), known)))

    def read(self) -> list[LMStudioModel]:
        """The list that was kept, every model with its age in seconds; [] when there is none."""
        try:
            with self.path.open("rb") as file:
                kept = msgspec.json.decode(file.read(MOST_BYTES), type=_Kept)
        except (OSError, ValueError, RecursionError):
            return []
        if kept.url != self.url:
            return []
        age = max(0.001, time.time() - kept.time)  # never 0, which means: just asked for
        return [replace(model, stale_s=age) for model in kept.models]


def _write(path: Path, data: bytes) -> None:
    """Put it there whole or not at all."""
    # mkstemp makes the file with mode 0600 and under a name nobody can foresee.
    handle, name = tempfile.mkstemp(prefix=".lmstudio-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
