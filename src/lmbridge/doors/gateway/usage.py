"""What models were used for: `GET /api/lmbridge/usage`. Names and numbers only."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from lmbridge.core.errors import InvalidRequest
from lmbridge.core.usage import UsageBy, UsageReport
from lmbridge.doors.gateway.asgi import Request
from lmbridge.doors.gateway.routes import Paths, Route
from lmbridge.hub.hub import Hub

HINT: Final = "It takes `by`, `since` and `until` in seconds since 1970, and `model`."

Moment = Annotated[float, Meta(ge=0)]


class UsageAsk(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters, in the address.

    Attributes:
        since, until: seconds since 1970. model: only models whose `PROVIDER:NAME` contains this.
    """

    by: UsageBy = "model"
    since: Moment | None = None
    until: Moment | None = None
    model: str = ""


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
                )
            }
        }

    async def usage(self, request: Request) -> None:
        """`GET /api/lmbridge/usage`"""
        try:
            ask = msgspec.convert(request.query, UsageAsk, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"That cannot be asked of the ledger: {error}.", hint=HINT) from error
        report = await self._hub.usage(ask.by, since=ask.since, until=ask.until, model=ask.model)
        await request.reply_json(report)
