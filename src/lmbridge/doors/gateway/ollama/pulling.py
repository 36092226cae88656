"""`POST /api/pull`: a download, told line by line as Ollama does."""

from __future__ import annotations

import asyncio

from lmbridge.core.models import Download, ModelInfo
from lmbridge.doors.gateway.asgi import Request
from lmbridge.doors.gateway.settings import GatewaySettings
from lmbridge.hub.hub import Hub
from lmbridge.wire.ollama.answers import NDJSON
from lmbridge.wire.ollama.names import to_download
from lmbridge.wire.ollama.pulling import MANIFEST, SUCCESS, line, pulling
from lmbridge.wire.ollama.requests import decode_pull


class Pulls:
    """The route."""

    def __init__(self, hub: Hub, settings: GatewaySettings) -> None:
        self._hub, self._settings = hub, settings

    async def pull(self, request: Request) -> None:
        """`POST /api/pull`; leaving early stops it, and what has come is kept for the next time."""
        name, streamed = decode_pull(await request.body(self._settings.max_body))
        following = _Following(request, name, self._settings.heartbeat_s)
        work = asyncio.ensure_future(self._hub.download(to_download(name), progress=following.tell))
        try:
            if streamed:
                await following.follow(work)
            else:
                await work
                await request.reply_json(SUCCESS)
        finally:
            if not work.done():
                work.cancel()
                await asyncio.wait([work])


class _Following:
    """Writes how far a download is. The first line waits for the first news, so that an error that comes before
    keeps its status."""

    def __init__(self, request: Request, name: str, every: float) -> None:
        self._request, self._name, self._every = request, name, every
        self._latest: Download | None = None
        self._moved = asyncio.Event()

    def tell(self, download: Download) -> None:
        """A `DownloadProgress` for the hub."""
        self._latest = download
        self._moved.set()

    async def follow(self, work: asyncio.Future[ModelInfo]) -> None:
        """Tell until it is done.

        Raises:
            BridgeError: what the download raises.
        """
        work.add_done_callback(lambda _: self._moved.set())
        while not work.done():
            try:
                async with asyncio.timeout(self._every):
                    await self._moved.wait()
            except TimeoutError:
                pass  # a sign of life: the same once more
            self._moved.clear()
            if not work.done():
                await self._line()
        work.result()
        await self._line()
        await self._request.send(line(SUCCESS), more=False)

    async def _line(self) -> None:
        if not self._request.started:
            await self._request.start_events(NDJSON)
            await self._request.send(line(MANIFEST))
        if self._latest is not None:
            await self._request.send(line(pulling(self._name, self._latest)))
