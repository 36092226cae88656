"""What models were used for: `GET /api/lmbridge/usage`. Names and numbers only."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from lmbridge.core.usage import UsageBy, UsageReport
from lmbridge.doors.gateway.asgi import Request
from lmbridge.doors.gateway.routes import Paths, Route
from lmbridge.hub.hub import Hub

Moment = Annotated[float, Meta(ge=0, description="Seconds since 1970.")]


class UsageAsk(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters, in the address."""

    by: Annotated[UsageBy, Meta(description="What is added up.")] = "model"
    since: Moment | None = None
    until: Moment | None = None
    model: Annotated[str, Meta(description="Only models whose `PROVIDER:NAME` contains this.")] = ""


class UsageRoutes:
    """The route."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def routes(self) -> Paths:
        """What is served here."""
        return {
            "/api/lmbridge/usage": {
                "GET": Route(
                    self.usage,
                    "Calls, tokens and times, added up by model, day, hour, provider, task, caller or where.",
                    scope="admin",
                    answers=UsageReport,
                    query=UsageAsk,
                )
            }
        }

    async def usage(self, request: Request) -> None:
        """`GET /api/lmbridge/usage`"""
        ask = request.asked(UsageAsk)
        report = await self._hub.usage(ask.by, since=ask.since, until=ask.until, model=ask.model)
        await request.reply_json(report)
