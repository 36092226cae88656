"""A server that speaks OpenAI's language and means ill: each of its models plays one trick on whoever asks it.

The model `chat-NAME` plays the trick NAME in a chat or a text, `embed-NAME` in vectors.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Final

from msgspec import Struct
from tests.fakes.byte_server import ByteServer, answer, read_request

from lmbridge.core.errors import all_errors

Fields = dict[str, object]

HELLO: Final = "Hello"
JSON: Final = "application/json"
EVENTS: Final = "text/event-stream"
CONTROLS: Final = "".join(map(chr, (*range(32), 127, 0x85, 0x2028, 0x2029, 0xFEFF, 0xFFFF)))
"""Characters that end lines for somebody, or that a terminal obeys."""


_SAID: Final[Mapping[str, object]] = MappingProxyType({"content": HELLO})
_VECTORS: Final = ({"object": "embedding", "index": 0, "embedding": [0.5, 1.0]},)


def _same(data: bytes) -> bytes:
    return data


class Trick(Struct, frozen=True, kw_only=True):
    """What is wrong with an answer.

    Attributes:
        said: fields of what is said. choice: fields beside it. top: fields of the whole, or of a chunk.
        reason: why the answer ended.
        vectors: `data` of an answer with vectors.
        change: does something to the bytes of the body, be it a stream's or a whole answer's.
        kind: its content type. status: of the answer. head: more lines of its head.
    """

    said: Mapping[str, object] = _SAID
    choice: Fields = {}
    top: Fields = {}
    reason: object = "stop"
    vectors: object = _VECTORS
    change: Callable[[bytes], bytes] = _same
    kind: str | None = None
    status: str = "200 OK"
    head: Sequence[str] = ()


def _instead(new: bytes) -> Callable[[bytes], bytes]:
    """Other bytes where the answer's word was."""
    return lambda data: data.replace(HELLO.encode(), new).replace(b"0.5", b'"' + new + b'"')


def _number(new: bytes) -> Callable[[bytes], bytes]:
    """Another number wherever there is one of an answer or of its cost."""
    return lambda data: data.replace(b"0.5", new).replace(b": 7", b": " + new).replace(b": 1,", b": " + new + b",")


def _all(body: bytes) -> Callable[[bytes], bytes]:
    """Other bytes instead of all."""
    return lambda data: body


def _call(number: object, id: object, name: object, arguments: object) -> Fields:
    return {"index": number, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _calls(*calls: object) -> Trick:
    return Trick(said={"content": None, "tool_calls": list(calls)}, reason="tool_calls")


def _wrong(**said: object) -> Trick:
    return Trick(said=dict(said))


_CODES: Final = sorted({error.code for error in all_errors()})
_DEEP: Final = b"[" * 50_000
_MARKS: Final = '\n\ndata: [DONE]\n\nevent: error\ndata: {"error": {"message": "no"}}\n\n'

TRICKS: Final[Mapping[str, Trick]] = {
    # -- in the text
    "controls": Trick(said={"content": CONTROLS}),
    "controls-as-they-are": Trick(change=_instead(b"a\x00b\x1b[31m")),
    "marks": Trick(said={"content": _MARKS}),
    "marks-in-thoughts": Trick(said={"content": HELLO, "reasoning_content": _MARKS}),
    "tags": Trick(said={"content": "</think><think></tool_call><tool_call>{<|im_end|>"}),
    "lone-surrogate": Trick(change=_instead(b"\\ud800")),
    "two-halves": Trick(change=_instead(b"\\udc00\\ud800")),
    "no-utf-8": Trick(change=_instead(b"\xff\xfe\xc0\x80")),
    "surrogate-in-utf-8": Trick(change=_instead(b"\xed\xa0\x80")),
    "ten-megabytes": Trick(said={"content": "x" * 10 * 2**20}),
    "too-large": Trick(said={"content": "x" * 17 * 2**20}),
    "nothing-said": Trick(said={"content": ""}),
    "refusal": Trick(said={"refusal": "No."}),
    # -- wrong types
    "text-is-a-number": _wrong(content=7),
    "text-is-a-list": _wrong(content=[{"type": "text", "text": HELLO}]),
    "text-is-an-object": _wrong(content={"a": HELLO}),
    "text-is-true": _wrong(content=True),
    "thoughts-are-a-number": _wrong(content=HELLO, reasoning_content=7),
    "role-is-a-number": _wrong(content=HELLO, role=7),
    "role-of-somebody-else": _wrong(content=HELLO, role="system"),
    "reason-is-a-number": Trick(reason=7),
    "reason-is-a-list": Trick(reason=["stop"]),
    "reason-of-its-own": Trick(reason="\n\ndata: \x1b[2J"),
    "index-is-text": Trick(choice={"index": "0"}),
    "index-below-zero": Trick(choice={"index": -1}),
    "index-without-end": Trick(choice={"index": 2**70}),
    "index-elsewhere": Trick(choice={"index": 3}),
    "said-is-null": Trick(choice={"delta": None, "message": None, "text": None}),
    "said-is-text": Trick(choice={"delta": HELLO, "message": HELLO, "text": 7}),
    "choices-are-an-object": Trick(top={"choices": {"0": {}}}, vectors={"0": {}}),
    "choices-are-null": Trick(top={"choices": None}, vectors=None),
    "choices-are-numbers": Trick(top={"choices": [1, 2]}, vectors=[1, 2]),
    "choices-are-empty": Trick(top={"choices": []}, vectors=[]),
    "choices-are-bare": Trick(top={"choices": [{}]}, vectors=[{}]),
    "usage-is-text": Trick(top={"usage": "7"}),
    "usage-is-a-list": Trick(top={"usage": [1]}),
    "usage-below-zero": Trick(top={"usage": {"prompt_tokens": -5, "completion_tokens": -7}}),
    "usage-without-end": Trick(top={"usage": {"prompt_tokens": 2**70, "completion_tokens": 2**70}}),
    "usage-in-words": Trick(top={"usage": {"prompt_tokens": "five"}}),
    "timings-are-wrong": Trick(top={"timings": {"predicted_n": -1, "predicted_per_second": "fast"}}),
    "timings-without-end": Trick(top={"timings": {"predicted_n": 4, "predicted_per_second": 1e308}}),
    "id-is-a-number": Trick(top={"id": 7, "object": 7, "created": "now", "system_fingerprint": 7}),
    "id-with-lines": Trick(top={"id": "a\n\ndata: [DONE]"}),
    "all-null": Trick(top=dict.fromkeys(("id", "object", "created", "choices", "usage", "data")), vectors=None),
    "logprobs-are-text": Trick(choice={"logprobs": "yes"}),
    "progress-is-wrong": Trick(top={"prompt_progress": {"total": -1, "processed": "x"}}),
    "progress-backwards": Trick(top={"prompt_progress": {"total": 0, "processed": 9}}),
    # -- another model
    "other-model": Trick(top={"model": "another"}),
    "model-is-a-number": Trick(top={"model": 7}),
    "model-with-lines": Trick(top={"model": "a\r\nx-evil: 1\n\ndata: [DONE]"}),
    # -- tool calls
    "same-ids": _calls(_call(0, "one", "say", "{}"), _call(1, "one", "say", "{}")),
    "same-numbers": _calls(_call(0, "one", "say", "{}"), _call(0, "two", "say", "{}")),
    "no-json": _calls(_call(0, "one", "say", "{not json")),
    "no-object": _calls(_call(0, "one", "say", "[1, 2]")),
    "nan-arguments": _calls(_call(0, "one", "say", '{"text": NaN}')),
    "endless-arguments": _calls(_call(0, "one", "say", '{"text": 1e400}')),
    "deep-arguments": _calls(_call(0, "one", "say", '{"text": ' + "[" * 5000 + "]" * 5000 + "}")),
    "surrogate-arguments": _calls(_call(0, "one", "say", '{"text": "\\ud800"}')),
    "twice-in-arguments": _calls(_call(0, "one", "say", '{"text": "a", "text": "b"}')),
    "arguments-are-a-number": _calls(_call(0, "one", "say", 7)),
    "arguments-are-null": _calls(_call(0, "one", "say", None)),
    "arguments-are-an-object": _calls(_call(0, "one", "say", {"text": _MARKS})),
    "unknown-tool": _calls(_call(0, "one", "rm -rf /\n\ndata: x", "{}")),
    "no-name": _calls(_call(0, "one", None, "{}")),
    "no-id": _calls(_call(0, None, "say", "{}")),
    "id-of-marks": _calls(_call(0, _MARKS, "say", "{}")),
    "id-is-a-number-in-a-call": _calls(_call(0, 7, "say", "{}")),
    "number-below-zero": _calls(_call(-1, "one", "say", "{}")),
    "number-without-end": _calls(_call(10**9, "one", "say", "{}")),
    "calls-are-an-object": _wrong(tool_calls={"0": {}}),
    "calls-are-numbers": _wrong(tool_calls=[1, 2]),
    "calls-are-bare": _wrong(tool_calls=[{}]),
    "function-is-text": _wrong(tool_calls=[{"index": 0, "id": "one", "function": "say"}]),
    "many-calls": _calls(*(_call(k, f"id-{k}", "say", "{}") for k in range(1100))),
    "calls-without-the-reason": Trick(said={"content": None, "tool_calls": [_call(0, "one", "say", "{}")]}),
    "reason-without-calls": Trick(reason="tool_calls"),
    # -- vectors
    "numbers-that-are-none": Trick(change=_number(b"NaN")),
    "numbers-without-end": Trick(change=_number(b"1e400")),
    "numbers-in-words": Trick(vectors=[{"index": 0, "embedding": ["a", "b"]}]),
    "vectors-of-nulls": Trick(vectors=[{"index": 0, "embedding": [None, 1.0]}]),
    "vector-is-empty": Trick(vectors=[{"index": 0, "embedding": []}]),
    "vector-is-deep": Trick(vectors=[{"index": 0, "embedding": [[1.0, 2.0]]}]),
    "vector-is-no-base64": Trick(vectors=[{"index": 0, "embedding": "!!!"}]),
    "vector-too-large": Trick(vectors=[{"index": 0, "embedding": [1e300, 1.0]}]),
    "vector-at-no-place": Trick(vectors=[{"index": 7, "embedding": [1.0]}]),
    "vectors-too-many": Trick(vectors=[{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0]}]),
    # -- no JSON, no events
    "nothing": Trick(change=_all(b"")),
    "null": Trick(change=_all(b"null")),
    "text": Trick(change=_all(b'"Hello"')),
    "a-list": Trick(change=_all(b"[]")),
    "bare": Trick(change=_all(b"{}")),
    "html": Trick(change=_all(b"<html><body>Sign in</body></html>"), kind="text/html"),
    "html-as-it-should-be": Trick(change=_all(b"<html>\n\n<body>Sign in</body>\n\n</html>\n\n")),
    "html-in-events": Trick(change=_all(b"data: <html>\n\ndata: </html>\n\n"), kind=EVENTS),
    "deep": Trick(change=_instead(b'", "deep": ' + _DEEP + b"]" * 50_000 + b', "x": "')),
    "deep-without-end": Trick(change=_all(b'data: {"choices":' + _DEEP + b"\n\n")),
    "half": Trick(change=lambda data: data[: len(data) // 2]),
    "twice": Trick(change=lambda data: data + data),
    "mark": Trick(change=lambda data: b"\xef\xbb\xbf" + data),
    "rubbish-after": Trick(change=lambda data: data + b"\x00\xff rubbish"),
    "rubbish-before": Trick(change=lambda data: b"rubbish\n\n" + data),
    "two-line-data": Trick(change=lambda data: data.replace(b'{"id"', b'{\ndata: "id"')),
    "carriage-returns": Trick(change=lambda data: data.replace(b"\n", b"\r")),
    "both-line-ends": Trick(change=lambda data: data.replace(b"\n", b"\r\n")),
    "named-events": Trick(change=lambda data: data.replace(b"data: ", b"event: message\nid: 7\nretry: 1\ndata: ")),
    "named-error": Trick(change=lambda data: b'event: error\ndata: {"message": "\x1b[31mno"}\n\n' + data),
    "unknown-fields": Trick(change=lambda data: b"evil: x\nfoo\n: comment\n\n" + data),
    "utf-16": Trick(change=lambda data: data.decode().encode("utf-16")),
    "data-null": Trick(change=lambda data: b"data: null\n\n" + data),
    "data-list": Trick(change=lambda data: b"data: []\n\n" + data),
    # -- errors
    "error-with-controls": Trick(
        top={"error": {"message": CONTROLS + _MARKS, "type": 7, "code": [], "param": {}}}
    ),
    "error-without-end": Trick(top={"error": {"message": "x" * 2**20, "code": 10**30}}),
    "error-is-a-number": Trick(top={"error": 7}),
    "error-is-a-list": Trick(top={"error": ["a"]}),
    "error-is-odd-numbers": Trick(top={"error": {"n_prompt_tokens": -(2**70), "n_ctx": 2**70, "message": "m"}}),
    "status-200-of-nothing": Trick(status="204 No Content", change=_all(b"")),
    "status-moved": Trick(status="302 Found", head=("location: http://127.0.0.1:9/",)),
    "status-of-its-own": Trick(status="799 X"),
    "status-418": Trick(status="418 X", change=_all(CONTROLS.encode())),
    "status-413": Trick(status="413 X", change=_all(b"")),
    "status-429-of-lines": Trick(status="429 X", top={"error": {"message": "a\r\nx-evil: 1"}}),
    **{f"error-{code}": Trick(top={"error": {"code": code, "message": "x"}}) for code in _CODES},
    **{
        f"status-{code}": Trick(status="400 X", top={"error": {"code": code, "message": "x"}})
        for code in _CODES[::8]
    },
    # -- the head
    "kind-is-none": Trick(kind=""),
    "kind-is-wrong": Trick(kind="image/png"),
    "kind-is-long": Trick(kind="text/event-stream;" + "a" * 3000),
    "packed": Trick(head=("content-encoding: gzip",)),
    "many-headers": Trick(head=[f"x-{k}: {'a' * 100}" for k in range(1000)]),
    "cookies": Trick(head=("set-cookie: a=b", "x-evil: 1", "access-control-allow-origin: *")),
}
"""Every trick by its name."""


def models() -> list[Fields]:
    """What it lists."""
    return [{"id": f"{kind}-{name}", "object": "model"} for kind in ("chat", "embed") for name in TRICKS]


class HostileServer:
    """The server. Use `async with hostile_server() as server`.

    Attributes:
        url: base URL with `/v1`.
        asked: how many answers it gave.
    """

    def __init__(self) -> None:
        self.server = ByteServer(self._serve)
        self.asked = 0

    @property
    def url(self) -> str:
        return f"{self.server.url}/v1"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, raw = await read_request(reader)
            route = head.split(b" ")[1].decode().removeprefix("/v1/")
            if route == "models":
                body = json.dumps({"object": "list", "data": models()}).encode()
                writer.write(answer(body, f"content-type: {JSON}"))
                continue
            body = json.loads(raw)
            self.asked += 1
            writer.write(_answer(route, body, TRICKS[str(body["model"]).partition("-")[2]]))
            await writer.drain()


def _answer(route: str, body: Fields, trick: Trick) -> bytes:
    streamed = bool(body.get("stream"))
    events = _events if streamed else _whole
    data = trick.change(b"".join(events(route, body, trick)))
    kind = trick.kind if trick.kind is not None else EVENTS if streamed else JSON
    return answer(data, *(f"content-type: {kind}",) * (kind != ""), *trick.head, status=trick.status)


def _whole(route: str, body: Fields, trick: Trick) -> Iterator[bytes]:
    base = {"id": "one", "object": "x", "created": 1, "model": body["model"], "usage": _USAGE}
    if route == "embeddings":
        yield _encode({**base, "object": "list", "data": trick.vectors, **trick.top})
        return
    said = {"text": trick.said.get("content")} if route == "completions" else {"message": _said(trick)}
    choice = {"index": 0, **said, "finish_reason": trick.reason, **trick.choice}
    yield _encode({**base, "choices": [choice], **trick.top})


def _events(route: str, body: Fields, trick: Trick) -> Iterator[bytes]:
    base = {"id": "one", "object": "x", "created": 1, "model": body["model"]}
    said = {"text": trick.said.get("content")} if route == "completions" else {"delta": _said(trick)}
    last: Fields = {"text": ""} if route == "completions" else {"delta": {}}
    for choice in ({**said, "finish_reason": None, **trick.choice}, {**last, "finish_reason": trick.reason}):
        yield b"data: " + _encode({**base, "choices": [{"index": 0, **choice}], **trick.top}) + b"\n\n"
    yield b"data: " + _encode({**base, "choices": [], "usage": _USAGE, **trick.top}) + b"\n\n"
    yield b"data: [DONE]\n\n"


_USAGE: Final = {"prompt_tokens": 7, "completion_tokens": 7, "total_tokens": 14}


def _said(trick: Trick) -> Fields:
    return {"role": "assistant", **trick.said}


def _encode(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


@asynccontextmanager
async def hostile_server() -> AsyncIterator[HostileServer]:
    """A `HostileServer` that runs while the `async with` lasts."""
    hostile = HostileServer()
    async with hostile.server:
        yield hostile
