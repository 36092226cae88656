"""Relaying: the caller's language is the endpoint's own, so bytes pass untouched under a lease.

A tap reads along to count tokens and to notice an answer that is not whole. Three things are not left to
the provider: an error gets our form and status, a stream that breaks ends with an error event and never
looks finished, and a caller who goes away ends the work: the connection to the engine is closed at once.
llama.cpp then stops a streamed answer within a token and an unstreamed one within a second, as it looks
after its caller only that often. Streaming always and putting the answer together here would stop it
sooner, but the bytes would be ours and no longer the engine's, and every token would cost us some work.
"""

from __future__ import annotations

import asyncio
from asyncio import CancelledError
from contextlib import suppress
from time import perf_counter
from typing import Final

import msgspec
from msgspec import Raw, Struct

from lmbridge.clients.http import HTTPClient, Response
from lmbridge.core.errors import BridgeError, BrokenAnswer
from lmbridge.core.events import Usage
from lmbridge.core.models import ModelKind
from lmbridge.doors.gateway.asgi import Request
from lmbridge.doors.gateway.heartbeat import Heartbeat
from lmbridge.hub.activity import Tally
from lmbridge.hub.hub import Hub
from lmbridge.hub.leases import Lease
from lmbridge.wire.openai.errors import decode_error
from lmbridge.wire.openai.tap import UsageTap
from lmbridge.wire.openai.usage import TimingFields, UsageFields, to_usage

MAX_EVENT: Final = 16 * 2**20
"""Bytes of one event of a stream."""
MAX_ERROR: Final = 2**20
"""Bytes of a provider's error."""
DRAIN_S: Final = 0.25
"""Seconds in which a provider has to end a stream after its `[DONE]`; only then its connection is kept."""

_encode = msgspec.json.Encoder().encode
_decode_fields = msgspec.json.Decoder(dict[str, object]).decode


class Language(Struct, frozen=True):
    """What distinguishes the relayed routes.

    Attributes:
        route: its name in the counters. path: after the endpoint's URL. kind: of the model it needs.
        role: whether the first event of a stream has to say who speaks.
    """

    route: str
    path: str
    kind: ModelKind
    role: bool = False


class Ask(Struct, frozen=True, gc=False):
    """A checked request.

    Attributes:
        raw: its body as it came. model: the name asked for, "" for the default.
        alone: the answer must be repeatable.
    """

    raw: bytes
    model: str
    stream: bool = False
    alone: bool = False


class _Answer(Struct):
    """What every whole answer has: `choices`, or `data` when it holds vectors."""

    choices: list[Raw] = []
    data: list[Raw] = []
    usage: UsageFields | None = None
    timings: TimingFields | None = None


_decode_answer = msgspec.json.Decoder(_Answer).decode


class Relay:
    """Passes requests on to the models they name.

    Args:
        heartbeat_s: seconds of silence before a stream gets a sign of life.
    """

    def __init__(self, hub: Hub, http: HTTPClient, heartbeat_s: float) -> None:
        self._hub, self._http, self._heartbeat_s = hub, http, heartbeat_s

    async def answer(self, request: Request, language: Language, ask: Ask) -> None:
        """Answer *request*.

        Raises:
            BridgeError: what stood in the way; a stream may have begun by then.
        """
        if not ask.stream:
            await self._leased(request, language, ask, None)
            return
        async with Heartbeat(request, self._heartbeat_s) as heart:
            await self._leased(request, language, ask, heart)

    async def _leased(self, request: Request, language: Language, ask: Ask, heart: Heartbeat | None) -> None:
        """Hold the model while it answers, and count how it went."""
        began = perf_counter()
        progress = heart.loading if heart is not None else None
        async with self._hub.lease(ask.model, kind=language.kind, exclusive=ask.alone, progress=progress) as lease:
            tally = self._hub.activity.tally(lease.model.provider, lease.model.id, language.route)
            tally.in_flight += 1
            try:
                response = await self._ask(lease, language, ask, heart)
                async with response:
                    tally.first_event.observe(perf_counter() - began)
                    if heart is None:
                        await _pass_whole(request, response, tally, lease)
                    else:
                        await _pass_stream(request, response, tally, lease, heart, language)
            except BridgeError as error:
                reason = await lease.explain(error)
                tally.errors[reason.code] += 1
                request.counted = True
                if reason is error:
                    raise
                raise reason from error
            except CancelledError:
                tally.cancelled += 1
                raise
            finally:
                tally.in_flight -= 1
                tally.requests += 1
                tally.duration.observe(perf_counter() - began)

    async def _ask(self, lease: Lease, language: Language, ask: Ask, heart: Heartbeat | None) -> Response:
        """Send the request; returns an answer of status 200.

        Raises:
            BridgeError: the provider's error, or none came.
        """
        endpoint = lease.instance.endpoint
        if heart is not None:
            heart.phase = "reading prompt"
        response = await self._http.request(
            "POST",
            endpoint.url + language.path,
            headers=endpoint.headers,
            body=_body(lease, ask),
            keep_alive=endpoint.keep_alive,
            provider=lease.provider.id,
        )
        if response.status != 200:
            async with response:
                raise decode_error(response.status, await response.read(MAX_ERROR), lease.provider.id)
        return response


def _body(lease: Lease, ask: Ask) -> bytes:
    """The request as the runtime needs it; the very bytes that came, if it needs nothing else."""
    fields = _decode_fields(ask.raw)
    prepared = lease.provider.prepare(lease.instance, fields)
    model = lease.instance.endpoint.model
    if prepared is fields and fields.get("model") == model:
        return ask.raw
    return _encode({**prepared, "model": model})


async def _pass_whole(request: Request, response: Response, tally: Tally, lease: Lease) -> None:
    body = await response.read()
    try:
        answer = _decode_answer(body)
    except (ValueError, RecursionError) as error:
        raise BrokenAnswer(lease.provider.id, str(error)) from error
    if not answer.choices and not answer.data:
        raise BrokenAnswer(lease.provider.id, "it holds no answer")
    _count(tally, to_usage(answer.usage, answer.timings))
    await request.reply(200, ((b"content-type", response.header(b"content-type")),), body)


async def _pass_stream(
    request: Request, response: Response, tally: Tally, lease: Lease, heart: Heartbeat, language: Language
) -> None:
    provider = lease.provider.id
    if response.content_type != "text/event-stream":
        raise BrokenAnswer(provider, "a stream was asked for and something else came")
    tap, held, unnamed = UsageTap(provider), b"", language.role
    try:
        async for data in response:
            tap.feed(data)
            events, held = _whole_events(held + data if held else data, provider)
            if tap.error is not None:
                await request.send(events[: events.rfind(b"\n\n", 0, events.find(b'"error"')) + 2])
                raise tap.error
            if not events:
                continue
            if not request.started or unnamed:
                await heart.stop()
            if not request.started:
                await request.start_events()
            if unnamed and b"data:" in events:
                events, unnamed = with_role(events), False
            await request.send(events)
            if tap.done:
                break
        await _end_stream(request, response, tap, held, provider)
    finally:
        _count(tally, tap.usage)


async def _end_stream(request: Request, response: Response, tap: UsageTap, held: bytes, provider: str) -> None:
    """The events have ended: see whether the answer had."""
    if not tap.done:
        if held or not tap.finished:
            raise BrokenAnswer(provider, "the stream ended before the answer did")
        await request.send(b"data: [DONE]\n\n")
    elif not response.ended:
        with suppress(TimeoutError, BrokenAnswer):
            async with asyncio.timeout(DRAIN_S):
                async for _ in response:
                    pass
    await request.send(b"", more=False)


def _whole_events(data: bytes, provider: str) -> tuple[bytes, bytes]:
    """The events that are complete, and the rest. So an error can be put after any piece that was passed on."""
    if data.endswith((b"\n\n", b"\r\n\r\n")):
        return data, b""
    end = max(data.rfind(b"\n\n") + 2, data.rfind(b"\r\n\r\n") + 4)
    if end < 4:
        if len(data) > MAX_EVENT:
            raise BrokenAnswer(provider, f"one event is larger than {MAX_EVENT:,} bytes")
        return b"", data
    return data[:end], data[end:]


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


def _count(tally: Tally, usage: Usage | None) -> None:
    if usage is not None:
        tally.prompt_tokens += usage.prompt_tokens
        tally.cached_tokens += usage.cached_tokens
        tally.completion_tokens += usage.completion_tokens
