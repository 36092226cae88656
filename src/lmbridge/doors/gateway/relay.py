"""Relaying: the caller's language is the endpoint's own, so bytes pass untouched under a lease.

They are read along to count tokens and to notice an answer that is not whole. Four things are not left to
the provider: what clients read has the types that the API gives it, an error gets our form and status, a
stream that breaks ends with an error event and never looks finished, and a caller who goes away ends the
work: the connection to the engine is closed at once.
llama.cpp then stops a streamed answer within a token and an unstreamed one within a second, as it looks
after its caller only that often. Streaming always and putting the answer together here would stop it
sooner, but the bytes would be ours and no longer the engine's, and every token would cost us some work.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from secrets import token_hex
from time import time
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from lmbridge.clients.http import Response
from lmbridge.core.errors import BrokenAnswer, ContextExceeded
from lmbridge.core.models import LoadOptions, ModelKind
from lmbridge.core.provider import Manifest
from lmbridge.core.requests import ChatRequest
from lmbridge.doors.gateway.asgi import JSON, NOSNIFF, Request
from lmbridge.doors.gateway.clients import Clients
from lmbridge.doors.gateway.heartbeat import Heartbeat
from lmbridge.doors.gateway.passing import Passing
from lmbridge.doors.gateway.retell import Retelling
from lmbridge.doors.gateway.through_core import refuse_text, tell_chat, tell_vectors
from lmbridge.doors.gateway.using import Use
from lmbridge.hub.hub import Hub
from lmbridge.hub.lease import Lease
from lmbridge.wire.openai.chat_encoder import ChatEncoder
from lmbridge.wire.openai.choices import Choices
from lmbridge.wire.openai.errors import decode_error
from lmbridge.wire.openai.relayed import (
    ChatAnswer,
    ChatPiece,
    TextAnswer,
    TextPiece,
    VectorAnswer,
    check,
)
from lmbridge.wire.openai.thinking import ThoughtsApart, whole_apart
from lmbridge.wire.openai.usage import to_usage
from lmbridge.wire.openai.vectors import in_base64
from lmbridge.wire.sse import SSEDecoder, SSEError
from lmbridge.wire.tool_calls import wants_either

MAX_ERROR: Final = 2**20
"""Bytes of a provider's error."""
LONG: Final = 4096
"""Bytes of a streamed request from which on it is worth being told how far its prompt has been read."""

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


class Relay:
    """Passes requests on to the models they name.

    Args:
        heartbeat_s: seconds of silence before a stream gets a sign of life.
    """

    def __init__(self, hub: Hub, heartbeat_s: float) -> None:
        self._hub, self._heartbeat_s = hub, heartbeat_s
        self._clients = Clients()

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
            if use.lease.instance.endpoint.language != "openai":
                await self._translated(request, language, ask, use, heart)
                return
            if ask.chat is None:
                await self._passed(request, language, ask, use, heart)
                return
            ask, chat = await self._fitted(request, ask, ask.chat, use)
            try:
                await self._passed(request, language, ask, use, heart)
            except ContextExceeded as error:
                raise await use.lease.weighed(error, chat) from error

    async def _translated(
        self, request: Request, language: Language, ask: Ask, use: Use, heart: Heartbeat | None
    ) -> None:
        """An endpoint that speaks another language, or none."""
        if language is CHAT:
            await tell_chat(self._hub, request, ask.raw, use, _encoder(ask, use), heart)
        elif language is EMBEDDING:
            await tell_vectors(request, ask.raw, use, base64=ask.base64)
        else:
            raise refuse_text(use)

    async def _passed(
        self, request: Request, language: Language, ask: Ask, use: Use, heart: Heartbeat | None
    ) -> None:
        if _is_retold(ask, use.lease.provider.manifest):
            chat = ask.chat or ChatRequest(ask.model, (), extra={"reasoning_format": "none"})
            telling = Retelling(request, use, language.path, _fields(ask), chat, _encoder(ask, use))
            client = self._clients.of(use.lease.instance.endpoint.patience)
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
            raise decode_error(response.status, body, provider, response.retry_after)
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
            stream = Passing(request, response, lease, language.piece, role=language.role, apart=apart)
            try:
                await stream.pass_first(heart, measured=measured)
                use.first_event()
                await stream.pass_rest()
            finally:
                use.count(stream.usage)

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
        return self._clients.of(endpoint.patience).request(
            "POST",
            endpoint.url + language.path,
            headers=endpoint.headers,
            body=body,
            keep_alive=endpoint.keep_alive,
            provider=lease.provider.id,
        )

    async def aclose(self) -> None:
        """Close every connection to a provider."""
        await self._clients.aclose()


async def _check_stream(response: Response, provider: str) -> None:
    """Make sure that events follow; raises what came instead."""
    if response.status != 200:
        raise decode_error(response.status, await response.read(MAX_ERROR), provider, response.retry_after)
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
