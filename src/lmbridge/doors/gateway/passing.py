"""A stream that is passed on: whole events only, checked, and with the end that an OpenAI stream has.

Until the first event is out, an error keeps its HTTP status; afterwards each error is the last event.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import msgspec
from msgspec import Struct

from lmbridge.clients.http import Response
from lmbridge.core.errors import BridgeError, BrokenAnswer
from lmbridge.core.events import Usage
from lmbridge.doors.gateway.asgi import Request
from lmbridge.doors.gateway.heartbeat import Heartbeat
from lmbridge.hub.lease import Lease
from lmbridge.wire.openai.progress import without_progress
from lmbridge.wire.openai.relayed import ChatPiece, RelayedEvents, TextPiece
from lmbridge.wire.openai.thinking import ThoughtsApart
from lmbridge.wire.sse import MAX_EVENT

DRAIN_S: Final = 0.25
"""Seconds in which a provider has to end a stream after its `[DONE]`; only then its connection is kept."""

DONE: Final = b"data: [DONE]\n\n"
"""How a stream of OpenAI's ends."""

_encode: Final = msgspec.json.Encoder().encode


class _Named(Struct):
    model: object = None


_decode_name: Final = msgspec.json.Decoder(_Named).decode


class Passing:
    """Passes a provider's events on to a caller: whole and good ones only, so that an error can follow any.

    Args:
        piece: what an event has to be. role: whether the first one has to say who speaks.
        apart: takes thoughts apart from the answer, where the provider may not have.
    """

    __slots__ = ("_apart", "_checked", "_endpoint", "_held", "_provider", "_request", "_response", "_role")

    def __init__(
        self,
        request: Request,
        response: Response,
        lease: Lease,
        piece: type[ChatPiece | TextPiece],
        *,
        role: bool,
        apart: ThoughtsApart | None,
    ) -> None:
        self._request, self._response, self._role, self._apart = request, response, role, apart
        self._provider, self._endpoint = lease.provider.id, lease.instance.endpoint
        self._held = b""
        self._checked = RelayedEvents(piece, self._provider)

    @property
    def usage(self) -> Usage | None:
        """Tokens, as far as the provider has told them."""
        return self._checked.usage

    async def pass_first(self, heart: Heartbeat, *, measured: bool) -> None:
        """Wait for the first event and pass it on; until then the status can still tell of an error.

        Args:
            measured: events that tell how far the prompt has been read are for the heart alone.
        """
        async for data in self._response:
            events, error = self._until_error(self._whole(data))
            if measured:
                events, fraction = without_progress(events)
                if fraction is not None:
                    heart.reading(fraction)
            if b"data:" in events:
                if self._endpoint.also:
                    self._endpoint.check_answerer(self._provider, answerer(events))
                await heart.stop()
                if not self._request.started:
                    await self._request.start_events()
                await self._request.send(with_role(events) if self._role else events)
            if error is not None:
                raise error
            if b"data:" in events:
                return  # otherwise it was a comment: our own signs of life go on
        raise BrokenAnswer(self._provider, "the stream ended before it began")

    async def pass_rest(self) -> None:
        """Pass on the other events, and the end if it is one.

        Raises:
            BridgeError: the provider's error, or that its stream was cut off.
        """
        if not self._done():
            async for data in self._response:
                events, error = self._until_error(self._whole(data))
                if error is None and self._done() and self._response.ended:
                    await self._request.send(events, more=False)
                    return
                if events:
                    await self._request.send(events)
                if error is not None:
                    raise error
                if self._done():
                    break
        await self._end()

    def _done(self) -> bool:
        return self._checked.ended

    async def _end(self) -> None:
        if not self._done():
            self._check_end()
            await self._request.send(DONE)
        elif not self._response.ended:
            with suppress(TimeoutError, BrokenAnswer):
                async with asyncio.timeout(DRAIN_S):
                    async for _ in self._response:
                        pass
        await self._request.send(b"", more=False)

    def _check_end(self) -> None:
        """Make sure that a stream is whole that ended without `[DONE]` or the blank line after it, as some do.

        Raises:
            BrokenAnswer: it was not whole.
        """
        cut = self._held.strip() not in (b"", b"data: [DONE]", b"data:[DONE]")
        if cut or not self._checked.finished:
            raise BrokenAnswer(self._provider, "the stream ended before the answer did")

    def _whole(self, data: bytes) -> bytes:
        """The events that are complete now; the rest is kept for the next time."""
        if self._held:
            data = self._held + data
        if data.endswith(b"\n\n"):
            self._held = b""
            return data
        end = max(data.rfind(b"\n\n") + 2, data.rfind(b"\r\n\r\n") + 4)
        if end < 4:
            end = 0
        self._held = data[end:]
        if len(self._held) > MAX_EVENT:
            raise BrokenAnswer(self._provider, f"one event is larger than {MAX_EVENT:,} bytes")
        return data[:end]

    def _until_error(self, events: bytes) -> tuple[bytes, BridgeError | None]:
        """The events before one that is wrong or reports an error, and that error in our form."""
        checked = self._checked
        events, error = checked.feed(events)
        if self._apart is not None:
            events = self._apart.feed(events)
        if error is None and checked.ended and not checked.finished:  # the answer was cut short
            error = BrokenAnswer(self._provider, "the stream ended without a reason to finish")
            return events.removesuffix(DONE), error
        return events, error


def answerer(events: bytes) -> object:
    """The model that the first event says it is from; None if it does not say."""
    begin = events.find(b"data:") + 5
    try:
        return _decode_name(events[begin : events.find(b"\n", begin)]).model
    except (ValueError, RecursionError):
        return None


def with_role(events: bytes) -> bytes:
    """The same events, the first one saying who speaks, as OpenAI's always does."""
    begin = events.find(b"data:") + 5
    end = events.find(b"\n", begin)
    if b'"role"' in events[begin:end]:
        return events
    try:
        chunk = msgspec.json.decode(events[begin:end])
        for choice in chunk["choices"]:
            choice["delta"] = {"role": "assistant", **choice["delta"]}
    except (ValueError, LookupError, TypeError):
        return events  # an error, or something that is not ours to mend
    return events[:begin] + b" " + _encode(chunk) + events[end:]
