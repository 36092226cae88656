"""One streamed answer in a language made up here, over real connections."""

from __future__ import annotations

import pytest
from tests.fakes.byte_server import ByteServer, Handle, always, answer

from lmbridge.clients.event_stream import EventStream, whole
from lmbridge.clients.http import HTTPClient, Response
from lmbridge.core.errors import BridgeError, BrokenAnswer, WrongModel
from lmbridge.core.events import Started
from lmbridge.core.models import Endpoint

EVENTS = "content-type: text/event-stream"


class Words:
    """A language of words in data lines; `who NAME` tells who answers, and `end` ends an answer."""

    def __init__(self) -> None:
        self.done = False

    def feed(self, data: bytes) -> list[object]:
        words = [line.removeprefix("data: ") for line in data.decode().split("\n") if line.startswith("data")]
        self.done = self.done or "end" in words
        return [Started("p", word[4:]) if word.startswith("who") else word for word in words if word != "end"]

    def close(self) -> list[object]:
        if not self.done:
            raise BrokenAnswer("p", "no end")
        return ["over"]

    def whole(self, data: bytes) -> list[object]:
        return [data.decode()]


class Asker:
    """A client of that language."""

    provider = "p"

    def __init__(self, http: HTTPClient) -> None:
        self._http = http

    async def post(self, endpoint: Endpoint, route: str, body: bytes) -> Response:
        return await self._http.request("POST", endpoint.url + route, body=body)


async def told(handle: Handle, *, also: tuple[str, ...] = (), most: int = 99) -> list[object]:
    """The events of an answer; an error is the last one."""
    async with ByteServer(handle) as server, HTTPClient() as http:
        endpoint = Endpoint(server.url, (), "m", also)
        stream: EventStream[object] = EventStream(Asker(http), endpoint, b"{}", "/x", Words)
        assert stream.decoder is None
        got: list[object] = []
        try:
            async with stream as events:
                assert isinstance(stream.decoder, Words)
                async for event in events:
                    got.append(event)
                    if len(got) == most:
                        break
        except BridgeError as error:
            got.append(type(error))
        assert [event async for event in stream] == []
        return got


async def test_events_come_in_their_order_and_the_last_ones_at_the_end() -> None:
    assert await told(always(answer(b"data: a\ndata: b\ndata: end\n", EVENTS))) == ["a", "b", "over"]


async def test_who_leaves_gets_nothing_more() -> None:
    assert await told(always(answer(b"data: a\ndata: b\ndata: end\n", EVENTS)), most=1) == ["a"]


@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
async def test_a_stream_is_recognised_whatever_it_is_called(kind: str) -> None:
    body = b"\ndata: a\ndata: end\n"
    assert await told(always(answer(body, f"content-type: {kind}"))) == ["a", "over"]


async def test_an_answer_that_is_no_stream_is_read_whole_without_its_mark() -> None:
    assert await told(always(answer(b'\xef\xbb\xbf{"a": 1}', "content-type: application/json"))) == ['{"a": 1}']


async def test_an_answer_by_another_model_is_an_error() -> None:
    named = always(answer(b"data: who other\ndata: end\n", EVENTS))
    assert await told(named) == [Started("p", "other"), "over"]
    assert await told(named, also=("mine",)) == [WrongModel]


async def test_an_answer_without_its_end_is_an_error() -> None:
    assert await told(always(answer(b"data: a\n", EVENTS))) == ["a", BrokenAnswer]


async def test_a_body_is_read_without_the_mark_before_it() -> None:
    async with ByteServer(always(answer(b"\xef\xbb\xbf{}"))) as server, HTTPClient() as http:
        assert await whole(await http.request("GET", server.url)) == b"{}"
