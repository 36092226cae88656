"""HTTP as LM Studio's Express speaks it: requests, whole answers, event streams, and what goes wrong with them.

Routes hand a `Whole` back, or a `Stream` whose coroutine pushes frames into an `Out`; every fault that has to
do with bytes is made here, so that it is the same one on every route.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from email.utils import formatdate
from hashlib import sha1
from typing import Any
from urllib.parse import unquote

from msgspec import Struct, field
from tests.fakes.byte_server import read_request
from tests.fakes.lmstudio.models import Body

REASONS = {200: "OK", 204: "No Content", 302: "Found", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden"}
REASONS |= {404: "Not Found", 500: "Internal Server Error", 503: "Service Unavailable"}
PAGE = b"<!DOCTYPE html><html><head><title>Router</title></head><body><h1>Welcome</h1></body></html>"
OTHER_MODEL = "somebody/else-7b"
SPOKEN = re.compile(rb'("(?:content|text|delta|reasoning_content|arguments)":")')
MIB = b"x" * 2**20


class Over(Exception):
    """The answer is over, as a fault wanted it. *close*: so is the connection."""

    def __init__(self, *, close: bool = True) -> None:
        self.close = close


class Request(Struct):
    """A request. *body* is what its JSON says, None without a body; *broken*: why it is no JSON."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any = None
    broken: str = ""
    fault: str = ""

    @property
    def route(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def fields(self) -> Body:
        return self.body if isinstance(self.body, dict) else {}


class Whole(Struct):
    """A whole answer. *indent*: spaces of its JSON, None for the compact form."""

    status: int
    body: Any
    indent: int | None = 2
    headers: dict[str, str] = field(default_factory=dict)


class Stream(Struct):
    """An answer in events: *play* sends them. *error*: the frames that report an error in their midst."""

    play: Callable[[Out], Awaitable[None]]
    error: Callable[[str, bool], list[Frame]]


class Frame(Struct):
    """An event of a stream.

    Attributes:
        data: sent as JSON, or as it is when it is bytes.
        said: it carries something the model said. final: it says that the answer is finished.
        mark: it is the mark at the end, which says nothing.
    """

    data: Any
    event: str = ""
    said: bool = False
    final: bool = False
    mark: bool = False


DONE = Frame(b"[DONE]", mark=True)


class Connection:
    """One connection to a client, and the fault that strikes the request it carries."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.served = 0
        self.fault = ""

    async def request(self, idle_s: float) -> Request | None:
        """The next request; None when none comes for so long that the connection is closed."""
        try:
            async with asyncio.timeout(idle_s):
                head, raw = await read_request(self.reader)
        except TimeoutError:
            return None
        line, *rest = head.decode("latin-1").split("\r\n")
        method, target, _ = line.split(" ")
        headers = {k.lower(): v.strip() for k, _, v in (each.partition(":") for each in rest if each)}
        request = Request(method, unquote(target.partition("?")[0]), headers)
        try:
            request.body = json.loads(raw) if raw else None
        except ValueError as error:
            request.broken = str(error)
        self.served += 1
        return request

    @property
    def gone(self) -> bool:
        """Whether the client went away."""
        return self.reader.at_eof() or self.writer.transport.is_closing()

    async def send(self, data: bytes) -> None:
        """Send, in as many writes as the fault wants."""
        for piece in pieces(data, self.fault):
            self.writer.write(piece)
            await self.writer.drain()
            if self.fault in ("bytes", "split-utf8"):
                await asyncio.sleep(0)

    async def chunk(self, data: bytes) -> None:
        """Send a part of a body of unknown length, in as many chunks as the fault wants."""
        for piece in pieces(data, self.fault):
            self.writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await self.writer.drain()
            if self.fault in ("bytes", "split-utf8"):
                await asyncio.sleep(0)

    def reset(self) -> None:
        """Close with a reset instead of a goodbye."""
        at_once = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        raise ConnectionResetError

    async def silence(self) -> None:
        """Say nothing until the client goes."""
        await self.reader.read()
        raise ConnectionResetError

    async def head(self, status: int, headers: dict[str, str]) -> None:
        """Send the head of an answer."""
        own = {"X-Powered-By": "Express", **headers, "Date": formatdate(usegmt=True), "Connection": "keep-alive"}
        own["Keep-Alive"] = "timeout=5"
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'X')}", *(f"{k}: {v}" for k, v in own.items())]
        await self.send("\r\n".join(lines).encode() + b"\r\n\r\n")

    async def before(self) -> None:
        """The faults instead of any answer."""
        match self.fault:
            case "hang":
                await self.silence()
            case "hangup":
                raise ConnectionResetError
            case "reset":
                self.reset()
            case "reset-idle" if self.served > 1:
                self.reset()
            case "not-http":
                await self.send(b"SSH-2.0-OpenSSH_9.6\r\n")
                raise ConnectionResetError
            case "torn-head":
                await self.send(b"HTTP/1.1 200 OK\r\nContent-Type: applica")
                raise ConnectionResetError
            case "huge-body":
                await self.head(200, {"Content-Type": "application/json", "Content-Length": str(2**40)})
                while not self.gone:
                    await self.send(MIB)
                raise ConnectionResetError

    async def whole(self, answer: Whole) -> None:
        """Send a whole answer, as the fault would have it."""
        empty = answer.status in (204, 503)
        body = b"" if empty else encoded(altered(answer.body, self.fault), answer.indent)
        kind = "application/json; charset=utf-8"
        match self.fault:
            case "not-json":
                body = b"\x00\xffOK\n"
            case "half-json":
                body = body[: len(body) // 2]
            case "empty-body":
                body = b""
            case "bom":
                body = b"\xef\xbb\xbf" + body
            case "wrong-content-type":
                kind = "text/plain"
        tag = sha1(body, usedforsecurity=False).hexdigest()[:27]
        headers = {} if empty else {"Content-Type": kind, "ETag": f'W/"{len(body):x}-{tag}"'}
        headers["Content-Length"] = str(len(body))
        if answer.status == 302:
            headers["Location"] = "/elsewhere"
        await self.head(answer.status, headers | answer.headers)
        if self.fault == "cut-body":
            await self.send(body[: len(body) // 2])
            raise ConnectionResetError
        await self.send(body)

    async def page(self, status: int) -> None:
        """Send a web page."""
        await self.head(status, {"Content-Type": "text/html", "Content-Length": str(len(PAGE))})
        await self.send(PAGE)


class Out:
    """Where the events of one stream go. *pace*: seconds before each thing said."""

    def __init__(self, connection: Connection, pace: float, stream: Stream) -> None:
        self.connection, self.fault, self._pace, self._stream = connection, connection.fault, pace, stream
        self._said, self._broken = 0, False
        self._held: bytes | None = None

    async def play(self) -> None:
        """Send the whole stream."""
        kind = "text/plain" if self.fault == "wrong-content-type" else "text/event-stream"
        head = {"Content-Type": kind, "Cache-Control": "no-cache", "Transfer-Encoding": "chunked"}
        await self.connection.head(200, head)
        if self.fault == "bom":
            await self.connection.chunk(b"\xef\xbb\xbf")
        if self.fault == "not-sse":
            await self.connection.chunk(b'{"some": "lines"}\nof text\n\n' * 3)
        elif self.fault != "empty-stream":
            await self._stream.play(self)
        await self._end()

    async def frame(self, frame: Frame) -> None:
        """Send one event, or what the fault makes of it."""
        if frame.said:
            self._said += 1
            if self._pace:
                await asyncio.sleep(self._pace)
            if self.connection.gone:
                raise ConnectionResetError
        if not self._broken and (self._said > 2 or frame.final):
            self._broken = True
            await self._break()
        if (self.fault == "no-finish" and frame.final) or (self.fault == "no-done" and frame.mark):
            return
        if self.fault == "mistyped-event" and frame.said:
            frame = Frame(mistyped_texts(frame.data), frame.event)
        if self.fault == "comments":
            await self._write(b": still here\nretry: 1000\nid: 7\n\n")
        if self.fault == "unknown-event" and not frame.mark:
            news = {**frame.data, "type": "news.flash", "choices": []}
            await self._write(self._frame(Frame(news, "news.flash")))
        await self._write(self._frame(frame))

    def _frame(self, frame: Frame) -> bytes:
        data = frame.data if isinstance(frame.data, bytes) else encoded(altered(frame.data, self.fault), None)
        if self.fault == "bad-utf8" and frame.said:
            data = SPOKEN.sub(b"\\1\xff\xc3", data)
        name = f"event: {frame.event}\n".encode() if frame.event else b""
        return name + b"data: " + data + b"\n\n"

    async def _write(self, data: bytes) -> None:
        """Send an event; for `no-final-newline` one behind, as nobody knows yet which is the last."""
        if self.fault == "crlf":
            data = data.replace(b"\n", b"\r\n")
        if self.fault == "no-final-newline":
            self._held, data = data, self._held or b""
        if data:
            await self.connection.chunk(data)

    async def _break(self) -> None:
        match self.fault:
            case "cut":
                await self._end()
                raise Over
            case "reset-mid":
                self.connection.reset()
            case "torn":
                await self.connection.chunk(b'data: {"type":"message.delta","choices":[{"index":0,"del')
                raise ConnectionResetError
            case "hang-mid":
                await self.connection.silence()
            case "garbage-event":
                await self.connection.chunk(b"data: <html>\n\n")
            case "huge-event":
                await self.connection.chunk(b"data: ")
                for _ in range(40):
                    await self.connection.chunk(MIB)
                await self.connection.chunk(b"\n\n")
            case "error-event" | "error-string" | "overflow-event":
                await self._report()
                raise Over(close=False)

    async def _report(self) -> None:
        message = "The model has crashed without additional information. (Exit code: 11)"
        if self.fault == "overflow-event":
            message = "Context size has been exceeded."
        for frame in self._stream.error(message, self.fault == "error-string"):
            await self.connection.chunk(self._frame(frame))
        await self._end()

    async def _end(self) -> None:
        if self._held is not None:
            await self.connection.chunk(self._held.rstrip(b"\r\n"))
        if self.fault == "keeps-open":
            await self.connection.silence()
        await self.connection.send(b"0\r\n\r\n")


def pieces(data: bytes, fault: str) -> Iterator[bytes]:
    """*data* as the fault wants it sent."""
    if fault == "bytes":
        yield from (data[k : k + 1] for k in range(len(data)))
        return
    start = 0
    if fault == "split-utf8":
        for k, byte in enumerate(data):
            if byte >= 0xC0:  # the first byte of a longer character: the piece ends with it
                yield data[start : k + 1]
                start = k + 1
    if start < len(data) or not data:
        yield data[start:]


def encoded(body: object, indent: int | None) -> bytes:
    """JSON as JavaScript writes it: no escapes for letters, compact or indented."""
    separators = (",", ":") if indent is None else None
    return json.dumps(body, ensure_ascii=False, indent=indent, separators=separators).encode()


def altered(body: Any, fault: str) -> Any:
    """What the fault makes of an answer's JSON."""
    match fault:
        case "null":
            return None
        case "a-list":
            return [body]
        case "missing-keys":
            return {}
        case "wrong-types":
            return {name: mistyped(value) for name, value in body.items()} if isinstance(body, dict) else 7
        case "unknown-keys":
            return with_news(body)
        case "wrong-model" if isinstance(body, dict):
            return by_another(body)
        case _:
            return body


def mistyped(value: Any) -> Any:
    """A value of another type."""
    return "many" if isinstance(value, list | dict | int | float) else 7


def mistyped_texts(value: Any) -> Any:
    """The same, with numbers for what the model said."""
    if isinstance(value, list):
        return [mistyped_texts(each) for each in value]
    if isinstance(value, dict):
        names = ("content", "text", "delta", "reasoning_content", "arguments")
        return {k: 7 if k in names and isinstance(v, str) else mistyped_texts(v) for k, v in value.items()}
    return value


def with_news(value: Any) -> Any:
    """The same, with keys that nobody knows."""
    if isinstance(value, list):
        return [with_news(each) for each in value]
    if isinstance(value, dict):
        return {**{k: with_news(v) for k, v in value.items()}, "x_news": {"seen": [1, None, "ü"]}}
    return value


def by_another(body: Body) -> Body:
    """The same, said to be by another model."""
    names = ("model", "model_instance_id", "system_fingerprint")
    changed = {k: OTHER_MODEL if k in names else v for k, v in body.items()}
    for inner in ("response", "result"):
        if isinstance(body.get(inner), dict):
            changed[inner] = by_another(body[inner])
    return changed
