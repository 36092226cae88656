"""The list of models on disk, for when its server is down: what it had, and how old that knowledge is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from lmbridge.machine.files import write_whole
from lmbridge.wire.lmstudio.models import LMStudioModel

MOST_BYTES: Final = 32 * 2**20
"""A file larger than this is not one of ours."""
KEEP_AGAIN: Final = 300.0
"""Seconds after which an unchanged list is written again, for its age's sake: it is asked for all the time."""


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
        self._written: list[LMStudioModel] = []
        self._written_at = 0.0

    def keep(self, models: Sequence[LMStudioModel]) -> None:
        """Keep a list that was just asked for."""
        # What is in memory now is not when somebody reads this.
        known = [replace(model, loaded=(), loading=False, knows_loaded=False) for model in models]
        now = time.time()
        if known == self._written and 0 <= now - self._written_at < KEEP_AGAIN:
            return
        with suppress(OSError):
            write_whole(self.path, msgspec.json.encode(_Kept(self.url, now, known)))
            self._written, self._written_at = known, now

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
