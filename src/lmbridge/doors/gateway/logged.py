"""A request as a line of the log: names and numbers of it, none of its words."""

from __future__ import annotations

from datetime import UTC, datetime
from time import perf_counter
from typing import Final

from lmbridge.doors.gateway.asgi import Request
from lmbridge.hub.request_log import Line

LONGEST: Final = 200
"""Characters of what the caller wrote: a path, the name of a model."""


def line_of(request: Request, began: float) -> Line:
    """What is kept of a request that has ended.

    Args:
        began: `time.perf_counter()` when it came.
    """
    turn, door = request.turn, request.family.name
    now, total_s = datetime.now(UTC), perf_counter() - began
    if turn is None:
        return Line(
            now,
            request.method,
            request.path[:LONGEST],
            request.status,
            total_s,
            door,
            model=request.wanted[:LONGEST],
            key=request.caller,
            cancelled=not request.status,
            error=request.error,
        )
    tally = turn.tally
    return Line(
        now,
        request.method,
        request.path[:LONGEST],
        request.status,
        total_s,
        door,
        tally.route,
        tally.provider,
        tally.model,
        request.caller,
        turn.prompt_tokens,
        turn.cached_tokens,
        turn.completion_tokens,
        turn.first_event_s,
        turn.waited_s,
        turn.ahead,
        turn.cancelled and not request.error,
        request.error,
    )
