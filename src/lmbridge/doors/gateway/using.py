"""One request's use of a model: the lease, how it went in the counters, and the reason behind an error."""

from __future__ import annotations

from asyncio import CancelledError
from time import perf_counter
from types import TracebackType
from typing import Final
from urllib.parse import unquote_to_bytes

from lmbridge.core.errors import BridgeError, ProviderNeedsKey, ProviderRefused
from lmbridge.core.events import Usage
from lmbridge.core.models import LoadOptions, ModelKind
from lmbridge.core.usage import TASK_HEADER, checked_task
from lmbridge.doors.gateway.asgi import Request
from lmbridge.doors.gateway.heartbeat import Heartbeat
from lmbridge.hub.activity import Turn
from lmbridge.hub.hub import Hub
from lmbridge.hub.lease import Lease

TASK: Final = TASK_HEADER.encode()
OF_A_SERVER: Final = frozenset(
    {
        "address_in_use",
        "already_running",
        "cancelled",
        "config_invalid",
        "forbidden",
        "method_not_allowed",
        "not_running",
        "route_not_found",
        "unauthorized",
        "unsafe_bind",
        "unsupported_media_type",
    }
)
"""Codes that tell of a server and of how it was asked. Where another lmbridge is the provider, they are about it
and not about this gateway."""


class Use:
    """Use it around the work: `async with Use(hub, request, "chat", model) as use:`.

    A class and no generator, because every request enters one.

    Args:
        route: its name in the counters. model: the name asked for. alone: the answer must be repeatable.
        options: used only if this request loads the model. heart: learns what is being waited for.

    Attributes:
        lease: what is held. turn: what becomes of it, for the counters and the log.
        began: `perf_counter()` when it was asked for.
    """

    __slots__ = (
        "_alone",
        "_heart",
        "_hub",
        "_kind",
        "_model",
        "_options",
        "_request",
        "_route",
        "began",
        "lease",
        "turn",
    )

    lease: Lease
    turn: Turn

    def __init__(
        self,
        hub: Hub,
        request: Request,
        route: str,
        model: str,
        kind: ModelKind = "chat",
        *,
        alone: bool = False,
        options: LoadOptions = LoadOptions(),
        heart: Heartbeat | None = None,
    ) -> None:
        self._hub, self._request, self._route, self._heart = hub, request, route, heart
        self._model, self._kind, self._alone, self._options = model, kind, alone, options

    @property
    def seconds(self) -> float:
        """Since the request was asked for."""
        return perf_counter() - self.began

    def first_event(self) -> float:
        """Count that the answer begins now; returns the seconds until then."""
        return self.turn.first_event()

    def count(self, usage: Usage | None) -> None:
        """Count the tokens of an answer."""
        self.turn.used(usage)

    def dropped(self, turns: int) -> None:
        """Tell the caller that so many of the oldest turns were dropped to make the prompt fit."""
        self._request.also = (*self._request.also, (b"x-lmbridge-dropped-turns", b"%d" % turns))

    async def __aenter__(self) -> Use:
        """Hold the model.

        Raises:
            BridgeError: as `Hub.acquire`. InvalidRequest: a header that says what it is for, and is none.
        """
        self.began, hub, heart = perf_counter(), self._hub, self._heart
        request = self._request
        request.wanted = self._model
        task = _task(request.headers[TASK]) if TASK in request.headers else ""
        # Most often the model is there and free: then no coroutine has to be made to find that out.
        lease = hub.lease_at_once(self._model, self._kind, self._alone)
        if lease is None:
            progress, queued = (heart.loading, heart.queued) if heart is not None else (None, None)
            lease = await hub.acquire(self._model, self._kind, self._alone, progress, self._options, queued)
        self.lease = lease
        request.turn = self.turn = hub.activity.begin(
            lease.model,
            self._route,
            request.family.name,
            self.began,
            caller=request.caller,
            waited_s=lease.waited_s,
            ahead=lease.ahead,
            task=task,
        )
        if lease.ahead:
            request.also = (*request.also, (b"x-lmbridge-queued", b"%d" % lease.ahead))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the model back.

        Raises:
            BridgeError: the reason behind the error inside, if there is one.
        """
        turn = self.turn
        try:
            if isinstance(error, BridgeError):
                reason = _as_a_providers(await self.lease.explain(error), self.lease.provider.id)
                turn.fail(reason.code)
                self._request.counted = True
                if reason is not error:
                    raise reason from error
            elif isinstance(error, CancelledError):
                turn.cancel()
        finally:
            self._hub.release(self.lease)
            turn.end()


def _task(header: bytes) -> str:
    """What a caller says that a request is for; percent-encoded where it is more than ASCII."""
    return checked_task(unquote_to_bytes(header).decode("utf-8", "replace"), TASK_HEADER)


def _as_a_providers(error: BridgeError, provider: str) -> BridgeError:
    """What an error means to the caller that a provider has told."""
    if error.code not in OF_A_SERVER:
        return error
    if error.code in ("unauthorized", "forbidden"):
        return ProviderNeedsKey(provider, None)
    return ProviderRefused(provider, None, error.message)
