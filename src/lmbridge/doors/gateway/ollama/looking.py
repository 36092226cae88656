"""What there is, in Ollama's words: lists of models, one of them, those in memory, and the version."""

from __future__ import annotations

from time import time_ns
from typing import Final

from lmbridge.doors.gateway.asgi import Request
from lmbridge.doors.gateway.ollama.naming import everything, find, instances_of, loaded
from lmbridge.doors.gateway.settings import GatewaySettings
from lmbridge.hub.hub import Hub
from lmbridge.wire.ollama.models import Running, Tags, Version, listed, running, shown
from lmbridge.wire.ollama.requests import decode_show

API_VERSION: Final = "0.13.0"
"""The release of Ollama whose API this follows. Clients compare it, and refuse one that is too old for them."""


class Looking:
    """The routes that only look."""

    def __init__(self, hub: Hub, settings: GatewaySettings, version: str) -> None:
        self._hub, self._limit = hub, settings.max_body
        self._version = Version(API_VERSION, version)
        self._since_ns = time_ns()  # clients insist on a time at which a model was changed

    async def tags(self, request: Request) -> None:
        """`GET /api/tags`"""
        models = [listed(model, name, self._since_ns) for name, model in await everything(self._hub)]
        await request.reply_json(Tags(models))

    async def show(self, request: Request) -> None:
        """`POST /api/show`"""
        wanted = decode_show(await request.body(self._limit))
        model = await find(self._hub, wanted)
        states = await instances_of(self._hub, model)
        await request.reply_json(shown(model, wanted, next(iter(states), None), self._since_ns))

    async def ps(self, request: Request) -> None:
        """`GET /api/ps`"""
        now = time_ns()
        models = [running(model, name, state, now) for name, model, state in await loaded(self._hub)]
        await request.reply_json(Running(models))

    async def version(self, request: Request) -> None:
        """`GET /api/version`"""
        await request.reply_json(self._version)
