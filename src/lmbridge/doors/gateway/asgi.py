"""One HTTP request and the ways to answer it. Thin over ASGI: no framework, no copies.

Every header costs the server two regular expressions, so answers carry few, prepared beforehand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol, TypeAlias, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from lmbridge.core.errors import BridgeError, InvalidRequest, RequestTooLarge
from lmbridge.doors.gateway.family import OPENAI, Family
from lmbridge.doors.gateway.status import headers_of
from lmbridge.hub.activity import Turn

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Header: TypeAlias = tuple[bytes, bytes]
AskT = TypeVar("AskT", bound=Struct)

CONNECTION: Final = "lmbridge.connection"
"""Where the server leaves the connection in the scope."""

JSON: Final[Header] = (b"content-type", b"application/json")
NOSNIFF: Final[Header] = (b"x-content-type-options", b"nosniff")
EVENTS: Final = b"text/event-stream; charset=utf-8"
_STREAM: Final[Sequence[Header]] = (
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would keep the events back
)
NO_PARAMS: Final[Mapping[str, str]] = {}
LINGER: Final = 64 * 2**20
LINGER_S: Final = 1.0
"""Bytes and seconds for which a refused body is still read and thrown away."""


class Connection(Protocol):
    """What the server tells about a caller's connection.

    Attributes:
        loop: that it runs on. lost: whether it is gone.
        on_lost: called at the moment when it goes.
    """

    loop: asyncio.AbstractEventLoop
    lost: bool
    on_lost: Callable[[], object] | None

    def take_body(self, scope: Scope) -> bytes | None:
        """The whole body, if it is here already."""

    def write_whole(self, scope: Scope, status: int, headers: Sequence[Header], body: bytes) -> bool:
        """Write a whole answer at once; False when the slow way has to be taken."""


Whose: TypeAlias = "Callable[[Request], str | None]"
"""Whose stored answers a request may use: the name of its key; None for everybody's."""


class Request:
    """A request, and the answer to it as far as it was given.

    Attributes:
        headers: names in lower case; of a repeated header the last value.
        params: what stands for the placeholders in the path of its route.
        family: how the API it was sent to writes errors.
        also: headers that any answer to it gets.
        started: whether status and headers were sent. streaming: whether events follow them.
        counted: whether its error is in the counters already.
        status: that was sent, 0 before that. caller: name of the key that was shown, "" for none.
        wanted: the model that was asked for, as the caller wrote it. turn: what became of it, once it has one.
        error: code of the error it ended with, "" for none. quiet: nobody needs to read of it if it goes well.
    """

    __slots__ = (
        "_receive",
        "_scope",
        "_send",
        "_unread",
        "also",
        "caller",
        "connection",
        "counted",
        "error",
        "family",
        "headers",
        "method",
        "params",
        "path",
        "quiet",
        "started",
        "status",
        "streaming",
        "turn",
        "wanted",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.connection: Connection = scope[CONNECTION]
        self.params: Mapping[str, str] = NO_PARAMS
        self.family: Family = OPENAI
        self.also: tuple[Header, ...] = ()
        self.started = self.streaming = self.counted = False
        self.status = 0
        self.caller = self.wanted = self.error = ""
        self.quiet = False
        self.turn: Turn | None = None
        self._unread = True
        self._scope, self._receive, self._send = scope, receive, send

    def asked(self, shape: type[AskT]) -> AskT:
        """What follows the `?` in its address; of a repeated name the last value.

        Args:
            shape: the `query` of its route.

        Raises:
            InvalidRequest: a value that cannot be, or a name that is not there where *shape* forbids others.
        """
        given = dict(parse_qsl(self._scope["query_string"].decode("latin-1"), keep_blank_values=True))
        try:
            return msgspec.convert(given, shape, strict=False)
        except msgspec.ValidationError as error:
            said, _, where = str(error).partition(" - at `$.")
            param = where.rstrip("`") or None
            names = ", ".join(f"`{name}`" for name in shape.__struct_encode_fields__)
            raise InvalidRequest(
                f"What follows the `?` is wrong{f' at `{param}`' if param else ''}: {said}.",
                hint=f"It may have {names}; /openapi.json tells what each of them may be.",
                param=param,
            ) from error

    async def body(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            RequestTooLarge: it is, or says it will be, over *limit* bytes; reading stops there.
        """
        announced = self.headers.get(b"content-length")
        if announced is not None and int(announced) > limit:
            raise RequestTooLarge(limit)
        data = self.connection.take_body(self._scope)
        if data is None:
            message = await self._next()
            data = message["body"]
            if message["more_body"]:
                data = await self._rest(data, limit)
        else:
            self._unread = False
        if len(data) > limit:
            raise RequestTooLarge(limit)
        return data

    async def _rest(self, data: bytes, limit: int) -> bytes:
        whole = bytearray(data)
        while True:
            message = await self._next()
            whole += message["body"]
            if len(whole) > limit:
                raise RequestTooLarge(limit)
            if not message["more_body"]:
                return bytes(whole)

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise asyncio.CancelledError
        self._unread = message["more_body"]
        return message

    async def reply(self, status: int, headers: Sequence[Header], body: bytes) -> None:
        """Answer in full. *headers* lack only the length."""
        self.started, self.status = True, status
        length = (b"content-length", b"%d" % len(body))
        whole = (*headers, length, *self.also) if status != 204 else (*headers, *self.also)
        if self.connection.write_whole(self._scope, status, whole, body):
            return
        await self._send({"type": "http.response.start", "status": status, "headers": whole})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def reply_json(self, value: object, status: int = 200) -> None:
        """Answer with a value as JSON."""
        await self.reply(status, (JSON, NOSNIFF), msgspec.json.encode(value))

    async def start_events(self, media: bytes = EVENTS) -> None:
        """Begin a stream of events; from now on an error can only be one of them.

        Args:
            media: its content type.
        """
        self.started = self.streaming = True
        self.status = 200
        headers = ((b"content-type", media), *_STREAM, *self.also)
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def send(self, data: bytes, *, more: bool = True) -> None:
        """The next bytes of a stream."""
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def fail(self, error: BridgeError) -> None:
        """Answer with an error, in the form that fits how far the answer is.

        Once a stream has begun its status cannot change any more, so the error becomes its last event.
        """
        self.error = error.code
        if self.streaming:
            await self.send(self.family.event(error), more=False)
        elif self.started:
            # Part of a fixed length is out: only a closed connection tells the truth.
            raise error
        elif isinstance(error, RequestTooLarge):
            await self._fail_unread(error)
        else:
            headers = (JSON, NOSNIFF, *headers_of(error))
            await self.reply(self.family.status(error), headers, self.family.body(error))

    async def _fail_unread(self, error: BridgeError) -> None:
        """Answer before the body was read to its end.

        Closing at once would reset the connection, and the caller, still sending, would lose the answer
        (RFC 9112, 9.6): so a limited amount is read and thrown away first.
        """
        body = self.family.body(error)
        length = (b"content-length", b"%d" % len(body))
        headers = (JSON, NOSNIFF, length, (b"connection", b"close"), *self.also)
        self.started, self.status = True, self.family.status(error)
        await self._send({"type": "http.response.start", "status": self.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
        left = LINGER
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while self._unread and left > 0:
                    left -= len((await self._next())["body"])
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
