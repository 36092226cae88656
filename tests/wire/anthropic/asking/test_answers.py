from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.anthropic_server import streamed_message, whole_message

from lmbridge.core.errors import BridgeError, BrokenAnswer, ProviderRefused
from lmbridge.core.events import (
    Event,
    Finished,
    ReasoningDelta,
    Started,
    TextDelta,
    Timings,
    ToolCallDelta,
    Usage,
)
from lmbridge.wire.anthropic.asking.answers import MessageEventDecoder, decode_count

Body = dict[str, object]

TOOLS = [{"name": name, "input_schema": {"type": "object"}} for name in ("one", "two")]


def asked(words: str = "hello world", **more: object) -> Body:
    return {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": words}], **more}


def stream(*events: Body) -> bytes:
    return b"".join(
        b"event: %s\ndata: %s\n\n" % (str(event["type"]).encode(), json.dumps(event).encode()) for event in events
    )


def told(data: bytes, clock: Callable[[], float] = lambda: 0.0) -> list[Event]:
    decoder = MessageEventDecoder("p", clock, 0.0)
    events = decoder.feed(data)
    return events + decoder.close()


def start(**usage: int) -> Body:
    return {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 7, **usage}}}


def block(index: int, kind: str, **more: object) -> Body:
    return {"type": "content_block_start", "index": index, "content_block": {"type": kind, **more}}


def piece(index: int, kind: str, **more: object) -> Body:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **more}}


def end(reason: object = "end_turn", **usage: object) -> Body:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 3, **usage}}


STOP: Body = {"type": "message_stop"}
FRAMES = [
    stream(start()),
    stream(block(0, "text")),
    stream(block(1, "tool_use", id="t", name="n", input={"a": [1]})),
    stream(piece(0, "text_delta", text="x")),
    stream(piece(1, "input_json_delta", partial_json="{")),
    stream({"type": "content_block_stop", "index": 1}),
    stream(end()),
    stream(STOP),
    stream({"type": "error", "error": {"type": 7, "message": None, "details": {"error_code": "cancelled"}}}),
]


@given(
    cuts=st.lists(st.integers(0, 2000)),
    body=st.sampled_from(
        [
            asked(),
            asked("größer als 中文"),
            asked("both", tools=TOOLS),
            asked(thinking={"type": "adaptive"}),
        ]
    ),
)
def test_any_split_of_the_bytes_gives_the_same_events(cuts: list[int], body: Body) -> None:
    data = stream(*streamed_message(body))
    decoder, edges = (
        MessageEventDecoder("p", lambda: 0.0, 0.0),
        sorted({0, len(data), *(c % len(data) for c in cuts)}),
    )
    got = [event for a, b in pairwise(edges) for event in decoder.feed(data[a:b])]
    assert got + decoder.close() == told(data)


@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from(FRAMES)), max_size=8))
def test_whatever_comes_is_events_or_an_error_of_ours(pieces: list[bytes]) -> None:
    decoder = MessageEventDecoder("p")
    with suppress(BridgeError):
        for part in pieces:
            decoder.feed(part)
        decoder.close()


def test_an_answer_is_told_with_what_it_cost() -> None:
    events = told(stream(*streamed_message(asked())))
    assert events[0] == Started("p", "m", 7)
    assert events[1:-1] == [TextDelta(f"{word} ") for word in ("You", "said:", "hello", "world")]
    assert events[-1] == Finished("stop", Usage(7, 4, 2), Timings(0.0, 0.0))


def test_thoughts_are_apart_and_their_signature_is_skipped() -> None:
    events = told(stream(*streamed_message(asked(thinking={"type": "adaptive"}))))
    assert events[1:4] == [ReasoningDelta("Let me "), ReasoningDelta("think. "), TextDelta("You ")]


def test_calls_are_numbered_by_themselves_whatever_blocks_are_before_them() -> None:
    events = told(stream(*streamed_message(asked("both", tools=TOOLS, thinking={"type": "adaptive"}))))
    calls = [event for event in events if isinstance(event, ToolCallDelta)]
    assert calls == [
        ToolCallDelta(0, "toolu_1", "one"),
        ToolCallDelta(0, arguments='{"tex'),
        ToolCallDelta(0, arguments='t": "both"}'),
        ToolCallDelta(1, "toolu_2", "two"),
        ToolCallDelta(1, arguments='{"tex'),
        ToolCallDelta(1, arguments='t": "both"}'),
    ]
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "tool_calls"


def test_a_call_without_input_has_an_empty_object() -> None:
    events = told(stream(*streamed_message(asked("bare", tools=TOOLS))))
    assert events[1:3] == [ToolCallDelta(0, "toolu_1", "one"), ToolCallDelta(0, arguments="{}")]


def test_what_a_block_begins_with_is_told() -> None:
    begun = [
        block(0, "thinking", thinking="Hm"),
        block(1, "text", text="Yes"),
        block(2, "tool_use", id="t", name="one", input={"a": 1}),
    ]
    assert told(stream(start(), *begun, end(), STOP))[1:-1] == [
        ReasoningDelta("Hm"),
        TextDelta("Yes"),
        ToolCallDelta(0, "t", "one", '{"a":1}'),
    ]


def test_what_is_not_known_is_skipped() -> None:
    news: list[Body] = [
        {"type": "ping"},
        {"type": "news", "delta": {"type": "text_delta", "text": "x"}},
        block(0, "server_tool_use", id="s", name="web_search"),
        piece(0, "input_json_delta", partial_json="{}"),
        block(1, "text"),
        piece(1, "citations_delta", citation={}),
        piece(1, "text_delta", text=""),
        piece(1, "thinking_delta", thinking=""),
        {"type": "content_block_start", "index": 2},
        {"type": "content_block_delta", "index": 2},
    ]
    assert told(stream({"type": "ping"}, start(), *news, end(), STOP))[1:-1] == []


@pytest.mark.parametrize(
    ("reason", "core"),
    [
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("pause_turn", "pause_turn"),
    ],
)
def test_why_it_ended_is_said_in_core_s_words(reason: str, core: str) -> None:
    last = told(stream(start(), end(reason), STOP))[-1]
    assert isinstance(last, Finished)
    assert last.reason == core


def test_later_counts_replace_earlier_ones_and_cached_tokens_are_part_of_the_prompt() -> None:
    usage = {"cache_read_input_tokens": 90, "output_tokens_details": {"thinking_tokens": 2}}
    last = told(stream(start(cache_creation_input_tokens=10), end(**usage), end(), STOP))[-1]
    assert isinstance(last, Finished)
    assert last.usage == Usage(107, 3, 90, 2)


@pytest.mark.parametrize("usage", [{"input_tokens": 0}, {"input_tokens": None}])
def test_what_nobody_counted_is_no_usage(usage: Body) -> None:
    began: Body = {"type": "message_start", "message": {"usage": usage}}
    events = told(stream(began, end(), STOP))
    assert events[0] == Started("p", "")
    assert isinstance(events[-1], Finished)
    assert events[-1].usage is None


def test_a_start_that_tells_nothing_is_enough() -> None:
    events = told(
        stream({"type": "message_start"}, {"type": "message_delta", "delta": {"stop_reason": "x"}}, STOP)
    )
    assert events == [Started("p", ""), Finished("x", None, Timings(0.0, 0.0))]


def test_speed_is_measured() -> None:
    ticks = count(1)
    last = told(stream(*streamed_message(asked())), lambda: float(next(ticks)))[-1]
    assert isinstance(last, Finished)
    assert last.timings == Timings(1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([start(), block(0, "text"), piece(0, "text_delta", text="x")], "ended before the answer"),
        ([start(), end()], "ended before the answer"),
        ([start(), STOP], "ended without a reason"),
        ([start(), end(None), STOP], "ended without a reason"),
        ([start(), {"type": "message_delta"}, STOP], "ended without a reason"),
        ([start(), start()], "begins twice"),
        ([piece(0, "text_delta", text="x")], "it begins with 'content_block_delta'"),
        ([start(), piece(0, "text_delta", text="x")], "block 0 goes on and has not begun"),
        ([start(), block(0, "text"), block(0, "text")], "block 0 begins twice"),
        ([start(), block(0, "tool_use", id="t")], "a call of it has no name"),
        ([start(), block(-1, "text")], "index"),
        ([start(), block(0, "text"), piece(0, "text_delta", text=7)], "str"),
        ([start(input_tokens=-1)], "input_tokens"),
        ([], "ended before the answer"),
    ],
)
def test_what_breaks_the_protocol_is_a_broken_answer(events: list[Body], reason: str) -> None:
    with pytest.raises(BrokenAnswer, match=reason):
        told(stream(*events))


@pytest.mark.parametrize(
    "data", [b"<html>", b'{"type":"ping","delta":{"text":"\xe2\x82"}}', b"[" * 100_000, b"{}"]
)
def test_an_event_that_cannot_be_read_is_a_broken_answer(data: bytes) -> None:
    with pytest.raises(BrokenAnswer):
        MessageEventDecoder("p").feed(b"data: " + data + b"\n\n")


def test_an_error_in_the_stream_comes_after_what_was_there() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    decoder = MessageEventDecoder("p")
    assert decoder.feed(stream(start(), error)) == [Started("p", "m", 7)]
    assert decoder.done
    with pytest.raises(ProviderRefused, match="Overloaded") as caught:
        decoder.close()
    assert caught.value.status == 503


def test_an_error_of_another_shape_is_told_too() -> None:
    with pytest.raises(ProviderRefused, match="Overloaded"):
        MessageEventDecoder("p").feed(b'data: {"error": {"type": "x", "message": "Overloaded"}}\n\n')


def test_a_whole_message_gives_the_events_of_a_stream() -> None:
    for body in (
        asked(),
        asked("both", tools=TOOLS),
        asked("bare", tools=TOOLS),
        asked(thinking={"type": "adaptive"}),
    ):
        whole = MessageEventDecoder("p", lambda: 0.0, 0.0).whole(json.dumps(whole_message(body)).encode())
        assert _joined(whole) == _joined(told(stream(*streamed_message(body))))


def _joined(events: list[Event]) -> list[object]:
    """What was said, however it was cut."""
    said = "".join(e.text for e in events if isinstance(e, TextDelta))
    thought = "".join(e.text for e in events if isinstance(e, ReasoningDelta))
    calls: dict[int, str] = {}
    for event in events:
        if isinstance(event, ToolCallDelta):
            calls[event.call] = calls.get(event.call, "") + event.name + event.arguments
    return [
        events[0],
        said,
        thought,
        {number: text.replace('": "', '":"') for number, text in calls.items()},
        events[-1],
    ]


@pytest.mark.parametrize("body", [b"{}", b'{"content": []}', b'{"content": 5}', b"<html>"])
def test_a_whole_answer_that_is_no_message_is_broken(body: bytes) -> None:
    with pytest.raises(BrokenAnswer):
        MessageEventDecoder("p").whole(body)


def test_an_error_instead_of_a_whole_message_is_one() -> None:
    with pytest.raises(ProviderRefused, match="no"):
        MessageEventDecoder("p").whole(b'{"type": "error", "error": {"type": "api_error", "message": "no"}}')


def test_counted_tokens_are_a_number() -> None:
    assert decode_count(b'{"input_tokens": 12}', "p") == 12
    for bad in (b"{}", b'{"input_tokens": -1}', b'{"input_tokens": "x"}'):
        with pytest.raises(BrokenAnswer):
            decode_count(bad, "p")
