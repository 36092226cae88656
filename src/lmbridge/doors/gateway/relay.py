"""Relaying: the caller's language is the endpoint's own, so bytes pass untouched under a lease.

A tap reads along to count tokens and to notice an answer that is not whole. Four things are not left to
the provider: what clients read has the types that the API gives it, an error gets our form and status, a
stream that breaks ends with an error event and never looks finished, and a caller who goes away ends the
work: the connection to the engine is closed at once.
llama.cpp then stops a streamed answer within a token and an unstreamed one within a second, as it looks
after its caller only that often. Streaming always and putting the answer together here would stop it
sooner, but the bytes would be ours and no longer the engine's, and every token would cost us some work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from secrets import token_hex
from time import time
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from lmbridge.clients.http import HTTPClient, Response
from lmbridge.core.errors import BridgeError, BrokenAnswer, ContextExceeded
from lmbridge.core.models import LoadOptions, ModelKind, Patience
from lmbridge.core.provider import Manifest
from lmbridge.core.requests import ChatRequest
from lmbridge.doors.gateway.asgi import JSON, NOSNIFF, Request
from lmbridge.doors.gateway.heartbeat import Heartbeat
from lmbridge.doors.gateway.retell import Retelling
from lmbridge.doors.gateway.using import Use
from lmbridge.hub.hub import Hub
from lmbridge.hub.lease import Lease
from lmbridge.wire.openai.chat_encoder import ChatEncoder
from lmbridge.wire.openai.choices import Choices
from lmbridge.wire.openai.errors import decode_error
from lmbridge.wire.openai.progress import without_progress
from lmbridge.wire.openai.relayed import (
    ChatAnswer,
    ChatPiece,
    RelayedEvents,
    TextAnswer,
    TextPiece,
    VectorAnswer,
    check,
)
from lmbridge.wire.openai.tap import UsageTap
from lmbridge.wire.openai.thinking import ThoughtsApart, whole_apart
from lmbridge.wire.openai.usage import to_usage
from lmbridge.wire.openai.vectors import in_base64
from lmbridge.wire.sse import SSEDecoder, SSEError
from lmbridge.wire.tool_calls import wants_either

MAX_EVENT: Final = 16 * 2**20
"""Bytes of one event of a stream."""
MAX_ERROR: Final = 2**20
"""Bytes of a provider's error."""
LONG: Final = 4096
"""Bytes of a streamed request from which on it is worth being told how far its prompt has been read."""
DRAIN_S: Final = 0.25
"""Seconds in which a provider has to end a stream after its `[DONE]`; only then its connection is kept."""

_encode = msgspec.json.Encoder().encode
_decode_fields = msgspec.json.Decoder(dict[str, object]).decode


class Language(Struct, frozen=True):
    """What distinguishes the relayed routes.

    Attributes:
        route: its name in the counters. path: after the endpoint's URL. kind: of the model it needs.
        whole: what an answer has to be. piece: what an event of a stream has to be.
        role: whether the first event of a stream has to say who speaks.
    """

    route: str
    path: str
    kind: ModelKind
    whole: type[ChatAnswer | TextAnswer | VectorAnswer]
    piece: type[ChatPiece | TextPiece] = ChatPiece
    role: bool = False


CHAT: Final = Language("chat", "/chat/completions", "chat", ChatAnswer, ChatPiece, role=True)
COMPLETION: Final = Language("completion", "/completions", "chat", TextAnswer, TextPiece)
EMBEDDING: Final = Language("embedding", "/embeddings", "embedding", VectorAnswer)


class Ask(Struct, frozen=True, gc=False):
    """A checked request.

    Attributes:
        raw: its body as it came. model: the name asked for, "" for the default.
        alone: the answer must be repeatable.
        each: choices for each prompt. choices: in all. wants_usage: the stream is to end with the counts.
        base64: vectors are wanted so.
        chat: the conversation in core's words, where the bridge has to know it: to count its tokens, or because
            its answer may hold tool calls. in_form: they have to be in normal form.
        apart: thoughts are wanted apart from the answer.
        encoder: writes the answer anew, whatever it holds; None lets it pass where it can.
        ours: fields that the provider is not shown. options: used only if this request loads the model.
    """

    raw: bytes
    model: str
    stream: bool = False
    alone: bool = False
    each: int = 1
    choices: int = 1
    wants_usage: bool = False
    base64: bool = False
    chat: ChatRequest | None = None
    in_form: bool = False
    apart: bool = False
    encoder: Callable[[Use], ChatEncoder] | None = None
    ours: tuple[str, ...] = ()
    options: LoadOptions = LoadOptions()


class _Named(Struct):
    model: object = None


_decode_name = msgspec.json.Decoder(_Named).decode


class Relay:
    """Passes requests on to the models they name.

    Args:
        heartbeat_s: seconds of silence before a stream gets a sign of life.
    """

    def __init__(self, hub: Hub, heartbeat_s: float) -> None:
        self._hub, self._heartbeat_s = hub, heartbeat_s
        self._clients: dict[Patience, HTTPClient] = {}  # as many as there are different settings

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
        """Hold the model while it answers."""
        using = Use(
            self._hub,
            request,
            language.route,
            ask.model,
            language.kind,
            alone=ask.alone,
            options=ask.options,
            heart=heart,
        )
        async with using as use:
            if ask.chat is None:
                await self._passed(request, language, ask, use, heart)
                return
            ask, chat = await self._fitted(request, ask, ask.chat, use)
            try:
                await self._passed(request, language, ask, use, heart)
            except ContextExceeded as error:
                raise await use.lease.weighed(error, chat) from error

    async def _passed(
        self, request: Request, language: Language, ask: Ask, use: Use, heart: Heartbeat | None
    ) -> None:
        if _is_retold(ask, use.lease.provider.manifest):
            chat = ask.chat or ChatRequest(ask.model, (), extra={"reasoning_format": "none"})
            telling = Retelling(request, use, language.path, _fields(ask), chat, _encoder(ask, use))
            client = self._client(use.lease.instance.endpoint.patience)
            await telling.tell(client, heart, streamed=ask.stream or ask.encoder is not None)
        elif ask.choices > 1 and use.lease.provider.manifest.counts_one_choice:
            await self._pass_choices(request, language, ask, use, heart)
        elif heart is None:
            await self._pass_whole(request, language, ask, use)
        else:
            await self._pass_stream(request, language, ask, use, heart)

    async def _fitted(self, request: Request, ask: Ask, chat: ChatRequest, use: Use) -> tuple[Ask, ChatRequest]:
        """The request with a prompt that fits, if it may be trimmed; the caller is told how many turns it lost."""
        fitted, dropped = await self._hub.fit(use.lease, chat)
        if not dropped:
            return ask, chat
        use.dropped(dropped)
        if request.started:  # too late for a header
            await request.send(b": %d of the oldest turns were dropped to fit the context\n\n" % dropped)
        fields = _decode_fields(ask.raw)
        messages = msgspec.convert(fields["messages"], list[object])
        kept = set(map(id, fitted.turns))
        left = [message for turn, message in zip(chat.turns, messages, strict=True) if id(turn) in kept]
        return replace(ask, raw=_encode({**fields, "messages": left}), chat=fitted), fitted

    async def _pass_whole(self, request: Request, language: Language, ask: Ask, use: Use) -> None:
        lease, provider = use.lease, use.lease.provider.id
        async with await self._send(lease, language, _body(lease, ask)) as response:
            body = await response.read()
        if response.status != 200:
            raise decode_error(response.status, body, provider)
        answer = check(body, language.whole, provider)
        lease.instance.endpoint.check_answerer(provider, answer.model)
        if ask.base64:
            try:
                body = in_base64(body)
            except ValueError as error:
                raise BrokenAnswer(provider, str(error)) from error
        use.count(to_usage(answer.usage, answer.timings))
        if _leaves_tags(ask, lease):
            body = whole_apart(body)
        # What a provider calls it is not passed on: a page would run in the place of this gateway.
        await request.reply(200, (JSON, NOSNIFF), body)

    async def _pass_stream(
        self, request: Request, language: Language, ask: Ask, use: Use, heart: Heartbeat
    ) -> None:
        lease, provider = use.lease, use.lease.provider.id
        heart.reading()
        measured = (
            len(ask.raw) >= LONG and lease.provider.manifest.tells_reading and b"return_progress" not in ask.raw
        )
        async with await self._send(lease, language, _body(lease, ask, measured=measured)) as response:
            await _check_stream(response, provider)
            apart = ThoughtsApart() if _leaves_tags(ask, lease) else None
            stream = _Stream(request, response, lease, language, apart)
            try:
                await stream.pass_first(heart, measured=measured)
                use.first_event()
                await stream.pass_rest()
            finally:
                stream.tap.close()
                use.count(stream.tap.usage)

    async def _pass_choices(
        self, request: Request, language: Language, ask: Ask, use: Use, heart: Heartbeat | None
    ) -> None:
        """Several choices from an engine that counts only one: see `wire.openai.choices`."""
        lease, provider = use.lease, use.lease.provider.id
        choices, decoder = Choices(provider, ask.each), SSEDecoder()
        async with await self._send(lease, language, _body(lease, ask, always_streamed=True)) as response:
            await _check_stream(response, provider)
            try:
                async for data in response:
                    passed = b"".join([choices.feed(event.data) for event in decoder.feed(data)])
                    if heart is not None and passed:
                        await heart.stop()
                        if not request.started:
                            await request.start_events()
                        await request.send(passed)
                        use.first_event()
                choices.close()
            except SSEError as error:
                raise BrokenAnswer(provider, str(error)) from error
            finally:
                use.count(choices.usage)
        if heart is None:
            await request.reply(200, (JSON,), choices.whole())
        else:
            await request.send(choices.last_events(ask.wants_usage), more=False)

    def _send(self, lease: Lease, language: Language, body: bytes) -> Awaitable[Response]:
        endpoint = lease.instance.endpoint
        return self._client(endpoint.patience).request(
            "POST",
            endpoint.url + language.path,
            headers=endpoint.headers,
            body=body,
            keep_alive=endpoint.keep_alive,
            provider=lease.provider.id,
        )

    def _client(self, patience: Patience) -> HTTPClient:
        client = self._clients.get(patience)
        if client is None:
            client = self._clients[patience] = HTTPClient(
                connect_timeout=patience.connect,
                first_byte_timeout=patience.first_byte,
                idle_timeout=patience.idle,
            )
        return client

    async def aclose(self) -> None:
        """Close every connection to a provider."""
        for client in self._clients.values():
            await client.aclose()


async def _check_stream(response: Response, provider: str) -> None:
    """Make sure that events follow; raises what came instead."""
    if response.status != 200:
        raise decode_error(response.status, await response.read(MAX_ERROR), provider)
    if response.content_type != "text/event-stream":
        raise BrokenAnswer(provider, "a stream was asked for and something else came")


def _body(lease: Lease, ask: Ask, *, always_streamed: bool = False, measured: bool = False) -> bytes:
    """The request as the runtime needs it; the very bytes that came, if it needs nothing else.

    Args:
        measured: it shall tell how far it has read the prompt.
    """
    fields = _fields(ask)
    prepared = lease.provider.prepare(lease.instance, fields)
    model = lease.instance.endpoint.model
    if always_streamed:
        return _encode({**prepared, "model": model, "stream": True, "stream_options": {"include_usage": True}})
    if measured:
        return _encode({**prepared, "model": model, "return_progress": True})
    if prepared is fields and fields.get("model") == model and not ask.ours:
        return ask.raw
    return _encode({**prepared, "model": model})


def _fields(ask: Ask) -> dict[str, object]:
    """The body as the provider may see it."""
    fields = _decode_fields(ask.raw)
    for name in ask.ours:
        fields.pop(name, None)
    return fields


def _is_retold(ask: Ask, manifest: Manifest) -> bool:
    """Whether the answer cannot pass as it is: the API tells more, or its tool calls may have any form."""
    if ask.encoder is not None:
        return True
    if not ask.in_form or ask.chat is None:
        return False
    return not manifest.calls_in_form or (manifest.schema_bars_tools and wants_either(ask.chat))


def _leaves_tags(ask: Ask, lease: Lease) -> bool:
    """Whether thoughts may be left in the text although they are wanted apart."""
    return ask.apart and not lease.provider.manifest.calls_in_form


def _encoder(ask: Ask, use: Use) -> ChatEncoder:
    if ask.encoder is not None:
        return ask.encoder(use)
    return ChatEncoder(f"chatcmpl-{token_hex(12)}", int(time()), use.lease.name, include_usage=ask.wants_usage)


class _Stream:
    """Passes a provider's events on to a caller: whole and good ones only, so that an error can follow any.

    Args:
        apart: takes thoughts apart from the answer, where the provider may not have.
    """

    __slots__ = ("_apart", "_checked", "_endpoint", "_held", "_provider", "_request", "_response", "_role", "tap")

    def __init__(
        self,
        request: Request,
        response: Response,
        lease: Lease,
        language: Language,
        apart: ThoughtsApart | None,
    ) -> None:
        self._request, self._response, self._role, self._apart = request, response, language.role, apart
        self._provider, self._endpoint = lease.provider.id, lease.instance.endpoint
        self._held = b""
        self._checked = RelayedEvents(language.piece, self._provider)
        self.tap = UsageTap(self._provider)

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
                if events:
                    await self._request.send(events)
                if error is not None:
                    raise error
                if self._done():
                    break
        await self._end()

    def _done(self) -> bool:
        return self.tap.done

    async def _end(self) -> None:
        if not self._done():
            if self._lacks_done():
                await self._request.send(b"data: [DONE]\n\n")
        elif not self._response.ended:
            with suppress(TimeoutError, BrokenAnswer):
                async with asyncio.timeout(DRAIN_S):
                    async for _ in self._response:
                        pass
        await self._request.send(b"", more=False)

    def _lacks_done(self) -> bool:
        """Whether a whole answer has ended without `[DONE]`, as some servers do.

        Raises:
            BrokenAnswer: it was not whole.
        """
        self.tap.close()
        if self._done():
            return False
        if self._held or not self.tap.finished:
            raise BrokenAnswer(self._provider, "the stream ended before the answer did")
        return True

    def _whole(self, data: bytes) -> bytes:
        """The events that are complete now; the rest is kept for the next time."""
        self.tap.feed(data)
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
        events, error = self._checked.feed(events)
        if self._apart is not None:
            events = self._apart.feed(events)
        return self._until_end(events) if error is None else (events, error)

    def _until_end(self, events: bytes) -> tuple[bytes, BridgeError | None]:
        """The same events, or those before an end that comes without a reason: then the answer was cut short."""
        if self.tap.done or self._checked.ended:
            self.tap.close()
            if not self.tap.finished:
                broken = BrokenAnswer(self._provider, "the stream ended without a reason to finish")
                return events.removesuffix(b"data: [DONE]\n\n"), broken
        return events, None


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
