"""A small real server that speaks OpenAI's language as llama.cpp does, and misbehaves on demand.

A model called `fault:NAME`, or the header `x-fault: NAME`, makes it misbehave; `FAULTS` lists how, and `HABITS`
what is only odd. Run as `python -m tests.fakes.openai_server --port 0` it prints its URL and serves until it is
stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import struct
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

from tests.fakes.byte_server import ByteServer, read_request

Body = dict[str, object]

FAULTS = {
    "cut": "closes the connection in the middle of the stream, properly ended chunks and all",
    "reset": "resets the connection in the middle of the stream",
    "torn": "closes the connection in the middle of an event",
    "silent": "sends the head of an answer and two events, then nothing more",
    "mute": "reads the request and never answers",
    "hangup": "reads the request and closes",
    "garbage": "sends an event that is not JSON",
    "wrong-types": "sends an event whose content is a number",
    "error-event": "reports an error in the middle of the stream",
    "huge-line": "sends an event larger than any decoder takes",
    "not-http": "answers in no language at all",
    "no-done": "ends the stream without [DONE], the answer being finished",
    "no-finish": "ends the stream with [DONE], the answer being unfinished",
    "unstreamed": "answers with one JSON object although a stream was asked for",
    "error-200": "reports an error with status 200, as LM Studio does for unknown routes",
    "401": "refuses the key and repeats part of it",
    "429": "says that there were too many requests",
    "500": "answers with a web page and status 500",
    "context": "says that the prompt is too long, in llama.cpp's words",
    "short-vectors": "returns one vector too few",
    "uneven-vectors": "returns vectors of different lengths",
    "shuffled-vectors": "returns the vectors in another order, numbered rightly",
}

HABITS = {
    "leaked-call": "writes its tool call into the text",
    "python-call": "writes the arguments of its tool call as Python does",
    "bare-call": "gives its tool call no id, says `stop`, and repeats an empty name, as old LM Studio does",
    "same-number": "calls twice, both calls with the number 0",
    "no-call": "calls no tool, whatever it was told",
    "empty-calls": "has an empty list of tool calls in every piece, as LM Studio does",
    "wrong-call": "calls a tool that is not the chosen one",
    "tags": "thinks in the text, between tags",
}
"""What servers make of tool calls and of thoughts; asked for in the same way."""

MODELS: list[Body] = [
    {
        "id": "fake-chat",
        "object": "model",
        "owned_by": "llamacpp",
        "meta": {"n_ctx_train": 4096, "n_params": 7, "size": 9},
    },
    {"id": "fake-embed", "object": "model", "owned_by": "llamacpp", "meta": {"n_ctx_train": 512}},
]


class Client:
    """One connection, as a route sees it."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def whole(self, status: int, body: bytes, kind: str = "application/json") -> None:
        head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
        await self.send(head.encode() + body)

    async def json(self, status: int, body: object) -> None:
        await self.whole(status, json.dumps(body).encode(), "application/json; charset=utf-8")

    async def start_stream(self) -> None:
        await self.send(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )

    async def chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%s\r\n" % (len(data), data))

    async def event(self, body: object) -> None:
        await self.chunk(b"data: " + json.dumps(body).encode() + b"\n\n")

    async def end_stream(self) -> None:
        await self.send(b"0\r\n\r\n")


class FakeOpenAI:
    """The server. Use `async with fake_openai() as server`.

    Attributes:
        url: base URL with `/v1`.
        key: the API key it insists on; "" for none.
        models: what it lists; may be changed while it runs.
        requests: (route, decoded body) of every request, in order.
        headers: of the last request, names in lower case.
        pace: seconds between two events of a stream.
        left: streams whose client went away before the end.
    """

    def __init__(self, key: str = "", models: Sequence[Body] = (), pace: float = 0.0) -> None:
        self.key, self.pace = key, pace
        self.models: object = list(models) or MODELS
        self.requests: list[tuple[str, Body]] = []
        self.headers: dict[str, str] = {}
        self.left = 0
        self.server = ByteServer(self._serve)

    @property
    def url(self) -> str:
        return f"{self.server.url}/v1"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Client(writer)
        while True:
            head, raw = await read_request(reader)
            line, *rest = head.decode("latin-1").split("\r\n")
            method, target, _ = line.split(" ")
            self.headers = {k.lower(): v.strip() for k, _, v in (h.partition(":") for h in rest if h)}
            body: Body = json.loads(raw) if raw else {}
            self.requests.append((f"{method} {target}", body))
            if self.key and self.headers.get("authorization") != f"Bearer {self.key}":
                await client.json(401, _error(401, "Incorrect API key provided.", "invalid_api_key"))
                continue
            fault = self.headers.get("x-fault", "")
            name = body.get("model")
            if isinstance(name, str) and name.startswith("fault:"):
                fault = name.removeprefix("fault:")
            await self._route(f"{method} {target}", body, fault, client, reader)

    async def _route(
        self, route: str, body: Body, fault: str, client: Client, reader: asyncio.StreamReader
    ) -> None:
        if await _refused(fault, client, reader):
            return
        if route == "GET /v1/models":
            await client.json(200, {"object": "list", "data": self.models})
        elif route == "POST /v1/embeddings":
            await client.json(200, _embeddings(body, fault))
        elif route == "POST /v1/chat/completions":
            await self._chat(body, fault, client, reader)
        elif route == "POST /v1/completions":
            await self._text(body, client)
        else:
            await client.json(404, _error(404, "File Not Found", "not_found_error"))

    async def _text(self, body: Body, client: Client) -> None:
        """A text that goes on, without faults: those of a chat show what becomes of them."""
        if not body.get("stream"):
            await client.json(200, _text(body, "You said so.", "stop"))
            return
        await client.start_stream()
        for text, reason in (("You ", None), ("said so.", None), ("", "stop")):
            await client.event(_text(body, text, reason))
        await client.chunk(b"data: [DONE]\n\n")
        await client.end_stream()

    async def _chat(self, body: Body, fault: str, client: Client, reader: asyncio.StreamReader) -> None:
        if not body.get("stream") or fault == "unstreamed":
            await client.json(200, whole_answer(body))
            return
        await client.start_stream()
        try:
            for number, event in enumerate(streamed_answer(body)):
                if self.pace:
                    await asyncio.sleep(self.pace)
                if number == 2 and await _broken(fault, client, reader):
                    return
                if fault == "no-finish" and event["choices"] and _choice(event)["finish_reason"]:
                    break
                await client.event(event)
            if fault != "no-done":
                await client.chunk(b"data: [DONE]\n\n")
            await client.end_stream()
        except ConnectionError:
            self.left += 1
            raise


async def _refused(fault: str, client: Client, reader: asyncio.StreamReader) -> bool:
    """Faults instead of an answer; whether there was one."""
    match fault:
        case "mute":
            await reader.read()
            raise ConnectionResetError
        case "hangup":
            raise ConnectionResetError
        case "not-http":
            await client.send(b"SSH-2.0-OpenSSH_9.6\r\n")
            raise ConnectionResetError
        case "error-200":
            await client.json(200, {"error": "Unexpected endpoint or method. (POST /v1/chat/completions)"})
        case "401":
            await client.json(401, _error(401, "Incorrect API key provided: sk-sec***ret.", "invalid_api_key"))
        case "429":
            await client.json(429, _error(429, "Rate limit reached.", "rate_limit_exceeded"))
        case "500":
            await client.whole(500, b"<html><body>Internal Server Error</body></html>", "text/html")
        case "context":
            text = "request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it"
            fields = {"code": 400, "message": text, "type": "exceed_context_size_error"}
            await client.json(400, {"error": {**fields, "n_prompt_tokens": 5000, "n_ctx": 4096}})
        case _:
            return False
    return True


async def _broken(fault: str, client: Client, reader: asyncio.StreamReader) -> bool:
    """Faults in the middle of a stream; whether it is over."""
    match fault:
        case "cut":
            await client.end_stream()
            raise ConnectionResetError
        case "reset":
            linger = struct.pack("ii", 1, 0)  # close with a reset instead of a goodbye
            client.writer.get_extra_info("socket").setsockopt(1, 13, linger)
            raise ConnectionResetError
        case "torn":
            await client.chunk(b'data: {"choices":[{"index":0,"del')
            raise ConnectionResetError
        case "silent":
            await reader.read()
            raise ConnectionResetError
        case "garbage":
            await client.chunk(b"data: <html>\n\n")
        case "wrong-types":
            await client.event({"choices": [{"index": 0, "delta": {"content": 7}, "finish_reason": None}]})
        case "error-event":
            await client.event(_error(500, "Compute error.", "server_error"))
            await client.end_stream()
            return True
        case "huge-line":
            await client.chunk(b"data: ")
            for _ in range(40):
                await client.chunk(b"x" * 2**20)
    return False


def _error(status: int, message: str, kind: str) -> Body:
    return {"error": {"code": status, "message": message, "type": kind}}


def _choice(event: Body) -> Body:
    return cast("list[Body]", event["choices"])[0]


def _said(body: Body) -> str:
    """The words of the last message."""
    content = cast("list[Body]", body["messages"])[-1].get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content)
    return str(content)


def _fault(body: Body) -> str:
    return str(body.get("model")).partition("fault:")[2]


def _wants_call(body: Body) -> bool:
    quiet = body.get("tool_choice") == "none" or _said(body).startswith("no tool")
    return bool(body.get("tools")) and not quiet and _fault(body) not in ("no-call", "empty-calls", "tags")


def _called(body: Body) -> Body:
    """The first tool, or the one chosen, called with the words said."""
    tools, choice = cast("list[Body]", body["tools"]), body.get("tool_choice", "auto")
    function = cast("Body", tools[0]["function"])
    name = cast("Body", choice["function"])["name"] if isinstance(choice, dict) else function["name"]
    return {"name": "other" if _fault(body) == "wrong-call" else name, "arguments": {"text": _said(body)}}


def _calls(body: Body) -> list[Body]:
    """With tools, and not told otherwise, it calls one."""
    fault = _fault(body)
    if not _wants_call(body) or fault == "leaked-call":
        return []
    call = _called(body)
    arguments = repr(call["arguments"]) if fault == "python-call" else json.dumps(call["arguments"])
    named = {"type": "function", "function": {"name": call["name"], "arguments": arguments}}
    if fault == "bare-call":
        return [named]
    return [{"id": f"call_{number}", **named} for number in range(1, 3 if fault == "same-number" else 2)]


def _answer_words(body: Body) -> list[str]:
    if _fault(body) == "leaked-call" and _wants_call(body):
        text = f"I call. <tool_call>\n{json.dumps(_called(body))}\n</tool_call>"
        return [text[k : k + 5] for k in range(0, len(text), 5)]
    if _fault(body) == "tags":
        return ["<thi", "nk>Hm", ".</think>", "\n\nYes"]
    if isinstance(body.get("response_format"), dict) and cast("Body", body["response_format"])["type"] != "text":
        return ['{"answer": ', '"yes"', "}"]
    return [f"{word} " for word in f"You said: {_said(body)}".split()][: _limit(body)]


def _limit(body: Body) -> int:
    """Words that may be said; each counts as a token."""
    return cast("int", body.get("max_tokens") or 10**6)


def _reason(body: Body) -> str:
    """Why an answer without calls ends."""
    return "length" if len(_answer_words(body)) >= _limit(body) else "stop"


def _last_reason(body: Body, calls: list[Body]) -> str:
    """Why an answer ends."""
    return "tool_calls" if calls and _fault(body) != "bare-call" else _reason(body)


def _cost(body: Body) -> Body:
    prompt, made = len(_said(body).split()) + 5, len(_answer_words(body))
    details = {"cached_tokens": 2}
    return {
        "prompt_tokens": prompt,
        "completion_tokens": made,
        "total_tokens": prompt + made,
        "prompt_tokens_details": details,
    }


def whole_answer(body: Body) -> Body:
    """A chat completion."""
    calls = _calls(body)
    message: Body = {"role": "assistant", "content": None if calls else "".join(_answer_words(body))}
    if body.get("reasoning_effort"):
        message["reasoning_content"] = "Let me think. "
    if calls:
        message["tool_calls"] = calls
    if not calls and _fault(body) == "empty-calls":
        message["tool_calls"] = []
    reason = _last_reason(body, calls)
    choices = [
        {"index": k, "message": message, "finish_reason": reason} for k in range(cast("int", body.get("n") or 1))
    ]
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "created": 1,
        "model": body.get("model"),
        "choices": choices,
        "usage": _cost(body),
        "timings": {"cache_n": 2, "prompt_n": 3, "predicted_n": 4, "predicted_per_second": 123.5},
    }


def streamed_answer(body: Body) -> Iterator[Body]:
    """The chunks of the same answer."""
    base: Body = {
        "id": "chatcmpl-fake",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": body.get("model"),
    }

    def chunk(index: int, delta: Body, reason: str | None = None) -> Body:
        return {**base, "choices": [{"index": index, "delta": delta, "finish_reason": reason}]}

    calls = _calls(body)
    for index in range(cast("int", body.get("n") or 1)):
        yield chunk(index, {"role": "assistant", "content": None})
        if body.get("reasoning_effort"):
            yield chunk(index, {"reasoning_content": "Let me "})
            yield chunk(index, {"reasoning_content": "think. "})
        for call in calls:
            function = cast("Body", call["function"])
            text = cast("str", function["arguments"])
            yield chunk(index, {"tool_calls": [{**call, "index": 0, "function": {**function, "arguments": ""}}]})
            again: Body = {"name": ""} if _fault(body) == "bare-call" else {}
            for piece in (text[:5], text[5:]):
                yield chunk(index, {"tool_calls": [{"index": 0, "function": {"arguments": piece, **again}}]})
        more: Body = {"tool_calls": []} if _fault(body) == "empty-calls" else {}
        for word in () if calls else _answer_words(body):
            yield chunk(index, {"content": word, **more})
        yield chunk(index, {}, _last_reason(body, calls))
    options = body.get("stream_options")
    if isinstance(options, dict) and options.get("include_usage"):
        timings = {"cache_n": 2, "prompt_n": 3, "predicted_n": 4, "predicted_per_second": 123.5}
        yield {**base, "choices": [], "usage": _cost(body), "timings": timings}


def _text(body: Body, text: str, reason: str | None) -> Body:
    """A text completion, or a piece of one; every prompt has one of each number."""
    prompt = body["prompt"]
    prompts = len(prompt) if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int) else 1
    each = cast("int", body.get("n") or 1)
    choices = [{"index": k, "text": text, "finish_reason": reason} for k in range(prompts * each)]
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    head = {"id": "cmpl-fake", "object": "text_completion", "created": 1, "model": body.get("model")}
    return {**head, "choices": choices, **({"usage": usage} if reason else {})}


def _embeddings(body: Body, fault: str) -> Body:
    given = body["input"]
    texts = given if isinstance(given, list) else [given]
    data: list[Body] = []
    for index, text in enumerate(texts):
        vector = [float(len(str(text))), float(index), 0.5]
        if fault == "uneven-vectors" and index:
            vector.append(1.0)
        packed = b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
        encoded: object = packed if body.get("encoding_format") == "base64" else vector
        data.append({"object": "embedding", "index": index, "embedding": encoded})
    if fault == "short-vectors":
        data.pop()
    if fault == "shuffled-vectors":
        data.reverse()
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    return {"object": "list", "model": body.get("model"), "data": data, "usage": usage}


@asynccontextmanager
async def fake_openai(key: str = "", models: Sequence[Body] = (), pace: float = 0.0) -> AsyncIterator[FakeOpenAI]:
    """A `FakeOpenAI` that runs while the `async with` lasts."""
    fake = FakeOpenAI(key, models, pace)
    async with fake.server:
        yield fake


async def _main(port: int) -> None:
    fake = FakeOpenAI()
    fake.server = ByteServer(fake._serve, port=port)
    async with fake.server:
        sys.stdout.write(f"{fake.url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(_main(parser.parse_args().port))
