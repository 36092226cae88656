"""What `Hub.lease` returns."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from lmbridge.core.models import LoadOptions, ModelKind
from lmbridge.core.provider import Progress
from lmbridge.hub.lease import Lease
from lmbridge.hub.waiting import Queued

if TYPE_CHECKING:
    from lmbridge.hub.hub import Hub


class Leasing:
    """An `async with` around one lease. A class, because a generator would cost every request several
    microseconds."""

    __slots__ = ("_ask", "_hub", "_lease")

    def __init__(
        self,
        hub: Hub,
        name: str,
        kind: ModelKind,
        exclusive: bool,
        progress: Progress | None,
        options: LoadOptions,
        queued: Queued | None,
    ) -> None:
        self._hub, self._ask = hub, (name, kind, exclusive, progress, options, queued)

    async def __aenter__(self) -> Lease:
        self._lease = await self._hub.acquire(*self._ask)
        return self._lease

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hub.release(self._lease)
