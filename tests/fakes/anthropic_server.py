"""A small real server that speaks Anthropic's language as its API is described, and misbehaves on demand.

A model called `fault:NAME` makes it misbehave; `FAULTS` lists how. What its API refuses, it refuses
(`anthropic_rules`). The official package is its measure: `tests/clients/test_anthropic.py`.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import cast
from urllib.parse import parse_qs, urlsplit

from tests.fakes.anthropic_rules import Body, refusal
from tests.fakes.byte_server import ByteServer, read_request
from tests.fakes.openai_server import Client

FAULTS = {
    "cut": "ends the stream properly, chunks and all, in the middle of the answer",
    "reset": "resets the connection in the middle of the stream",
    "torn": "closes the connection in the middle of an event",
    "half-letter": "closes the connection in the middle of a letter of UTF-8",
    "silent": "sends the beginning of an answer, then nothing more",
    "garbage": "sends an event that is not JSON",
    "wrong-types": "sends a piece whose text is a number",
    "error-event": "says in the middle of the stream that it is overloaded",
    "no-stop": "ends the stream without `message_stop`",
    "no-reason": "ends the message without a reason",
    "unstreamed": "answers with one JSON object although a stream was asked for",
    "hangup": "reads the request and closes",
    "401": "refuses the key",
    "403": "says that the key may not",
    "404": "does not know the model",
    "413": "finds the body too large",
    "429": "says that there were too many requests",
    "500": "answers with a web page and status 500",
    "529": "is overloaded",
    "context": "says that the prompt is too long",
    "no-call": "calls no tool, whatever it was told",
}

_ON = {"supported": True}
_OFF = {"supported": False}
_EFFORTS: Body = {**_ON, "low": _ON, "medium": _ON, "high": _ON, "max": _ON, "xhigh": _OFF}


def _model(name: str, thinking: Body, efforts: Body, structured: Body = _ON, **more: object) -> Body:
    kinds = {kind: thinking.get(kind, _OFF) for kind in ("adaptive", "enabled", "disabled", "between_tools")}
    on = {"supported": any(kinds[kind] == _ON for kind in ("adaptive", "enabled")), "types": kinds}
    capabilities = {"image_input": _ON, "thinking": on, "effort": efforts, "structured_outputs": structured}
    return {
        "type": "model",
        "id": name,
        "display_name": name.title(),
        "created_at": "2026-01-01T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
        "capabilities": capabilities,
        **more,
    }


MODELS: list[Body] = [
    _model("fake-claude", {"adaptive": _ON, "disabled": _ON}, _EFFORTS),
    _model("fake-older", {"enabled": _ON, "disabled": _ON}, {**_OFF, "low": _OFF}, _OFF),
    _model("fake-retired", {}, _OFF, lifecycle="retired"),
]


class FakeAnthropic:
    """The server. Use `async with fake_anthropic() as server`.

    Attributes:
        url: base URL, without the version.
        key: the API key it insists on; "" for none.
        models: what it lists, *page* at a time; may be changed while it runs.
        requests: (route, decoded body) of every request, in order.
        headers: of the last request, names in lower case.
        left: streams whose client went away before the end.
    """

    def __init__(self, key: str = "", models: Sequence[Body] = ()) -> None:
        self.key = key
        self.models: object = list(models) or MODELS
        self.page = 2
        self.requests: list[tuple[str, Body]] = []
        self.headers: dict[str, str] = {}
        self.left = 0
        self.server = ByteServer(self._serve)

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def last(self) -> Body:
        """The body of the last request."""
        return self.requests[-1][1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Client(writer)
        while True:
            head, raw = await read_request(reader)
            line, *rest = head.decode("latin-1").split("\r\n")
            method, target, _ = line.split(" ")
            self.headers = {k.lower(): v.strip() for k, _, v in (h.partition(":") for h in rest if h)}
            body: Body = json.loads(raw) if raw else {}
            self.requests.append((f"{method} {target}", body))
            # The header of the API's reference, and the one that the package of today sends.
            keys = (self.headers.get("x-api-key"), self.headers.get("authorization", "").removeprefix("Bearer "))
            if self.key and self.key not in keys:
                await _refuse(client, 401, "authentication_error", "invalid x-api-key")
            elif "anthropic-version" not in self.headers:
                await _refuse(client, 400, "invalid_request_error", "anthropic-version: header is required")
            else:
                await self._route(method, target, body, client, reader)

    async def _route(
        self, method: str, target: str, body: Body, client: Client, reader: asyncio.StreamReader
    ) -> None:
        path = urlsplit(target).path
        if (method, path) == ("GET", "/v1/models"):
            await client.json(200, self._listed(parse_qs(urlsplit(target).query)))
        elif method != "POST" or path not in ("/v1/messages", "/v1/messages/count_tokens"):
            await _refuse(client, 404, "not_found_error", "Not found")
        elif await _faulty(_fault(body), client):
            pass
        elif reason := refusal(body, counting=path.endswith("count_tokens")):
            await _refuse(client, 400, "invalid_request_error", reason)
        elif path.endswith("count_tokens"):
            await client.json(200, {"input_tokens": _prompt(body)})
        else:
            await self._message(body, client, reader)

    def _listed(self, query: dict[str, list[str]]) -> object:
        if not isinstance(self.models, list):
            return self.models
        names = [model["id"] for model in self.models]
        start = names.index(query["after_id"][0]) + 1 if "after_id" in query else 0
        data = self.models[start : start + self.page]
        more = start + self.page < len(names)
        ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
        return {"data": data, "has_more": more, **ends}

    async def _message(self, body: Body, client: Client, reader: asyncio.StreamReader) -> None:
        if not body.get("stream") or _fault(body) == "unstreamed":
            await client.json(200, whole_message(body))
            return
        await client.start_stream()
        try:
            for number, event in enumerate(streamed_message(body)):
                if number == 4 and await _broken(_fault(body), client, reader):
                    return
                if _fault(body) == "no-stop" and event["type"] == "message_stop":
                    break
                await _event(client, event)
            await client.end_stream()
        except ConnectionError:
            self.left += 1
            raise


async def _event(client: Client, event: Body) -> None:
    await client.chunk(b"event: %s\ndata: %s\n\n" % (str(event["type"]).encode(), json.dumps(event).encode()))


async def _refuse(client: Client, status: int, kind: str, message: str) -> None:
    error = {"type": kind, "message": message}
    await client.json(status, {"type": "error", "error": error, "request_id": "req_1"})


async def _faulty(fault: str, client: Client) -> bool:
    """Faults instead of an answer; whether there was one."""
    match fault:
        case "hangup":
            raise ConnectionResetError
        case "401":
            await _refuse(client, 401, "authentication_error", "invalid x-api-key: sk-ant-sesame")
        case "403":
            await _refuse(client, 403, "permission_error", "Your key may not use this model.")
        case "404":
            await _refuse(client, 404, "not_found_error", "model: fault:404")
        case "413":
            await _refuse(client, 413, "request_too_large", "Request exceeds the maximum size")
        case "429":
            await _refuse(client, 429, "rate_limit_error", "Number of requests has exceeded your rate limit")
        case "500":
            await client.whole(500, b"<html><body>Internal Server Error</body></html>", "text/html")
        case "529":
            await _refuse(client, 529, "overloaded_error", "Overloaded")
        case "context":
            await _refuse(client, 400, "invalid_request_error", "prompt is too long: 5000 tokens > 4096 maximum")
        case _:
            return False
    return True


async def _broken(fault: str, client: Client, reader: asyncio.StreamReader) -> bool:
    """Faults in the middle of a stream; whether it is over."""
    match fault:
        case "cut":
            await client.end_stream()
            return True
        case "reset":
            linger = struct.pack("ii", 1, 0)  # close with a reset instead of a goodbye
            client.writer.get_extra_info("socket").setsockopt(1, 13, linger)
            raise ConnectionResetError
        case "torn":
            await client.chunk(b'event: content_block_delta\ndata: {"type":"content_block_del')
            raise ConnectionResetError
        case "half-letter":
            piece = _piece(0, "text_delta", text="x")
            await client.chunk(b"data: " + json.dumps(piece).encode().replace(b'"x"', b'"\xe2\x82"') + b"\n\n")
        case "silent":
            await reader.read()
            raise ConnectionResetError
        case "garbage":
            await client.chunk(b"event: content_block_delta\ndata: <html>\n\n")
        case "wrong-types":
            await _event(client, _piece(0, "text_delta", text=7))
        case "error-event":
            await _event(client, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
            await client.end_stream()
            return True
    return False


def _piece(index: int, kind: str, **fields: object) -> Body:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


# -- what it answers


def _fault(body: Body) -> str:
    return str(body.get("model")).partition("fault:")[2]


def _said(body: Body, turn: int = -1) -> str:
    """The words of the last turn, or another, results of tools included."""
    content = cast("list[Body]", body["messages"])[turn]["content"]
    if isinstance(content, str):
        return content
    return " ".join(_words_of(block) for block in cast("list[Body]", content)).strip()


def _words_of(block: Body) -> str:
    inner = block.get("content", block.get("text", ""))
    return " ".join(map(_words_of, inner)) if isinstance(inner, list) else str(inner)


def _prompt(body: Body) -> int:
    turns = range(len(cast("list[Body]", body["messages"])))
    return sum(len(_said(body, turn).split()) for turn in turns) + 5


def _calls(body: Body) -> list[Body]:
    """With tools, and not told otherwise, it calls one; both of two where that is said."""
    tools = cast("list[Body]", body.get("tools") or [])
    choice = cast("Body", body.get("tool_choice") or {"type": "auto"})
    said = _said(body)
    quiet = choice["type"] == "none" or (choice["type"] == "auto" and said.startswith("no tool"))
    if not tools or quiet or _fault(body) == "no-call":
        return []
    names = [tool["name"] for tool in tools]
    if choice["type"] == "tool":
        names = [choice["name"]]
    elif "final_answer" in names and said.startswith("answer"):
        names = ["final_answer"]
    elif not said.startswith("both"):
        names = names[:1]
    given = {"answer": "yes"} if names == ["final_answer"] else {} if said.startswith("bare") else {"text": said}
    return [
        {"type": "tool_use", "id": f"toolu_{k}", "name": name, "input": given} for k, name in enumerate(names, 1)
    ]


def _answer_words(body: Body) -> list[str]:
    limit = cast("int", body["max_tokens"])
    output = cast("Body", body.get("output_config") or {})
    if output.get("format"):
        return ['{"answer": ', '"yes"', "}"][:limit]
    return [f"{word} " for word in f"You said: {_said(body)}".split()][:limit]


def _content(body: Body) -> list[Body]:
    blocks: list[Body] = []
    if cast("Body", body.get("thinking") or {}).get("type") in ("enabled", "adaptive"):
        blocks.append({"type": "thinking", "thinking": "Let me think. ", "signature": "signed"})
    calls = _calls(body)
    if not calls:
        blocks.append({"type": "text", "text": "".join(_answer_words(body))})
    return blocks + calls


def _reason(body: Body) -> str | None:
    if _fault(body) == "no-reason":
        return None
    if _calls(body):
        return "tool_use"
    if "stop here" in _said(body):
        return "stop_sequence"
    return "max_tokens" if len(_answer_words(body)) >= cast("int", body["max_tokens"]) else "end_turn"


def _usage(body: Body, made: int) -> Body:
    return {
        "input_tokens": _prompt(body) - 2,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 2,
        "output_tokens": made,
    }


def whole_message(body: Body) -> Body:
    """A message."""
    return {
        "id": "msg_fake",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": _content(body),
        "stop_reason": _reason(body),
        "stop_sequence": None,
        "usage": _usage(body, len(_answer_words(body))),
    }


def streamed_message(body: Body) -> Iterator[Body]:
    """The events of the same message."""
    message = {**whole_message(body), "content": [], "stop_reason": None, "usage": _usage(body, 1)}
    yield {"type": "message_start", "message": message}
    yield {"type": "ping"}
    for index, block in enumerate(_content(body)):
        yield from _streamed_block(index, block, body)
    made = {"output_tokens": len(_answer_words(body))}
    yield {"type": "message_delta", "delta": {"stop_reason": _reason(body), "stop_sequence": None}, "usage": made}
    yield {"type": "message_stop"}


def _streamed_block(index: int, block: Body, body: Body) -> Iterator[Body]:
    start = {"type": "content_block_start", "index": index}
    match block["type"]:
        case "text":
            yield {**start, "content_block": {"type": "text", "text": ""}}
            for word in _answer_words(body):
                yield _piece(index, "text_delta", text=word)
        case "thinking":
            yield {**start, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}
            yield _piece(index, "thinking_delta", thinking="Let me ")
            yield _piece(index, "thinking_delta", thinking="think. ")
            yield _piece(index, "signature_delta", signature="signed")
        case _:
            yield {**start, "content_block": {**block, "input": {}}}
            given = json.dumps(block["input"]) if block["input"] else ""
            for piece in ("", given[:5], given[5:]):
                yield _piece(index, "input_json_delta", partial_json=piece)
    yield {"type": "content_block_stop", "index": index}


@asynccontextmanager
async def fake_anthropic(key: str = "", models: Sequence[Body] = ()) -> AsyncIterator[FakeAnthropic]:
    """A `FakeAnthropic` that runs while the `async with` lasts."""
    fake = FakeAnthropic(key, models)
    async with fake.server:
        yield fake
