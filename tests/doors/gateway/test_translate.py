"""Answers in a language that the endpoint does not speak: a plain one made up here, over the fake server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct
from tests.doors.gateway.asking import Running, running, until
from tests.fakes.openai_server import FAULTS, FakeOpenAI

from lmbridge.core.errors import BridgeError
from lmbridge.core.events import Answer, Event, Finished, Started, TextDelta
from lmbridge.core.requests import ChatRequest
from lmbridge.core.turns import Facts, Wait
from lmbridge.doors.gateway import GatewaySettings
from lmbridge.doors.gateway.asgi import Request
from lmbridge.doors.gateway.family import Family
from lmbridge.doors.gateway.routes import Route
from lmbridge.doors.gateway.translate import Ask, Translator
from lmbridge.providers.openai import OpenAIProvider


class Plain:
    """One answer in our own language."""

    media = b"text/x-plain"

    def __init__(self, eager: bool) -> None:
        self.eager = eager

    def waiting(self, wait: Wait) -> bytes:
        return f"({wait.phase})".encode()

    def feed(self, event: Event) -> bytes:
        match event:
            case Started(model=model):
                return f"{model}: ".encode()
            case TextDelta(text=text):
                return text.encode()
            case Finished(reason=reason):
                return f" [{reason}]".encode()
            case _:
                return b""

    def close(self, answer: Answer, facts: Facts) -> bytes:
        return f" / {facts.name}, {len(answer.text)} characters".encode()

    def whole(self, answer: Answer, facts: Facts) -> bytes:
        assert facts.first_event_s <= facts.total_s
        return msgspec.json.encode({"text": answer.text, "model": facts.name})


class PlainBody(Struct):
    """What is asked."""

    text: str
    model: str = "m"
    stream: bool = False
    eager: bool = False


def write(error: BridgeError) -> bytes:
    return error.code.encode()


def last(error: BridgeError) -> bytes:
    return f" !{error.code}".encode()


class Door:
    """A door in our own language, put into a gateway."""

    def __init__(self, up: Running, heartbeat_s: float) -> None:
        self._translator = Translator(up.hub, heartbeat_s)
        self.kept: list[tuple[Answer, Facts]] = []
        family = Family("plain", write, last)
        route = Route(self.answer, "Answer plainly.", family=family, asks=PlainBody)
        paths: dict[str, dict[str, Route]] = {"/plain": {"POST": route}}
        up.gateway.routes.update(paths)  # type: ignore[attr-defined]

    async def answer(self, request: Request) -> None:
        body = msgspec.json.decode(await request.body(1000), type=PlainBody)
        ask = Ask(chat=ChatRequest(body.model, body.text), route="plain", stream=body.stream)
        await self._translator.answer(request, ask, Plain(body.eager), self.keep)

    async def keep(self, answer: Answer, facts: Facts) -> None:
        self.kept.append((answer, facts))


@pytest.fixture
async def plain(door: Running) -> Door:
    return Door(door, 10)


async def test_a_whole_answer_is_written_in_the_callers_language(door: Running, plain: Door) -> None:
    got = await door.post("/plain", {"text": "Hello", "model": "fake-chat"})
    assert got.status == 200
    assert got.json == {"text": "You said: Hello ", "model": "fake-chat"}
    assert plain.kept[0][0].text == "You said: Hello "


async def test_a_stream_is_written_in_the_callers_language(door: Running, plain: Door) -> None:
    got = await door.post("/plain", {"text": "Hello", "model": "fake-chat", "stream": True})
    assert got.headers["content-type"] == "text/x-plain"
    assert got.body.decode() == "fake-chat: You said: Hello  [stop] / fake-chat, 16 characters"
    assert plain.kept


async def test_an_eager_stream_tells_of_the_wait_first(door: Running, plain: Door) -> None:
    got = await door.post("/plain", {"text": "Hello", "model": "fake-chat", "stream": True, "eager": True})
    waits, _, said = got.body.decode().rpartition(")")
    assert list(dict.fromkeys(f"{waits})".replace(")", ") ").split())) == ["(queued)", "(loading)", "(prompt)"]
    assert said.startswith("fake-chat: You said")


async def test_what_is_translated_is_counted_like_what_is_relayed(door: Running, plain: Door) -> None:
    for stream in (False, True):
        await door.post("/plain", {"text": "Hello", "model": "fake-chat", "stream": stream})
    (tally,) = door.hub.activity.tallies
    assert (tally.route, tally.door, tally.requests, tally.in_flight) == ("plain", "plain", 2, 0)
    assert tally.completion_tokens
    assert tally.first_event.count == 2


@pytest.fixture
def faulty(upstream: FakeOpenAI) -> None:
    """The fake server lists its misbehaving models too."""
    upstream.models = [{"id": f"fault:{fault}", "object": "model"} for fault in FAULTS]


FAILING = {
    "cut": "broken_answer",
    "torn": "broken_answer",
    "garbage": "broken_answer",
    "wrong-types": "broken_answer",
    "no-finish": "broken_answer",
    "error-event": "provider_refused",
    "huge-line": "broken_answer",
}


@pytest.mark.parametrize(("fault", "code"), FAILING.items())
async def test_a_stream_that_breaks_ends_with_an_error_in_the_callers_language(
    faulty: None, door: Running, plain: Door, fault: str, code: str
) -> None:
    got = await door.post("/plain", {"text": "Hello", "model": f"fault:{fault}", "stream": True})
    assert got.body.decode().endswith(f" !{code}") or (got.status >= 400 and got.body.decode() == code)
    assert not plain.kept


REFUSALS = ("provider_refused", "broken_answer", "context_length_exceeded", "provider_unavailable")


@pytest.mark.parametrize("fault", ["500", "not-http", "hangup", "context", "429"])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_before_the_first_word_keeps_its_status_and_the_callers_form(
    faulty: None, door: Running, plain: Door, fault: str, stream: bool
) -> None:
    got = await door.post("/plain", {"text": "Hello", "model": f"fault:{fault}", "stream": stream})
    assert got.status >= 400
    assert got.body.decode() in (
        "provider_refused",
        "broken_answer",
        "context_length_exceeded",
        "provider_unavailable",
    )
    assert not plain.kept


@asynccontextmanager
async def asking(up: Running, body: dict[str, object]) -> AsyncIterator[asyncio.StreamReader]:
    """Ask, and leave at the end of the `async with`, whatever has come by then."""
    data = json.dumps(body)
    head = f"POST /plain HTTP/1.1\r\nhost: 127.0.0.1:{up.port}\r\ncontent-type: application/json\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
    try:
        writer.write(f"{head}content-length: {len(data)}\r\n\r\n{data}".encode())
        yield reader
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_silent_provider_is_waited_for_with_signs_of_life(
    faulty: None, provider: OpenAIProvider, tmp_path: Path
) -> None:
    async with running([provider], tmp_path, GatewaySettings(port=0, heartbeat_s=0.01)) as up:
        Door(up, 0.01)
        async with asking(up, {"text": "x", "model": "fault:mute", "stream": True}) as reader:
            await reader.readuntil(b"(prompt)")


async def test_a_caller_who_leaves_ends_the_work(upstream: FakeOpenAI, door: Running, plain: Door) -> None:
    upstream.pace = 0.02
    async with asking(door, {"text": "x " * 100, "model": "fake-chat", "stream": True}) as reader:
        await reader.readuntil(b"You")
    await until(lambda: upstream.left == 1)
    (tally,) = door.hub.activity.tallies
    await until(lambda: tally.cancelled == 1 and not tally.in_flight)
    assert not plain.kept
