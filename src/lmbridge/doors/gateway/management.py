"""What lmbridge itself asks a gateway: `/api/lmbridge/…`, used by the command line and by `RemoteHub`.

Bodies are core structs as JSON.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from lmbridge.core.errors import InvalidRequest
from lmbridge.core.messages import ImagePart, Message, Tool
from lmbridge.core.models import Download, InstanceState, LoadOptions, ModelInfo, ModelKind
from lmbridge.core.provider import ProviderState
from lmbridge.core.requests import ChatRequest
from lmbridge.doors.gateway.asgi import Request
from lmbridge.doors.gateway.family import ErrorBody
from lmbridge.doors.gateway.routes import Paths, Route
from lmbridge.doors.gateway.settings import GatewaySettings
from lmbridge.hub.hub import Hub
from lmbridge.wire.strict import decode_strictly

T = TypeVar("T", bound=Struct)

LOOK_S: Final = 0.1
"""Seconds between two looks at how far a load is."""


class Health(Struct, frozen=True):
    """That the gateway answers, and that it is one."""

    status: str
    server: str
    version: str


class Status(Struct, frozen=True):
    """The state of a gateway."""

    version: str
    pid: int
    uptime_s: float
    providers: Sequence[ProviderState]
    instances: Sequence[InstanceState]


class Models(Struct, frozen=True):
    """Every model of every provider."""

    models: Sequence[ModelInfo]


class ResolveAsk(Struct, frozen=True, forbid_unknown_fields=True):
    """Which model a name means."""

    model: str = ""
    kind: ModelKind = "chat"


class LoadAsk(Struct, frozen=True, forbid_unknown_fields=True):
    """A model to load. `options` left out: as it is loaded already, or with the defaults."""

    model: str = ""
    options: LoadOptions = LoadOptions()


class DownloadAsk(Struct, frozen=True, forbid_unknown_fields=True):
    """A model to download. `provider`: who gets it; left out, the first that is there and can."""

    model: str
    provider: str = ""


class CountAsk(Struct, frozen=True, forbid_unknown_fields=True):
    """A prompt whose tokens are wanted."""

    messages: tuple[Message, ...]
    model: str = ""
    tools: tuple[Tool, ...] = ()


class Counted(Struct, frozen=True):
    """Tokens of a prompt; null where the model's provider does not tell."""

    tokens: int | None


class UnloadAsk(Struct, frozen=True, forbid_unknown_fields=True):
    """A model to unload."""

    model: str


class ShutdownAsk(Struct, frozen=True, forbid_unknown_fields=True):
    """Stop the gateway: an empty object."""


class Loading(Struct, frozen=True):
    """How far a load is, 0 to 1."""

    progress: float


class Loaded(Struct, frozen=True):
    """A load has ended well."""

    instance: InstanceState


class Downloading(Struct, frozen=True):
    """How far a download is."""

    download: Download


class Downloaded(Struct, frozen=True):
    """A download has ended well."""

    model: ModelInfo


class Management:
    """The routes.

    Args:
        stop: begins the end of the server.
    """

    def __init__(self, hub: Hub, settings: GatewaySettings, version: str, stop: Callable[[], None]) -> None:
        self._hub, self._settings, self._version, self._stop = hub, settings, version, stop

    def routes(self) -> Paths:
        """What is served here."""
        return {
            "/api/lmbridge/status": {
                "GET": Route(self.status, "Providers and models in memory.", scope="admin", answers=Status)
            },
            "/api/lmbridge/models": {
                "GET": Route(self.models, "Every model, with all that is known of it.", answers=Models)
            },
            "/api/lmbridge/models/resolve": {
                "POST": Route(self.resolve, "Which model a name means.", asks=ResolveAsk, answers=ModelInfo)
            },
            "/api/lmbridge/models/load": {
                "POST": Route(
                    self.load,
                    "Load a model; the events tell how far it is and end with the instance or an error.",
                    scope="models",
                    asks=LoadAsk,
                    events=(Loading, Loaded, ErrorBody),
                )
            },
            "/api/lmbridge/models/count": {
                "POST": Route(
                    self.count,
                    "Tokens of a prompt, as its model counts them. Loads the model.",
                    asks=CountAsk,
                    answers=Counted,
                )
            },
            "/api/lmbridge/models/download": {
                "POST": Route(
                    self.download,
                    "Get a model that is not here yet; the events tell how far it is and end with the model or "
                    "an error.",
                    scope="models",
                    asks=DownloadAsk,
                    events=(Downloading, Downloaded, ErrorBody),
                )
            },
            "/api/lmbridge/models/unload": {
                "POST": Route(
                    self.unload,
                    "Give a model's memory back.",
                    scope="models",
                    asks=UnloadAsk,
                    answers=InstanceState,
                )
            },
            "/api/lmbridge/shutdown": {
                "POST": Route(
                    self.shutdown,
                    "Stop the gateway. Needs the key in the gateway file, which only its user can read.",
                    "session",
                    scope="admin",
                    asks=ShutdownAsk,
                    status=202,
                )
            },
        }

    async def status(self, request: Request) -> None:
        """`GET /api/lmbridge/status`"""
        providers, instances = await self._hub.probe(), await self._hub.instances()
        uptime = self._hub.activity.uptime_s
        await request.reply_json(Status(self._version, os.getpid(), uptime, providers, instances))

    async def models(self, request: Request) -> None:
        """`GET /api/lmbridge/models`"""
        await request.reply_json(Models(await self._hub.models()))

    async def resolve(self, request: Request) -> None:
        """`POST /api/lmbridge/models/resolve`"""
        ask = await self._ask(request, ResolveAsk)
        await request.reply_json(await self._hub.resolve(ask.model, ask.kind))

    async def count(self, request: Request) -> None:
        """`POST /api/lmbridge/models/count`"""
        ask = await self._ask(request, CountAsk)
        for message in ask.messages:
            for part in message.content if isinstance(message.content, tuple) else ():
                if isinstance(part, ImagePart) and not part.url.startswith("data:"):
                    raise InvalidRequest("A picture must be a `data:` URL; nothing is fetched.", param="messages")
        chat = ChatRequest(ask.model, ask.messages, tools=ask.tools)
        await request.reply_json(Counted(await self._hub.count(chat)))

    async def unload(self, request: Request) -> None:
        """`POST /api/lmbridge/models/unload`"""
        ask = await self._ask(request, UnloadAsk)
        await request.reply_json(await self._hub.unload(ask.model))

    async def shutdown(self, request: Request) -> None:
        """`POST /api/lmbridge/shutdown`"""
        await self._ask(request, ShutdownAsk)
        await request.reply_json({}, 202)
        self._stop()

    async def load(self, request: Request) -> None:
        """`POST /api/lmbridge/models/load`: events while it loads. An error before the first keeps its status."""
        ask = await self._ask(request, LoadAsk)
        latest: list[Struct] = [Loading(0.0)]

        def progress(done: float) -> None:
            latest[0] = Loading(done)

        work = asyncio.ensure_future(self._hub.load(ask.model, ask.options, progress))
        await self._follow(request, work, latest, Loaded)

    async def download(self, request: Request) -> None:
        """`POST /api/lmbridge/models/download`: events while it runs; leaving early stops it."""
        ask = await self._ask(request, DownloadAsk)
        latest: list[Struct] = [Downloading(Download("downloading"))]

        def progress(download: Download) -> None:
            latest[0] = Downloading(download)

        work = asyncio.ensure_future(self._hub.download(ask.model, provider=ask.provider, progress=progress))
        await self._follow(request, work, latest, Downloaded)

    async def _follow(
        self, request: Request, work: asyncio.Future[T], latest: list[Struct], end: Callable[[T], Struct]
    ) -> None:
        """Tell how far *work* is until it is done, and then its result."""
        told, silent = latest[0], 0.0
        try:
            while not (await asyncio.wait([work], timeout=LOOK_S))[0]:
                silent += LOOK_S
                if latest[0] != told or silent >= self._settings.heartbeat_s:
                    told, silent = latest[0], 0.0
                    await _event(request, told)
            await _event(request, end(await work), more=False)
        finally:
            if not work.done():
                work.cancel()
                await asyncio.wait([work])

    async def _ask(self, request: Request, shape: type[T]) -> T:
        body = await request.body(self._settings.max_body)
        return decode_strictly(msgspec.json.Decoder(shape), body)


async def _event(request: Request, value: object, *, more: bool = True) -> None:
    if not request.started:
        await request.start_events()
    await request.send(b"data: " + msgspec.json.encode(value) + b"\n\n", more=more)
