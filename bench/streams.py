"""Many slow streams at the same time, read as a client would, with the lateness of every event."""

from __future__ import annotations

import asyncio
import gc
from time import monotonic_ns
from typing import cast
from urllib.parse import urlsplit

import httptools
from msgspec import Struct

from bench.processes import Failed
from bench.upstream import MODEL

DIGITS = 20
QUESTION = b'{"model":"%b","stream":true,"messages":[{"role":"user","content":"Count slowly, please."}]%b}'


class Language(Struct, frozen=True):
    """How streams are asked for and recognised in one API.

    Attributes:
        body: of the request. text: what stands before the text of an event. end: what the last event holds.
    """

    body: bytes
    text: bytes
    end: bytes


def asked(more: bytes = b"") -> bytes:
    """A question with *more* fields, for the APIs that take messages."""
    return QUESTION % (MODEL.encode(), more)


CHAT = Language(asked(), b'"content":"', b"data: [DONE]")


class Streams(Struct, frozen=True):
    """What reading many streams found.

    Attributes:
        seconds: from the first request to the end of the last stream.
        p50, p99: milliseconds that events came after they were due.
    """

    seconds: float
    p50: float
    p99: float


class _Reader(asyncio.Protocol):
    """One stream."""

    def __init__(self, request: bytes, language: Language, late: list[int]) -> None:
        self.request, self.language, self.late = request, language, late
        self.parser = httptools.HttpResponseParser(self)
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.rest = b""
        self.events = 0
        self.whole = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.now = monotonic_ns()
        self.parser.feed_data(data)

    def on_headers_complete(self) -> None:
        if self.parser.get_status_code() != 200:
            self._fail(f"status {self.parser.get_status_code()}")

    def on_body(self, body: bytes) -> None:
        data, text = self.rest + body, self.language.text
        self.whole = self.whole or self.language.end in data
        at = data.find(text)
        while at >= 0:
            begin = at + len(text)
            digits = data[begin : begin + DIGITS]
            if len(digits) < DIGITS:
                break
            if digits.isdigit():
                self.late.append(self.now - int(digits))
                self.events += 1
                begin += DIGITS
            data = data[begin:]
            at = data.find(text)
        self.rest = data[-512:]

    def on_message_complete(self) -> None:
        if not self.whole:
            self._fail("its end is missing")
        if not self.ended.done():
            self.ended.set_result(None)
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("closed before its end")

    def _fail(self, why: str) -> None:
        if not self.ended.done():
            self.ended.set_exception(Failed(f"a stream was broken: {why}"))


async def _read(url: str, language: Language, streams: int, events: int, pace: float, limit: float) -> Streams:
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
    request = head.encode() + b"content-length: %d\r\n\r\n" % len(language.body) + language.body
    loop = asyncio.get_running_loop()
    late: list[int] = []
    readers: list[_Reader] = []
    began = loop.time()
    try:
        async with asyncio.timeout(limit):
            for i in range(streams):
                # Spread over a few steps of the pace: callers never come in the same microsecond.
                await asyncio.sleep(max(0.0, began + 4 * pace * i / streams - loop.time()))
                _, reader = await loop.create_connection(
                    lambda: _Reader(request, language, late), parts.hostname or "", parts.port or 80
                )
                readers.append(reader)
            await asyncio.gather(*(reader.ended for reader in readers))
        seconds = loop.time() - began
    finally:
        for reader in readers:
            reader.ended.cancel()
            reader.transport.abort()
    if any(reader.events != events for reader in readers):
        raise Failed(f"streams of {url} lost events")
    late.sort()
    return Streams(seconds, late[len(late) // 2] / 1e6, late[int(len(late) * 0.99)] / 1e6)


def read_streams(url: str, *, streams: int, events: int, pace: float, language: Language = CHAT) -> Streams:
    """Read *streams* answers of *url* at the same time.

    Args:
        events: in every stream. pace: seconds between two of them, as the server was told.

    Raises:
        Failed: a stream that was broken or lost events. TimeoutError: much too slow.
    """
    import uvloop

    gc.freeze()  # a look of this process for its garbage would count as lateness of whoever is read
    try:
        return uvloop.run(_read(url, language, streams, events, pace, 10 + 5 * events * pace))
    finally:
        gc.unfreeze()
