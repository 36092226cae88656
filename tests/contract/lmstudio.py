"""The LM Studios that the contract is held against: the fake of two versions, our own gateway where it follows
LM Studio to the letter and, with `--live`, a real one.

Asked over the standard library's HTTP client, so that nothing of ours stands between the assertions and the wire.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from msgspec import Struct
from tests.doors.gateway.asking import running
from tests.fakes.lmstudio import FakeLMStudio, fake_lmstudio

from lmbridge.core.provider import ProviderContext
from lmbridge.doors.gateway import GatewaySettings
from lmbridge.providers.embedded import EmbeddedProvider

Body = dict[str, Any]
LIMIT_S = 300  # a real one may load a model first


LIVE = pytest.param("live", marks=pytest.mark.live)
EVERY = pytest.mark.parametrize("studio", ["fake-0.3", "fake-0.4", "gateway", LIVE], indirect=True)
NEWER = pytest.mark.parametrize("studio", ["fake-0.4", "gateway", LIVE], indirect=True)
WITH_LMS = pytest.mark.parametrize("studio", ["fake-0.3", "fake-0.4", LIVE], indirect=True)
# With settings that a test cannot make on somebody's real one.
OLDER_FAKE = pytest.mark.parametrize("studio", ["fake-0.3"], indirect=True)
NEWER_FAKE = pytest.mark.parametrize("studio", ["fake-0.4"], indirect=True)
NEWER_NOT_LIVE = pytest.mark.parametrize("studio", ["fake-0.4", "gateway"], indirect=True)
FAKES = pytest.mark.parametrize("studio", ["fake-0.3", "fake-0.4"], indirect=True)


class Reply(Struct):
    """An answer. *headers* by names in small letters."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def events(self) -> list[tuple[str, Any]]:
        """Names and data of a stream's events; the mark `[DONE]` stays text."""
        found = []
        for block in self.raw.decode().replace("\r\n", "\n").split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
            if "data" in fields:
                data = fields["data"]
                found.append((fields.get("event", ""), data if data == "[DONE]" else json.loads(data)))
        return found


def error_of(reply: Reply) -> Body:
    """The error object of an answer that must have one."""
    error = reply.json["error"]
    assert isinstance(error, dict)
    return error


class Studio(Struct):
    """An LM Studio under test.

    Attributes:
        chat, embedding: keys of models that it has.
        fake: the fake itself; None for a real one.
        environ: of its `lms`. lms: the command; None where there is none.
    """

    url: str
    chat: str
    embedding: str
    headers: dict[str, str]
    environ: Mapping[str, str]
    lms: Path | None
    fake: FakeLMStudio | None = None

    async def ask(self, route: str, body: object = None, headers: Mapping[str, str] | None = None) -> Reply:
        """Send a request and read the whole answer. *route*: method and path. *body*: for JSON, or bytes."""
        return await asyncio.to_thread(self._ask, route, body, headers or {})

    def _ask(self, route: str, body: object, headers: Mapping[str, str]) -> Reply:
        method, path = route.split(" ")
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **self.headers, **headers}
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=LIMIT_S)
        try:
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    async def said(self, text: str, **fields: object) -> Reply:
        """A chat completion of few words."""
        body = {"model": self.chat, "messages": [{"role": "user", "content": text}], "max_tokens": 16}
        return await self.ask("POST /v1/chat/completions", {**body, **fields})

    async def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run its `lms`, with nothing on standard input."""
        return await asyncio.to_thread(self._run, arguments)

    def _run(self, arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        assert self.lms is not None, "there is no lms on this computer"
        command = [str(self.lms), *arguments]
        pipes = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
        return subprocess.run(command, env=dict(self.environ), timeout=LIMIT_S, check=False, **pipes)


def _fake(version: str) -> Callable[[Path], AbstractAsyncContextManager[Studio]]:
    @asynccontextmanager
    async def studio(folder: Path) -> AsyncIterator[Studio]:
        async with fake_lmstudio(folder / "user with späces", version=version) as fake:
            assert fake.install is not None
            chat, embedding = "qwen/qwen3-4b-2507", "text-embedding-nomic-embed-text-v1.5"
            place = fake.install
            yield Studio(fake.url, chat, embedding, {}, place.environ, place.lms, fake)

    return studio


@asynccontextmanager
async def gateway(folder: Path) -> AsyncIterator[Studio]:
    """lmbridge's gateway with `lmstudio_quirks`: the real engine, and the models that come with lmbridge."""
    provider = EmbeddedProvider.create({"lmstudio_models": False}, ProviderContext(folder, "embedded"))
    async with running([provider], folder, GatewaySettings(port=0, lmstudio_quirks=True)) as up:
        yield Studio(up.url, "lmbridge-tiny", "lmbridge-tiny-embed", {}, {}, None)


@asynccontextmanager
async def live(folder: Path) -> AsyncIterator[Studio]:
    """The one at `$LMSTUDIO_BASE_URL`, with the token in `$LM_API_TOKEN`; its smallest models are used."""
    url = os.environ.get("LMSTUDIO_BASE_URL", "http://localhost:1234").rstrip("/").removesuffix("/v1")
    token = os.environ.get("LM_API_TOKEN") or os.environ.get("LMSTUDIO_API_TOKEN", "")
    lms = shutil.which("lms") or Path.home() / ".lmstudio" / "bin" / "lms"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    studio = Studio(url, "", "", headers, os.environ, Path(lms))
    models = (await studio.ask("GET /api/v1/models")).json["models"]
    models.sort(key=lambda model: (not model["loaded_instances"], model["size_bytes"]))
    studio.chat = next(model["key"] for model in models if model["type"] == "llm")
    studio.embedding = next(model["key"] for model in models if model["type"] == "embedding")
    yield studio


STUDIOS: dict[str, Callable[[Path], AbstractAsyncContextManager[Studio]]] = {
    "fake-0.3": _fake("0.3"),
    "fake-0.4": _fake("0.4"),
    "gateway": gateway,
    "live": live,
}
