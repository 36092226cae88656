"""What people and their tools look at: health, metrics, the API's description, and a page that shows it."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

from msgspec import Struct

from lmbridge.doors.gateway.asgi import JSON, NOSNIFF, Header, Request
from lmbridge.hub.hub import Hub

PAGE: Final[tuple[Header, ...]] = (
    (b"content-type", b"text/html; charset=utf-8"),
    NOSNIFF,
    # The page loads nothing from elsewhere, and nobody may frame it to steal clicks.
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
        b"img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
)


class Health(Struct, frozen=True):
    """That the gateway answers, and that it is one."""

    status: str
    server: str
    version: str


class Pages:
    """The routes."""

    def __init__(self, hub: Hub, version: str) -> None:
        self._hub, self._version = hub, version

    async def health(self, request: Request) -> None:
        """`GET /health`"""
        await request.reply_json(Health("ok", "lmbridge", self._version))

    async def metrics(self, request: Request) -> None:
        """`GET /metrics`"""
        from lmbridge.doors.gateway.metrics import CONTENT_TYPE, render

        body = render(self._hub.activity, await self._hub.instances(), self._version)
        await request.reply(200, ((b"content-type", CONTENT_TYPE), NOSNIFF), body)

    async def openapi(self, request: Request) -> None:
        """`GET /openapi.json`"""
        from lmbridge.doors.gateway.openapi import document

        await request.reply(200, (JSON, NOSNIFF), document(self._version))

    async def page(self, request: Request) -> None:
        """`GET /`"""
        await request.reply(200, PAGE, _page())


@cache
def _page() -> bytes:
    return files("lmbridge.doors.gateway").joinpath("page.html").read_bytes()
