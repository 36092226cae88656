from __future__ import annotations

import asyncio
from pathlib import Path

import ollama
from tests.doors.gateway.asking import running
from tests.fakes.provider import ScriptedProvider, ScriptedRuntime

from lmbridge.core.models import Download, ModelInfo
from lmbridge.core.provider import DownloadProgress
from lmbridge.doors.gateway.settings import GatewaySettings


class Slow(ScriptedRuntime):
    """Tells of a download what a test wants, and ends it when a test wants."""

    def __init__(self) -> None:
        super().__init__([ModelInfo("org/name", "runtime")])
        self.go_on = asyncio.Event()
        self.begun = asyncio.Event()
        self.stopped = asyncio.Event()

    async def download(self, name: str, progress: DownloadProgress | None = None) -> str:
        assert progress is not None
        progress(Download("downloading", 3, 10))
        self.begun.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.stopped.set()
            raise
        progress(Download("completed", 10, 10))
        return name


async def test_every_step_is_a_line_and_silence_is_broken(tmp_path: Path) -> None:
    provider = Slow()
    settings = GatewaySettings(port=0, heartbeat_s=0.01)
    async with running([provider], tmp_path, settings) as door, ollama.AsyncClient(door.url, timeout=20) as client:
        told = []
        async for line in await client.pull("org/name", stream=True):
            told.append(line)
            if len(told) == 3:
                provider.go_on.set()
    assert (told[0].status, told[-1].status) == ("pulling manifest", "success")
    counted = [(line.completed, line.total) for line in told[1:-1]]
    assert counted[0] == counted[1] == (3, 10)
    assert counted[-1] == (10, 10)


async def test_whole_it_is_one_word(tmp_path: Path) -> None:
    provider = Slow()
    provider.go_on.set()
    async with running([provider], tmp_path) as door:
        answer = await door.post("/api/pull", {"name": "hf.co/org/name", "stream": False})
    assert (answer.status, answer.json) == (200, {"status": "success"})


async def test_leaving_early_stops_it(tmp_path: Path) -> None:
    provider = Slow()
    async with running([provider], tmp_path) as door:
        pulling = asyncio.ensure_future(door.post("/api/pull", {"model": "org/name"}))
        await provider.begun.wait()
        pulling.cancel()
        async with asyncio.timeout(10):
            await provider.stopped.wait()


async def test_where_nobody_can_download_it_is_refused(tmp_path: Path) -> None:
    async with running([ScriptedProvider([])], tmp_path) as door:
        answer = await door.post("/api/pull", {"model": "org/name"})
    assert answer.status == 400
    assert "download" in str(answer.json["error"])
