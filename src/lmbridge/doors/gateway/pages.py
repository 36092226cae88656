"""What people and their tools look at: health, metrics, the API's description, and a page that shows it."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final

from lmbridge.doors.gateway.asgi import JSON, NOSNIFF, Header, Request
from lmbridge.doors.gateway.management import Health
from lmbridge.doors.gateway.routes import Paths, Route
from lmbridge.hub.hub import Hub

_INLINE: Final = re.compile(rb"<(script|style)>(.*?)</\1>", re.DOTALL)


class Pages:
    """The routes.

    Args:
        description: the API's description as JSON.
    """

    def __init__(self, hub: Hub, version: str, description: Callable[[], bytes]) -> None:
        self._hub, self._version, self._description = hub, version, description

    def routes(self) -> Paths:
        """What is served here."""
        return {
            "/": {
                "GET": Route(
                    self.page,
                    "A page that shows this document, the models and the state.",
                    "open",
                    answers="text/html",
                )
            },
            "/health": {"GET": Route(self.health, "Whether the gateway answers.", "open", answers=Health)},
            "/metrics": {
                "GET": Route(self.metrics, "Counters for Prometheus.", scope="admin", answers="text/plain")
            },
            "/openapi.json": {"GET": Route(self.openapi, "This document.", "open", answers="application/json")},
        }

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
        await request.reply(200, (JSON, NOSNIFF), self._description())

    async def page(self, request: Request) -> None:
        """`GET /`"""
        headers, body = _page()
        await request.reply(200, headers, body)


@cache
def _page() -> tuple[Sequence[Header], bytes]:
    """The page, and headers that let it do no more than it does.

    It loads nothing from elsewhere, runs the script in it and no other, and nobody may frame it to steal
    clicks. A name of a model that looks like a script therefore stays a name.
    """
    body = files("lmbridge.doors.gateway").joinpath("page.html").read_bytes()
    hashes = {kind: b64encode(sha256(text).digest()) for kind, text in _INLINE.findall(body)}
    rules = (
        b"default-src 'none'; script-src 'sha256-%s'; style-src 'sha256-%s'; connect-src 'self'; img-src data:; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ) % (hashes[b"script"], hashes[b"style"])
    headers = (
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", rules),
        (b"referrer-policy", b"no-referrer"),
        NOSNIFF,
    )
    return headers, body
