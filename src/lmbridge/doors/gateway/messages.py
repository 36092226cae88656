"""Passing Anthropic requests on to endpoints that speak Anthropic's language themselves.

Nothing is lost on the way that only such a server understands: marks of what is to be cached, signed thoughts, new
kinds of blocks. As with all that is relayed, a decoder reads along, so that only whole and good events are passed,
an error has our form, and a stream that breaks is an error and never a short success.
"""

from __future__ import annotations

from typing import Final

import msgspec

from lmbridge.clients.http import Response
from lmbridge.core.errors import BrokenAnswer, ContextExceeded
from lmbridge.core.events import Finished, Started
from lmbridge.core.requests import ChatRequest
from lmbridge.doors.gateway.asgi import JSON, NOSNIFF, Request
from lmbridge.doors.gateway.clients import Clients
from lmbridge.doors.gateway.heartbeat import Heartbeat
from lmbridge.doors.gateway.using import Use
from lmbridge.wire.anthropic.asking.answers import MessageEventDecoder
from lmbridge.wire.anthropic.asking.errors import decode_refusal
from lmbridge.wire.sse import SSEDecoder, SSEError, SSEEvent

MAX_ERROR: Final = 2**20
"""Bytes of a provider's error."""
BETA: Final = "anthropic-beta"
"""The header that switches new things on; what it means is the server's affair."""

_encode: Final = msgspec.json.Encoder().encode
_decode_fields: Final = msgspec.json.Decoder(dict[str, object]).decode


class PassedMessage:
    """One request, and the answer to it.

    Args:
        raw: its body, checked already. chat: the same in core's words.
    """

    def __init__(self, clients: Clients, raw: bytes, chat: ChatRequest) -> None:
        self._clients, self._raw, self._chat = clients, raw, chat

    def fits(self, use: Use) -> bool:
        """Whether the model's endpoint speaks the language."""
        return use.lease.instance.endpoint.language == "anthropic"

    async def tell(self, request: Request, use: Use, heart: Heartbeat | None) -> None:
        """Answer: as a stream where there is a heart, else whole.

        Raises:
            BridgeError: what stood in the way; a stream may have begun by then.
        """
        try:
            async with await self._send(request, use) as response:
                if response.status != 200:
                    body, provider = await response.read(MAX_ERROR), use.lease.provider.id
                    raise decode_refusal(response.status, body, provider, response.retry_after)
                if heart is None:
                    await self._pass_whole(request, use, response)
                else:
                    await _Stream(request, use, heart).tell(response)
        except ContextExceeded as error:
            raise await use.lease.weighed(error, self._chat) from error

    async def _send(self, request: Request, use: Use) -> Response:
        endpoint = use.lease.instance.endpoint
        headers = endpoint.headers
        if beta := request.headers.get(BETA.encode()):
            headers = (*headers, (BETA, beta.decode("latin-1")))
        return await self._clients.of(endpoint.patience).request(
            "POST",
            f"{endpoint.url}/messages",
            headers=headers,
            body=self._body(use),
            keep_alive=endpoint.keep_alive,
            provider=use.lease.provider.id,
        )

    def _body(self, use: Use) -> bytes:
        """The very bytes that came, if the provider needs nothing else."""
        fields = _decode_fields(self._raw)
        prepared = use.lease.provider.prepare(use.lease.instance, fields)
        return self._raw if prepared is fields else _encode(prepared)

    async def _pass_whole(self, request: Request, use: Use, response: Response) -> None:
        body, provider = await response.read(), use.lease.provider.id
        events = MessageEventDecoder(provider).whole(_text(body, provider))
        use.count(next(event.usage for event in events if isinstance(event, Finished)))
        await request.reply(200, (JSON, NOSNIFF), body)


class _Stream:
    """Passes events on, each when it is whole and good."""

    def __init__(self, request: Request, use: Use, heart: Heartbeat) -> None:
        self._request, self._use, self._heart = request, use, heart
        self._provider = use.lease.provider.id
        self._decoder = MessageEventDecoder(self._provider)
        self._spoke = False

    async def tell(self, response: Response) -> None:
        """Pass on all of an answer.

        Raises:
            BrokenAnswer: it is none, or was cut off. And the error that the provider reported in it.
        """
        if response.content_type != "text/event-stream":
            raise BrokenAnswer(self._provider, "a stream was asked for and something else came")
        self._heart.reading()
        frames = SSEDecoder()
        try:
            async for data in response:
                await self._pass(frames.feed(data))
                if self._decoder.done:
                    break
        except SSEError as error:
            raise BrokenAnswer(self._provider, str(error)) from error
        self._decoder.close()
        await self._request.send(b"", more=False)

    async def _pass(self, events: list[SSEEvent]) -> None:
        """Pass on events, those before one that is wrong first."""
        good: list[bytes] = []
        try:
            for event in events:
                if self._decoder.done:
                    break
                good.append(self._checked(event))
        finally:
            if good:
                await self._heart.stop()
                if not self._request.started:
                    await self._request.start_events()
                await self._request.send(b"".join(good))

    def _checked(self, event: SSEEvent) -> bytes:
        """An event as it is passed on.

        Raises:
            BrokenAnswer: it breaks the protocol. And the error that it reports.
        """
        name = event.name if event.name.isascii() and event.name.replace("_", "").isalpha() else ""
        lines = _text(event.data, self._provider).replace(b"\n", b"\ndata: ")
        frame = (b"event: %s\n" % name.encode() if name else b"") + b"data: %s\n\n" % lines
        for told in self._decoder.feed(frame):
            if isinstance(told, Finished):
                self._use.count(told.usage)
            elif not self._spoke and not isinstance(told, Started):
                self._spoke = True
                self._use.first_event()
        return frame


def _text(data: bytes, provider: str) -> bytes:
    """The same bytes, which are text: fields that nobody here reads are passed on, too.

    Raises:
        BrokenAnswer: they are none.
    """
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise BrokenAnswer(provider, "not text that can be read") from error
    return data
