"""A model that is being made ready in the background: downloaded if need be, then loaded."""

from __future__ import annotations

import asyncio

from lmbridge.core.errors import ProviderUnavailable
from lmbridge.core.models import Download
from lmbridge.wire.lmstudio.models import LoadedInstance


class Readiness:
    """Look at it whenever you like; `await readiness.wait()` when you need the model.

    The client that made it owns the work: closing the client ends it.

    Attributes:
        model: what was asked for.
        download: how far the download is; None while and where nothing is downloaded.
        loading: how far the load is, 0 to 1, where LM Studio tells; None before it begins.
    """

    def __init__(self, model: str, provider: str) -> None:
        """Use `LMStudioClient.ensure_ready_in_background`."""
        self.model = model
        self.download: Download | None = None
        self.loading: float | None = None
        self._provider = provider
        self._task: asyncio.Task[LoadedInstance] | None = None

    def __repr__(self) -> str:
        return f"Readiness({self.model!r}, done={self.done}, progress={self.progress})"

    @property
    def done(self) -> bool:
        """Whether it is over, well or not."""
        return self._task is not None and self._task.done()

    @property
    def progress(self) -> float | None:
        """0 to 1: of the load once it has begun, else of the download; None while nobody knows."""
        if self.done:
            return 1.0
        if self.loading is not None:
            return self.loading
        return self.download.fraction if self.download is not None else None

    async def wait(self) -> LoadedInstance:
        """The instance, once it is ready. Whoever stops waiting does not stop the work.

        Raises:
            ProviderUnavailable: it was stopped: `cancel`, or the client was closed.
            BridgeError: why it failed; see `LMStudioClient.ensure_ready`.
        """
        task = self._running
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise ProviderUnavailable(
                    self._provider, f"getting {self.model!r} ready was stopped", hint="Ask for it again."
                ) from None
            raise

    async def cancel(self) -> None:
        """Stop waiting for it and say no more. Idempotent.

        A download by LM Studio itself, and a load that it has begun, go on there: it offers no way to stop them.
        """
        task = self._running
        task.cancel()
        await asyncio.wait([task])

    @property
    def _running(self) -> asyncio.Task[LoadedInstance]:
        assert self._task is not None  # noqa: S101 (set before anybody sees this object)
        return self._task

    def begin(self, task: asyncio.Task[LoadedInstance]) -> None:
        """This is the work; for the client alone."""
        self._task = task
