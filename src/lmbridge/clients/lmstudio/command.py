"""What this client needs of LM Studio's command `lms`; `machine.lmstudio.lms.Lms` is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from lmbridge.core.errors import RuntimeMissing
from lmbridge.core.provider import DownloadProgress, Progress

NEEDED_HINT: Final = "Update LM Studio, or run `lmbridge lmstudio bootstrap` on its computer."


class Listed(Protocol):
    """A model on disk, as `lms ls` tells it."""

    @property
    def key(self) -> str:
        """Its name."""


class LmsCommand(Protocol):
    """The part of the command that loads, unloads and downloads. Errors: RuntimeMissing, CommandFailed."""

    async def ls(self) -> Sequence[Listed]:
        """The models on disk."""

    async def load(
        self,
        key: str,
        *,
        context_length: int | None = None,
        parallel: int | None = None,
        ttl: int | None = None,
        identifier: str = "",
        progress: Progress | None = None,
    ) -> None:
        """Load a model by its whole key. Cancelling ends the load."""

    async def unload(self, identifier: str) -> None:
        """Unload an instance."""

    async def get(self, name: str, *, progress: DownloadProgress | None = None) -> None:
        """Download a model. Cancelling ends the download; what is there is kept."""


def needed(lms: LmsCommand | None, what: str) -> LmsCommand:
    """The command, where nothing else can do it.

    Args:
        what: that cannot be done otherwise, such as `unload`.

    Raises:
        RuntimeMissing: there is none.
    """
    if lms is None:
        raise RuntimeMissing(
            "lms",
            f"This LM Studio is older than 0.4.0 and can {what} only by its command `lms`, which is not here.",
            hint=NEEDED_HINT,
        )
    return lms
