"""Downloads that go on after they were asked for: jobs that one looks after by their ids."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Final, Literal

from msgspec.structs import replace

from lmbridge.core.errors import BridgeError, DownloadFailed, JobNotFound
from lmbridge.core.models import Download
from lmbridge.hub.background import Background
from lmbridge.hub.hub import Hub
from lmbridge.wire.lmstudio.serving.told import Job

MOST_RUNNING: Final = 8
"""Downloads at the same time: more only slow each other down, and whoever may ask could fill the disk."""
MOST_KEPT: Final = 100
"""Jobs that are remembered; the oldest that have ended are forgotten."""
FIRST_S: Final = 5.0
"""Seconds that the first answer waits for what there is to tell: the size, or that it is here already."""


class Jobs:
    """The downloads that were asked for. They end with their owner.

    Args:
        hub: gets the models.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._jobs: dict[str, _Running] = {}
        self._background = Background()

    async def start(self, name: str) -> Job | None:
        """Begin a download, or join the one that is under way; None when the model is here already.

        Raises:
            DownloadFailed: there are enough of them. And as `Hub.download`, where it fails at once.
        """
        job = next((each for each in self._jobs.values() if each.name == name and each.running), None)
        if job is None:
            job = self._begin(name)
        await asyncio.wait([job.known], timeout=FIRST_S)
        if job.error is not None:
            self._jobs.pop(job.job.id, None)
            raise job.error
        if job.job.download.state == "already_downloaded":
            self._jobs.pop(job.job.id, None)
            return None
        return job.job

    def _begin(self, name: str) -> _Running:
        if sum(each.running for each in self._jobs.values()) >= MOST_RUNNING:
            raise DownloadFailed(
                name, f"{MOST_RUNNING} other models are being downloaded", hint="Ask again when they are here."
            )
        job = _Running(name)
        for old in [id for id, each in self._jobs.items() if not each.running][: len(self._jobs) - MOST_KEPT + 1]:
            del self._jobs[old]
        self._jobs[job.job.id] = job
        self._background.start(self._run(job))
        return job

    async def _run(self, job: _Running) -> None:
        try:
            await self._hub.download(job.name, progress=job.tell)
        except BridgeError as error:
            job.end("failed", error)
        except asyncio.CancelledError:
            job.end("failed")
            raise
        else:
            job.end("completed")

    def find(self, id: str) -> Job:
        """How far a download is.

        Raises:
            JobNotFound.
        """
        job = self._jobs.get(id)
        if job is None:
            raise JobNotFound(id)
        return job.job

    async def aclose(self) -> None:
        """Stop what is under way; what is there is kept for the next time."""
        await self._background.aclose()


class _Running:
    """A download and what is known of it.

    Attributes:
        known: done as soon as there is something to tell. error: why it failed.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.job = Job(f"job_{secrets.token_hex(5)}", Download("downloading"), time.time())
        self.known: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.error: BridgeError | None = None

    @property
    def running(self) -> bool:
        return self.job.ended is None

    def tell(self, download: Download) -> None:
        """A `DownloadProgress` for the hub."""
        self.job = replace(self.job, download=download)
        if download.total_bytes is not None:
            self._now_known()

    def end(self, state: Literal["completed", "failed"], error: BridgeError | None = None) -> None:
        """It is over."""
        last = self.job.download
        # What was here already has ended well without having begun.
        told = last if state == "completed" and last.state == "already_downloaded" else replace(last, state=state)
        self.job = replace(self.job, download=told, ended=time.time(), reason="" if error is None else str(error))
        self.error = error
        self._now_known()

    def _now_known(self) -> None:
        if not self.known.done():
            self.known.set_result(None)
