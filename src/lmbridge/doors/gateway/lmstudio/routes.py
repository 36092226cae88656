"""The routes of LM Studio's own API, and which of them needs which kind of key."""

from __future__ import annotations

import time
from time import perf_counter
from typing import Final

from msgspec import Struct

from lmbridge.clients.lmstudio.identity import GATEWAY_HEADER, OURSELVES
from lmbridge.core.errors import ModelNotFound
from lmbridge.doors.gateway.asgi import JSON, NOSNIFF, Header, Request, Whose
from lmbridge.doors.gateway.lmstudio.chat import NativeChat
from lmbridge.doors.gateway.lmstudio.downloads import Jobs
from lmbridge.doors.gateway.lmstudio.families import FAITHFUL, LMSTUDIO
from lmbridge.doors.gateway.lmstudio.integrations import ToolServers
from lmbridge.doors.gateway.lmstudio.listing import find, instance_name, listed
from lmbridge.doors.gateway.routes import Handler, Paths, Route
from lmbridge.doors.gateway.settings import GatewaySettings
from lmbridge.hub.hub import Hub
from lmbridge.hub.stored import Stored
from lmbridge.wire.lmstudio.serving.asked import (
    DownloadBody,
    LoadBody,
    NativeChatBody,
    UnloadBody,
    decode_download,
    decode_load,
    decode_unload,
)
from lmbridge.wire.lmstudio.serving.events import EVENTS, ChatResult
from lmbridge.wire.lmstudio.serving.lists import (
    NativeModels,
    OlderModel,
    OlderModels,
    encode_models,
    encode_older_model,
    encode_older_models,
)
from lmbridge.wire.lmstudio.serving.told import (
    ALREADY,
    GREETING,
    Greeting,
    JobStatus,
    LoadAnswer,
    UnloadAnswer,
    encode_job,
    encode_loaded,
    encode_unloaded,
)

_HEADERS: Final = (JSON, NOSNIFF)
_GREETING_HEADERS: Final[tuple[Header, ...]] = (
    (b"content-type", b"application/json; charset=utf-8"),
    NOSNIFF,
    # So that nobody of ours takes a gateway for LM Studio itself, least of all the gateway.
    (GATEWAY_HEADER.encode(), OURSELVES.encode()),
)


class LMStudioRoutes:
    """`/lmstudio-greeting`, `/api/v1/…`, and the lists of `/api/v0/…`.

    Args:
        stored: the turns of conversations. whose: whose turns a request may go on from.
        servers: who knows MCP servers; None for nobody.
    """

    def __init__(
        self,
        hub: Hub,
        settings: GatewaySettings,
        stored: Stored,
        whose: Whose,
        servers: ToolServers | None = None,
    ) -> None:
        self._hub, self._limit = hub, settings.max_body
        hub.substitutes = settings.lmstudio_quirks
        self._family = FAITHFUL if settings.lmstudio_quirks else LMSTUDIO
        self._jobs = Jobs(hub)
        self._servers = servers
        self._chat = NativeChat(hub, settings, stored, whose, servers)

    def routes(self) -> Paths:
        """The paths with their methods."""
        greeting = Route(
            self.greeting, "That LM Studio, or who stands in for it, is here.", "open", answers=Greeting
        )
        return {
            "/lmstudio-greeting": {"GET": greeting},
            "/api/v1/chat": {
                "POST": Route(
                    self._chat.chat,
                    "Chat in LM Studio's own way: conversations are remembered, progress is told.",
                    family=self._family,
                    asks=NativeChatBody,
                    answers=ChatResult,
                    events=EVENTS,
                )
            },
            **self._model_routes(),
            "/api/v0/models": {
                "GET": self._told("The models, as older versions list them.", self.older_models, OlderModels)
            },
            "/api/v0/models/{id}": {"GET": self._told("One of them.", self.older_model, OlderModel)},
        }

    def _model_routes(self) -> Paths:
        family = self._family
        under = "/api/v1/models"
        load = Route(self.load, "Load a model once more.", "key", "models", family, LoadBody, LoadAnswer)
        unload = Route(self.unload, "Unload an instance.", "key", "models", family, UnloadBody, UnloadAnswer)
        download = Route(self.download, "Begin a download.", "key", "models", family, DownloadBody, JobStatus)
        job = Route(self.job, "How far a download is.", "key", "models", family, answers=JobStatus)
        return {
            under: {"GET": self._told("Every model, and what is in memory of it.", self.models, NativeModels)},
            f"{under}/load": {"POST": load},
            f"{under}/unload": {"POST": unload},
            f"{under}/download": {"POST": download},
            f"{under}/download/status/{{job_id}}": {"GET": job},
        }

    def _told(self, summary: str, handler: Handler, answers: type[Struct]) -> Route:
        return Route(handler, summary, family=self._family, answers=answers)

    async def aclose(self) -> None:
        """End the downloads, and the servers of tools."""
        await self._jobs.aclose()
        if self._servers is not None:
            await self._servers.aclose()

    async def greeting(self, request: Request) -> None:
        """`GET /lmstudio-greeting`"""
        await request.reply(200, _GREETING_HEADERS, GREETING)

    async def models(self, request: Request) -> None:
        """`GET /api/v1/models`: everything, loaded or not."""
        await request.reply(200, _HEADERS, encode_models(await listed(self._hub)))

    async def older_models(self, request: Request) -> None:
        """`GET /api/v0/models`: where requests load no models, only what is in memory."""
        shown = await listed(self._hub, loaded_only=not self._hub.jit)
        await request.reply(200, _HEADERS, encode_older_models(shown))

    async def older_model(self, request: Request) -> None:
        """`GET /api/v0/models/{id}`; ids may contain slashes."""
        await request.reply(200, _HEADERS, encode_older_model(await find(self._hub, request.params["id"])))

    async def load(self, request: Request) -> None:
        """`POST /api/v1/models/load`: one instance more; answers when it is ready."""
        asked = decode_load(await request.body(self._limit))
        model, began = await self._hub.find(asked.model), perf_counter()
        state = await self._hub.load_another(asked.model, asked.options)
        seconds, name = perf_counter() - began, instance_name(state)
        await request.reply(200, _HEADERS, encode_loaded(model, name, state, seconds, echo=asked.echo_load_config))

    async def unload(self, request: Request) -> None:
        """`POST /api/v1/models/unload`: by the name of the instance, not by the model's."""
        name = decode_unload(await request.body(self._limit)).instance_id
        there = {id: state for each in await listed(self._hub) for id, state in each.instances}
        if name not in there:
            raise ModelNotFound(name, list(there))
        state = there[name]
        await self._hub.unload(f"{state.provider}:{instance_name(state)}")
        await request.reply(200, _HEADERS, encode_unloaded(name))

    async def download(self, request: Request) -> None:
        """`POST /api/v1/models/download`: begins a job, unless there is nothing to be done."""
        job = await self._jobs.start(decode_download(await request.body(self._limit)).name)
        await request.reply(200, _HEADERS, ALREADY if job is None else encode_job(job, time.time()))

    async def job(self, request: Request) -> None:
        """`GET /api/v1/models/download/status/{job_id}`"""
        await request.reply(200, _HEADERS, encode_job(self._jobs.find(request.params["job_id"]), time.time()))
