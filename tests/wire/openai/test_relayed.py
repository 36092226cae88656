from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.openai_server import streamed_answer

from lmbridge.core.errors import BridgeError, BrokenAnswer, ProviderRefused
from lmbridge.core.events import Usage
from lmbridge.wire.openai.relayed import (
    ChatAnswer,
    ChatPiece,
    RelayedEvents,
    TextAnswer,
    TextPiece,
    VectorAnswer,
    check,
)
from lmbridge.wire.sse import MAX_EVENT

PIECE = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
DONE = b"data: [DONE]\n\n"


def event(body: object) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


STREAMED = [
    event(chunk)
    for chunk in streamed_answer(
        {
            "model": "m",
            "messages": [{"role": "user", "content": 'say "usage":{ and [DONE] and data: twice\n\ndata: x'}],
            "stream_options": {"include_usage": True},
        }
    )
]


def chat(**message: object) -> bytes:
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        (ChatAnswer, chat(role="assistant", content=None, vendor={"a": [1]})),
        (ChatAnswer, b'{"choices":[{"message":{},"logprobs":{"content":null}}],"created":1.5,"error":null}'),
        (ChatAnswer, chat(tool_calls=[{"id": "a", "type": "function", "function": {"name": "b"}}])),
        (TextAnswer, b'{"choices":[{"text":"a"}],"usage":{"prompt_tokens":1}}'),
        (VectorAnswer, b'{"data":[{"embedding":[0,1.5]},{"embedding":"AAAA","index":1}]}'),
        (ChatPiece, b'{"choices":[]}'),
        (ChatPiece, b"{}"),
        (TextPiece, b'{"choices":[{"text":null}]}'),
    ],
)
def test_what_servers_leave_out_or_add_is_no_fault(
    shape: type[ChatAnswer | ChatPiece | TextAnswer | TextPiece | VectorAnswer], body: bytes
) -> None:
    assert check(body, shape, "p")


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        (ChatAnswer, b"<html>"),
        (ChatAnswer, b"{}"),
        (ChatAnswer, b'{"choices":[]}'),
        (ChatAnswer, b'{"choices":[{"message":null}]}'),
        (ChatAnswer, chat(content=7)),
        (ChatAnswer, chat(content=[])),
        (ChatAnswer, chat(tool_calls=[{"function": {"arguments": {}}}])),
        (ChatAnswer, b'{"choices":[{"message":{"vendor":"\xff"}}]}'),
        (ChatAnswer, b'{"choices":[{"message":{"content":"\\ud800"}}]}'),
        (ChatAnswer, b'{"choices":[{"message":{"vendor":' + b"[" * 100_000),
        (ChatAnswer, b'{"choices":[{"message":{}}],"created":1e400}'),
        (ChatAnswer, b'{"choices":[{"message":{}}],"usage":{"prompt_tokens":"many"}}'),
        (ChatPiece, b'{"choices":[{"delta":null}]}'),
        (ChatPiece, b'{"choices":[{"delta":{},"index":-1}]}'),
        (TextAnswer, b'{"choices":[{"text":7}]}'),
        (VectorAnswer, b'{"data":[]}'),
        (VectorAnswer, b'{"data":[{"embedding":[NaN]}]}'),
        (VectorAnswer, b'{"data":[{"embedding":[1e400]}]}'),
        (VectorAnswer, b'{"data":[{"embedding":["a"]}]}'),
    ],
)
def test_what_clients_would_fall_over_is_a_broken_answer(
    shape: type[ChatAnswer | ChatPiece | TextAnswer | VectorAnswer], body: bytes
) -> None:
    with pytest.raises(BrokenAnswer):
        check(body, shape, "p")


@pytest.mark.parametrize("body", [b'{"error":"no","choices":[{"delta":{}}]}', b'{"error":"no","choices":7}'])
def test_an_error_is_known_whatever_stands_beside_it(body: bytes) -> None:
    with pytest.raises(ProviderRefused, match="no"):
        check(body, ChatPiece, "p")


def test_good_events_pass_as_they_are() -> None:
    events = RelayedEvents(ChatPiece, "p")
    for piece in (PIECE, b": comment\n\n", b"event: x\r\nid: 7\r\n" + PIECE, b"", b"data: {\ndata: }\n\n", DONE):
        assert events.feed(piece) == (piece, None)
    assert events.ended


@pytest.mark.parametrize(
    "odd",
    [
        b'data: {"choices":[]\n}\n\n',
        b'data: {"choices":[]\r}\n\n',
        b'data: {"choices":[{"delta":{"vendor":"\xff"}}]}\n\n',
        b'data: {"error":"no"}\n\n',
    ],
)
def test_the_quick_look_lets_nothing_pass_that_a_closer_one_would_not(odd: bytes) -> None:
    passed, error = RelayedEvents(ChatPiece, "p").feed(odd)
    assert passed == b""
    assert isinstance(error, BridgeError)


@given(st.lists(st.integers(0, len(STREAMED))))
def test_any_grouping_of_the_events_tells_the_same(cuts: list[int]) -> None:
    events = RelayedEvents(ChatPiece, "p")
    for begin, end in pairwise(sorted({0, *cuts, len(STREAMED)})):
        piece = b"".join(STREAMED[begin:end])
        assert events.feed(piece) == (piece, None)
    assert events.finished
    assert events.usage is not None
    assert events.usage.cached_tokens == 2
    assert events.feed(DONE) == (DONE, None)
    assert events.ended


def test_a_stream_cut_off_has_not_finished() -> None:
    events = RelayedEvents(ChatPiece, "p")
    for piece in STREAMED[:3]:
        events.feed(piece)
    assert (events.ended, events.finished, events.usage) == (False, False, None)


def test_the_last_counts_count() -> None:
    def counted(tokens: int) -> bytes:
        return event({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": tokens}})

    events = RelayedEvents(ChatPiece, "p")
    for piece in (counted(1), counted(2), event({"usage": None}), event({"timings": {}})):
        events.feed(piece)
    assert events.usage == Usage(1, 2)


def test_what_comes_before_a_wrong_event_passes() -> None:
    for wrong in (b"data: <html>\n\n", b"data: []\n\n", b'data: {"choices":[{"delta":7}]}\r\n\r\n'):
        passed, error = RelayedEvents(ChatPiece, "p").feed(PIECE + b": comment\n\n" + wrong + PIECE)
        assert passed == PIECE + b": comment\n\n"
        assert isinstance(error, BrokenAnswer)


@pytest.mark.parametrize(
    "told",
    [
        b'data: {"error":{"message":"no more"}}\n\n',
        b'error: {"error":{"message":"no more"}}\n\n',
        b'event: error\ndata: {"message":"no more"}\n\n',
    ],
)
def test_an_error_is_told_in_every_form_that_servers_have_for_it(told: bytes) -> None:
    passed, error = RelayedEvents(TextPiece, "p").feed(b"data: {}\n\n" + told)
    assert passed == b"data: {}\n\n"
    assert isinstance(error, ProviderRefused)
    assert error.message == "no more"


def test_a_text_about_an_error_is_none() -> None:
    piece = b'data: {"choices":[{"delta":{"content":"error: {"}}]}\n\n'
    assert RelayedEvents(ChatPiece, "p").feed(PIECE + piece) == (PIECE + piece, None)


def test_what_says_nothing_and_what_follows_the_end_is_dropped() -> None:
    events = RelayedEvents(ChatPiece, "p")
    assert events.feed(b"data: null\n\n" + PIECE) == (PIECE, None)
    assert events.feed(PIECE + DONE + PIECE + DONE) == (PIECE + DONE, None)
    assert events.feed(PIECE) == (b"", None)


def test_an_event_without_end_is_an_error() -> None:
    passed, error = RelayedEvents(ChatPiece, "p").feed(PIECE + b"data: " + b"x" * (MAX_EVENT + 1) + b"\n\n")
    assert passed == PIECE
    assert isinstance(error, BrokenAnswer)


@given(st.lists(st.sampled_from([PIECE, DONE, b"\n\n", b"\r\n\r\n", b"data:", b"error:", b"\r", b"\xff", b"{}"])))
def test_any_bytes_are_survived_and_only_good_events_pass(pieces: list[bytes]) -> None:
    passed, error = RelayedEvents(ChatPiece, "p").feed(b"".join(pieces) + b"\n\n")
    assert error is None or isinstance(error, BridgeError)
    again = RelayedEvents(ChatPiece, "p").feed(passed)
    assert again == (passed, None)
