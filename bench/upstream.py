"""A server of paced streams: every answer is so many events, one each so many milliseconds.

Not streamed, the answer is always the same and comes at once; the model `bench-fixed` streams at once, too. Run as
`python -m bench.upstream PORT EVENTS PACE_MS`. Each event carries the moment it was due (nanoseconds of the
system's monotonic clock), so that a reader on the same machine sees how late it comes.
"""

from __future__ import annotations

import asyncio
import sys
from time import monotonic_ns
from typing import cast

import httptools

MODEL = "bench-paced"
FIXED = "bench-fixed"
STREAMED_AT_ONCE = 4
ANSWER = (
    b'{"id":"chatcmpl-bench","object":"chat.completion","created":1,"model":"bench-fixed","choices":[{"index":0,'
    b'"message":{"role":"assistant",'
    b'"content":"A lease is held until the answer has ended; then the model may rest."},'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":21,"completion_tokens":15,"total_tokens":36}}'
)
LIST = b'{"object":"list","data":[%b]}'
LISTED = b'{"id":"bench-%b","object":"model","created":1,"owned_by":"bench"}'
FIXED_MODELS = LIST % (LISTED % b"fixed")
MODELS = LIST % b",".join(LISTED % name for name in (b"fixed", b"paced"))
"""Both, for where this is the only server."""
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1,"model":"bench-paced",'
    b'"choices":[{"index":0,"delta":{"content":"%020d"},"finish_reason":null}]}\n\n'
)
LAST = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1,"model":"bench-paced",'
    b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":9,"completion_tokens":%d,"total_tokens":%d}}\n\ndata: [DONE]\n\n'
)


class Connection(asyncio.Protocol):
    """One client; a GET is answered with the list of models."""

    def __init__(self, events: int, pace: float) -> None:
        self.events, self.pace = events, int(pace * 1e9)
        self.parser = httptools.HttpRequestParser(self)
        self.body = b""
        self.left = 0
        self.due = 0
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.body = b""

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        if self.parser.get_method() == b"GET":
            self.answer(MODELS)
        elif b'"stream":true' in self.body:
            self.begin(at_once=FIXED.encode() in self.body)
        else:
            self.answer(ANSWER)

    def answer(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self.transport.write(head % len(body) + body)

    def begin(self, at_once: bool) -> None:
        self.transport.write(HEAD)
        if at_once:
            text = chunk(EVENT % monotonic_ns()) * STREAMED_AT_ONCE
            self.transport.write(text + chunk(LAST % (STREAMED_AT_ONCE, 9 + STREAMED_AT_ONCE)) + b"0\r\n\r\n")
            return
        self.left, self.due = self.events, monotonic_ns()
        self.next_event()

    def next_event(self) -> None:
        self.timer = None
        if not self.left:
            self.transport.write(chunk(LAST % (self.events, 9 + self.events)) + b"0\r\n\r\n")
            return
        self.transport.write(chunk(EVENT % self.due))
        self.left -= 1
        self.due += self.pace
        self.timer = self.loop.call_later(max(0, self.due - monotonic_ns()) / 1e9, self.next_event)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()


def chunk(data: bytes) -> bytes:
    """*data* as HTTP's chunked coding carries it."""
    return b"%x\r\n%b\r\n" % (len(data), data)


async def main(port: int, events: int, pace: float) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(events, pace), "127.0.0.1", port, backlog=1024)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000))
