from __future__ import annotations

import json
from itertools import pairwise
from typing import TypeAlias

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.errors import BrokenAnswer
from lmbridge.core.events import (
    AnswerBuilder,
    Event,
    Finished,
    PromptProgress,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from lmbridge.core.models import Endpoint, Instance, ModelInfo
from lmbridge.core.turns import Facts, Wait
from lmbridge.wire.anthropic.answers import PING, MessageEncoder
from lmbridge.wire.anthropic.events import EVENTS

Fields: TypeAlias = dict[str, object]

MODEL = ModelInfo("m", "p")
FACTS = Facts(
    model=MODEL, instance=Instance("k", MODEL, Endpoint("", (), "m")), name="m", first_event_s=0.1, total_s=1
)
STARTED = Started("p", "m")
STOP = Finished("stop", Usage(9, 3, 4))
DECODERS = {
    struct.__struct_config__.tag: msgspec.json.Decoder(struct) for struct in EVENTS
}  # an event must be one of those that the API's description tells of


def told(*events: Event, **options: object) -> bytes:
    """The stream of an answer."""
    encoder, builder = MessageEncoder("msg_1", **options), AnswerBuilder()  # type: ignore[arg-type]
    stream = b""
    for event in (STARTED, *events):
        builder.feed(event)
        stream += encoder.feed(event)
    return stream + encoder.close(builder.close(), FACTS)


def frames(stream: bytes) -> list[Fields]:
    """The data of each event, its name and shape checked."""
    found = []
    for frame in stream.decode().removesuffix("\n\n").split("\n\n"):
        name, data = frame.split("\n")
        fields = json.loads(data.removeprefix("data: "))
        assert name == f"event: {fields['type']}"
        DECODERS[fields["type"]].decode(data.removeprefix("data: "))
        found.append(fields)
    return found


def blocks(stream: bytes) -> list[Fields]:
    """The blocks a client puts together; each must stop before the next starts."""
    made: list[Fields] = []
    open_at: object = None
    for event in frames(stream):
        match event:
            case {"type": "content_block_start", "index": index, "content_block": dict(block)}:
                assert open_at is None
                assert index == len(made)
                open_at = index
                made.append({**block, "json": ""} if block["type"] == "tool_use" else dict(block))
            case {"type": "content_block_delta", "index": index, "delta": dict(delta)}:
                assert index == open_at
                for field in set(delta) - {"type"}:
                    name = "json" if field == "partial_json" else field
                    made[-1][name] = f"{made[-1][name]}{delta[field]}"
            case {"type": "content_block_stop", "index": index}:
                assert index == open_at
                open_at = None
            case _:
                pass
    assert open_at is None
    return made


def whole(*events: Event, **options: object) -> Fields:
    builder = AnswerBuilder()
    for event in (STARTED, *events):
        builder.feed(event)
    encoder = MessageEncoder("msg_1", **options)  # type: ignore[arg-type]
    answer = json.loads(encoder.whole(builder.close(), FACTS))
    assert isinstance(answer, dict)
    return answer


def call(number: int, arguments: str, name: str = "weather", call_id: str = "") -> list[Event]:
    """A call in two pieces."""
    half = len(arguments) // 2
    return [
        ToolCallDelta(number, call_id or f"c{number}", name, arguments[:half]),
        ToolCallDelta(number, arguments=arguments[half:]),
    ]


def test_a_stream_has_anthropics_events_in_their_order() -> None:
    assert told(TextDelta("Hel"), TextDelta("lo"), STOP).decode() == (
        "event: message_start\n"
        'data: {"type":"message_start","message":{"type":"message","id":"msg_1","role":"assistant","model":"m",'
        '"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,'
        '"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}\n\n'
        "event: content_block_start\n"
        'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
        "event: content_block_delta\n"
        'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}\n\n'
        "event: content_block_delta\n"
        'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"lo"}}\n\n'
        "event: content_block_stop\n"
        'data: {"type":"content_block_stop","index":0}\n\n'
        "event: message_delta\n"
        'data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":'
        '{"input_tokens":5,"cache_creation_input_tokens":0,"cache_read_input_tokens":4,"output_tokens":3}}\n\n'
        "event: message_stop\n"
        'data: {"type":"message_stop"}\n\n'
    )


def test_a_prompt_that_was_counted_before_the_answer_is_told_at_its_start() -> None:
    (start,) = frames(MessageEncoder("msg_1").feed(Started("p", "m", 9)))
    assert start["message"]["usage"]["input_tokens"] == 9  # type: ignore[index]


def test_an_answer_is_written_whole() -> None:
    assert whole(ReasoningDelta("hm"), TextDelta("Hello"), *call(0, '{"a": 1}'), STOP) == {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "model": "m",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": ""},
            {"type": "text", "text": "Hello"},
            {"type": "tool_use", "id": "toolu_c0", "name": "weather", "input": {"a": 1}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 5,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 4,
            "output_tokens": 3,
        },
    }


def test_thinking_is_a_block_of_its_own_that_ends_with_a_signature() -> None:
    stream = told(ReasoningDelta("h"), ReasoningDelta("m"), TextDelta("Hello"), STOP)
    assert blocks(stream) == [
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "text", "text": "Hello"},
    ]
    assert b'{"type":"signature_delta","signature":""}' in stream


def test_thinking_that_is_not_wanted_is_not_shown() -> None:
    events = (ReasoningDelta("hm"), TextDelta("Hello"), STOP)
    assert blocks(told(*events, thinking=False)) == [{"type": "text", "text": "Hello"}]
    assert whole(*events, thinking=False)["content"] == [{"type": "text", "text": "Hello"}]


def test_a_stream_that_says_nothing_has_no_blocks() -> None:
    assert blocks(told(TextDelta(""), STOP)) == []
    assert whole(STOP)["content"] == []


def test_further_choices_and_progress_are_no_part_of_the_message() -> None:
    other = (TextDelta("x", 1), ReasoningDelta("x", 1), ToolCallDelta(0, "a", "b", "{}", 1), PromptProgress(1, 2))
    assert told(*other, TextDelta("Hello"), STOP) == told(TextDelta("Hello"), STOP)


def test_a_sign_of_life_is_a_ping() -> None:
    assert MessageEncoder("msg_1").waiting(Wait("loading")) == PING
    assert frames(PING) == [{"type": "ping"}]


def test_an_answer_by_nobody_in_particular_is_by_who_was_asked() -> None:
    builder, encoder = AnswerBuilder(), MessageEncoder("msg_1", "asked")
    assert b'"model":"asked"' in encoder.feed(Started("p", ""))
    for event in (Started("p", ""), STOP):
        builder.feed(event)
    assert json.loads(encoder.whole(builder.close(), FACTS))["model"] == "asked"


@pytest.mark.parametrize(
    ("reason", "stop"),
    [("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "refusal"), ("eos", "end_turn")],
)
def test_why_it_ended_is_told(reason: str, stop: str) -> None:
    assert whole(TextDelta("x"), Finished(reason))["stop_reason"] == stop


def test_without_counts_there_are_zeros() -> None:
    assert whole(TextDelta("x"), Finished("stop"))["usage"] == {
        "input_tokens": 0,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 0,
    }


# ---- calls


def test_calls_are_blocks_that_follow_each_other() -> None:
    stream = told(TextDelta("I look."), *call(0, '{"a": 1}'), *call(1, ""), STOP)
    assert blocks(stream) == [
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "toolu_c0", "name": "weather", "input": {}, "json": '{"a": 1}'},
        {"type": "tool_use", "id": "toolu_c1", "name": "weather", "input": {}, "json": ""},
    ]
    assert b'"stop_reason":"tool_use"' in stream


@given(st.data())
def test_however_calls_are_mixed_each_becomes_one_block(data: st.DataObject) -> None:
    waiting = [call(n, json.dumps({"n": "x" * n}), f"t{n}") for n in range(data.draw(st.integers(1, 4)))]
    mixed: list[Event] = []
    expected = [{"n": "x" * n} for n in range(len(waiting))]
    while waiting := [pieces for pieces in waiting if pieces]:
        mixed.append(data.draw(st.sampled_from(waiting)).pop(0))
    made = blocks(told(*mixed, STOP))
    assert sorted((json.loads(str(block["json"])) for block in made), key=str) == sorted(expected, key=str)
    assert all(block["name"] == f"t{len(json.loads(str(block['json']))['n'])}" for block in made)


def test_a_call_whose_name_comes_late_waits_for_it() -> None:
    pieces = [
        ToolCallDelta(0, "a"),
        ToolCallDelta(0, arguments='{"x"'),
        ToolCallDelta(0, name="t", arguments=":1}"),
    ]
    assert blocks(told(*pieces, STOP))[0]["json"] == '{"x":1}'


def test_more_of_a_complete_call_is_a_broken_answer() -> None:
    with pytest.raises(BrokenAnswer):
        told(*call(0, "{}"), *call(1, "{}"), ToolCallDelta(0, arguments="{}"), STOP)
    assert len(blocks(told(*call(0, "{}"), *call(1, "{}"), ToolCallDelta(0, arguments="\n"), STOP))) == 2


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("abc", "toolu_abc"),
        ("toolu_x", "toolu_x"),
        ("", "toolu_1_0"),
        ("a\nb", "toolu_1_0"),
        ("x" * 200, "toolu_1_0"),
    ],
)
def test_ids_of_calls_have_anthropics_form(given: str, shown: str) -> None:
    events = (ToolCallDelta(0, given, "weather", "{}"), STOP)
    assert blocks(told(*events))[0]["id"] == shown
    (made,) = whole(*events)["content"]  # type: ignore[misc]
    assert made["id"] == shown


@pytest.mark.parametrize(
    "bad", [ToolCallDelta(0, "a", "t", '{"x"'), ToolCallDelta(0, "a", "t", "[1]"), ToolCallDelta(0, "a", "", "{}")]
)
def test_a_call_that_nobody_can_make_is_a_broken_answer(bad: ToolCallDelta) -> None:
    with pytest.raises(BrokenAnswer):
        told(bad, STOP)
    with pytest.raises(BrokenAnswer):
        whole(bad, STOP)


def test_a_call_that_was_cut_off_is_told_as_far_as_it_came_and_left_out_of_a_whole_answer() -> None:
    events = (*call(0, '{"a": 1}'), ToolCallDelta(1, "b", "t", '{"x"'), Finished("length"))
    stream = told(*events)
    assert blocks(stream)[1]["json"] == '{"x"'
    assert b'"stop_reason":"max_tokens"' in stream
    answer = whole(*events)
    assert [block["type"] for block in answer["content"]] == ["tool_use"]  # type: ignore[attr-defined]
    assert answer["stop_reason"] == "max_tokens"


# ---- answers that were begun


@given(st.lists(st.integers(0, 12)))
def test_what_was_begun_is_not_said_again_however_it_is_cut(cuts: list[int]) -> None:
    said = "Well, it is."
    edges = sorted({0, *cuts, len(said)})
    pieces = [TextDelta(said[a:b]) for a, b in pairwise(edges)]
    assert blocks(told(*pieces, STOP, begun="Well,")) == [{"type": "text", "text": " it is."}]
    assert whole(*pieces, STOP, begun="Well,")["content"] == [{"type": "text", "text": " it is."}]


@pytest.mark.parametrize("said", ["Welcome", "We", "x"])
def test_an_engine_that_says_only_what_is_new_loses_nothing(said: str) -> None:
    assert blocks(told(TextDelta(said), STOP, begun="Well,")) == [{"type": "text", "text": said}]


# ---- everything together


@given(
    st.lists(
        st.one_of(
            st.builds(TextDelta, st.text()),
            st.builds(ReasoningDelta, st.text()),
            st.integers(0, 2).map(lambda n: ToolCallDelta(n, "", "t" if n else "", "")),
        )
    )
)
def test_any_events_make_a_well_formed_stream_or_a_typed_error(events: list[Event]) -> None:
    try:
        made = blocks(told(*events, Finished("length")))
    except BrokenAnswer:
        return
    assert "".join(str(b["text"]) for b in made if b["type"] == "text") == "".join(
        e.text for e in events if isinstance(e, TextDelta)
    )
