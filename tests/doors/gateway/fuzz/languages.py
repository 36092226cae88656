"""Every way to ask a model, in every language, and what a good answer is in that language.

A judge knows nothing of how an answer came to be: what he lets pass is well-formed, whoever made it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from operator import or_
from typing import Any, Final, Literal, NoReturn

import msgspec
from msgspec import Struct
from tests.doors.gateway.asking import Answer

from lmbridge.doors.gateway.routes import Route

Fields = dict[str, object]
Form = Literal["json", "openai", "named", "lines"]

LONGEST_ERROR: Final = 10_000
"""Bytes: whatever was sent, an error does not repeat all of it."""

SCHEMA: Final = {"type": "object", "properties": {"text": {"type": "string"}}}
FUNCTION: Final = {"name": "say", "description": "Says it.", "parameters": SCHEMA}
TOOL: Final = {"type": "function", "function": FUNCTION}
HI: Final = [{"role": "user", "content": "Hi"}]


class Call(Struct, frozen=True):
    """One way to ask.

    Attributes:
        kind: of the model that is asked. body: all but the name of the model and the wish for a stream.
        form: of its stream; `json` where there is none.
    """

    name: str
    path: str
    kind: Literal["chat", "embed"]
    body: Fields
    form: Form

    def asked(self, model: str, *, stream: bool) -> Fields:
        """The body of a request."""
        if self.form == "json":
            return {**self.body, "model": model}
        return {**self.body, "model": model, "stream": stream}


CALLS: Final = (
    Call("chat", "/v1/chat/completions", "chat", {"messages": HI}, "openai"),
    Call("chat-tools", "/v1/chat/completions", "chat", {"messages": HI, "tools": [TOOL]}, "openai"),
    Call("completion", "/v1/completions", "chat", {"prompt": "Hi"}, "openai"),
    Call("embeddings", "/v1/embeddings", "embed", {"input": "Hi"}, "json"),
    Call("embeddings-64", "/v1/embeddings", "embed", {"input": "Hi", "encoding_format": "base64"}, "json"),
    Call("responses", "/v1/responses", "chat", {"input": "Hi"}, "named"),
    Call(
        "responses-tools",
        "/v1/responses",
        "chat",
        {"input": "Hi", "store": False, "tools": [{"type": "function", **FUNCTION}]},
        "named",
    ),
    Call("messages", "/v1/messages", "chat", {"messages": HI, "max_tokens": 50}, "named"),
    Call(
        "messages-tools",
        "/v1/messages",
        "chat",
        {"messages": HI, "max_tokens": 50, "tools": [{"name": "say", "input_schema": SCHEMA}]},
        "named",
    ),
    Call("native", "/api/v1/chat", "chat", {"input": "Hi"}, "named"),
    Call("older-chat", "/api/v0/chat/completions", "chat", {"messages": HI}, "openai"),
    Call("older-completion", "/api/v0/completions", "chat", {"prompt": "Hi"}, "openai"),
    Call("older-embeddings", "/api/v0/embeddings", "embed", {"input": "Hi"}, "json"),
    Call("ollama-chat", "/api/chat", "chat", {"messages": HI}, "lines"),
    Call("ollama-tools", "/api/chat", "chat", {"messages": HI, "tools": [TOOL]}, "lines"),
    Call("ollama-generate", "/api/generate", "chat", {"prompt": "Hi"}, "lines"),
    Call("ollama-embed", "/api/embed", "embed", {"input": "Hi"}, "json"),
    Call("ollama-embeddings", "/api/embeddings", "embed", {"prompt": "Hi"}, "json"),
)
"""The calls; the first for each path is the plainest."""

ASKING: Final = sorted({call.path for call in CALLS})
"""The paths that ask models."""


# -- what is passed on in OpenAI's words: the fields that its clients read


class _Function(Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(Struct):
    index: int = 0
    id: str | None = None
    function: _Function | None = None


class _Said(Struct):
    role: str | None = None
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _ChatChoice(Struct, kw_only=True):
    index: int = 0
    message: _Said
    finish_reason: str | None = None


class _ChatPiece(Struct, kw_only=True):
    index: int = 0
    delta: _Said
    finish_reason: str | None = None


class _TextChoice(Struct):
    index: int = 0
    text: str | None = None
    finish_reason: str | None = None


class _Usage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Chat(Struct):
    choices: list[_ChatChoice]
    id: str | None = None
    object: str | None = None
    created: float | None = None
    model: str | None = None
    usage: _Usage | None = None


class _ChatChunk(_Chat):
    choices: list[_ChatPiece]  # type: ignore[assignment]


class _Text(_Chat):
    choices: list[_TextChoice]  # type: ignore[assignment]


class _Vector(Struct):
    embedding: list[float] | str
    index: int = 0


class _Vectors(Struct):
    data: list[_Vector]
    model: str | None = None
    usage: _Usage | None = None


_WHOLE: Final[dict[str, type[Struct]]] = {"chat/completions": _Chat, "completions": _Text, "embeddings": _Vectors}
_PIECE: Final[dict[str, type[Struct]]] = {"chat/completions": _ChatChunk, "completions": _Text}


def _told(shapes: dict[str, type[Struct]], path: str) -> type[Struct] | None:
    """What an answer has to be in OpenAI's words, which the routes do not tell."""
    return shapes.get(path.removeprefix("/v1/").removeprefix("/api/v0/"))


# -- judging


def judge(call: Call, route: Route, got: Answer) -> bool:
    """Whether an answer is a good one; False for an error in the form of its family.

    Raises:
        AssertionError, ValueError: it is neither.
    """
    kind = got.headers["content-type"].partition(";")[0]
    if got.status != 200:
        assert kind == "application/json"
        judge_error(route, got.body)
        return False
    if kind == "application/json":
        told = _told(_WHOLE, call.path) or route.answers
        judge_answer(told if isinstance(told, tuple) else (told,), got.body)
        return True
    assert kind == route.media
    return _STREAMS[call.form](call, route, got.body)


def judge_answer(shapes: Sequence[object], body: bytes) -> None:
    """Make sure that a whole answer has one of the shapes it may have."""
    wrong = []
    for shape in shapes:
        try:
            strict(body, shape)
        except msgspec.ValidationError as error:
            wrong.append(str(error))
    assert len(wrong) < len(shapes), wrong


def judge_error(route: Route, body: bytes) -> None:
    """Make sure that it is an error in the words of the route, whole and safe to be shown."""
    strict(body, route.family.shape)
    assert len(body) < LONGEST_ERROR, (len(body), body[:500])
    for text in texts(json.loads(body)):
        assert all(letter.isprintable() or letter == "\n" for letter in text), ascii(text)


def texts(value: object) -> Iterator[str]:
    """Every text in a value that is there to be shown."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name != "param":  # a name that the caller himself has written
                yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


def strict(body: bytes, shape: Any) -> Any:
    """What is said in JSON as the standard has it (RFC 8259): UTF-8, no other numbers, and of this shape."""
    value = json.loads(body.decode(), parse_constant=_no_number)
    json.dumps(value, ensure_ascii=False).encode()  # without half a character
    return msgspec.json.decode(body, type=shape)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _frames(body: bytes) -> Iterator[tuple[str, str]]:
    """Name and data of each event; comments are skipped. Only what the standard calls the end of a line is one."""
    *frames, rest = body.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n\n")
    assert rest == ""
    for frame in frames:
        name, data = "", []
        for line in frame.split("\n"):
            key, _, value = line.partition(":")
            if key == "event":
                name = value.removeprefix(" ")
            elif key == "data":
                data.append(value.removeprefix(" "))
        if data:
            yield name, "\n".join(data)


def _openai(call: Call, route: Route, body: bytes) -> bool:
    datas = [data for _, data in _frames(body)]
    reasons = 0
    for place, data in enumerate(datas):
        if data == "[DONE]":
            assert place == len(datas) - 1
            assert reasons
            return True
        if "error" in strict(data.encode(), dict):
            assert place == len(datas) - 1
            judge_error(route, data.encode())
            return False
        piece = strict(data.encode(), _told(_PIECE, call.path))
        reasons += sum(choice.finish_reason is not None for choice in piece.choices)
    raise AssertionError("it has no end")


class _Typed(Struct):
    type: str


_ENDS: Final = {
    "/v1/messages": ("message_stop",),
    "/v1/responses": ("response.completed", "response.incomplete"),
    "/api/v1/chat": ("chat.end",),
}
"""The last event of a stream in which nothing went wrong; where something did, an `error` is among its events."""


def _named(call: Call, route: Route, body: bytes) -> bool:
    frames = list(_frames(body))
    told = [strict(data.encode(), _Typed).type for _, data in frames]
    assert [name for name, _ in frames] == told
    ends = _ENDS[call.path]
    assert told[-1] in (*ends, "error")
    assert not set(told[:-1]) & set(ends)
    for name, data in frames:
        if name == "error" and call.path != "/api/v1/chat":
            strict(data.encode(), dict)
        else:
            strict(data.encode(), reduce(or_, route.events))
    return "error" not in told


def _lines(call: Call, route: Route, body: bytes) -> bool:
    *lines, rest = body.split(b"\n")
    assert rest == b""
    more, end = route.events
    for line in lines[:-1]:
        assert strict(line, more).done is False
    if "error" in strict(lines[-1], dict):
        judge_error(route, lines[-1])
        return False
    assert strict(lines[-1], end).done is True
    return True


_STREAMS: Final[dict[str, Callable[[Call, Route, bytes], bool]]] = {
    "openai": _openai,
    "named": _named,
    "lines": _lines,
}
