from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.errors import EngineCrashed
from lmbridge.core.events import (
    Answer,
    Event,
    Finished,
    PromptProgress,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from lmbridge.core.messages import Message, ToolCall
from lmbridge.core.models import Endpoint, Instance, ModelInfo
from lmbridge.core.turns import Facts, Wait
from lmbridge.wire.lmstudio.chat import Loading, NativeChatDecoder, Reading
from lmbridge.wire.lmstudio.serving.answers import STILL, UNKNOWN_TOOL, NativeChatEncoder
from lmbridge.wire.sse import SSEDecoder

MODEL = ModelInfo("m", "p")
INSTANCE = Instance("m#1", MODEL, Endpoint("http://127.0.0.1:1", (), "m"))
ID = "resp_" + "0" * 48


def facts(**fields: object) -> Facts:
    known: dict[str, object] = {"first_event_s": 0.5, "total_s": 2.5, **fields}
    return Facts(model=MODEL, instance=INSTANCE, name="m", **known)  # type: ignore[arg-type]


def answer(
    text: str, thought: str | None = None, calls: Sequence[ToolCall] = (), usage: Usage | None = None
) -> Answer:
    message = Message("assistant", text, reasoning=thought, tool_calls=tuple(calls))
    return Answer(message, Finished("stop", usage), "p", "m")


def frames(data: bytes) -> list[dict[str, object]]:
    """The data of every frame, each of which must say its type twice."""
    found = []
    for event in SSEDecoder().feed(data):
        frame = json.loads(event.data)
        assert frame["type"] == event.name
        found.append(frame)
    return found


def names(data: bytes) -> list[object]:
    return [frame["type"] for frame in frames(data)]


def encoder(response_id: str = ID, *, quirks: bool = False) -> NativeChatEncoder:
    times = iter([10.0, 12.5])
    return NativeChatEncoder("m", response_id, quirks=quirks, clock=lambda: next(times))


STREAM: list[Wait | Event] = [
    Wait("queued"),
    Wait("queued", 2),
    Wait("loading"),
    Wait("loading", progress=0.5),
    Wait("prompt"),
    Wait("prompt", progress=0.4),
    Started("p", "m"),
    ReasoningDelta("Let me "),
    ReasoningDelta("see."),
    TextDelta("Über "),
    TextDelta("alles 🙂\n\ndata: x"),
    Finished("stop", Usage(7, 4)),
]


def streamed(one: NativeChatEncoder, events: Sequence[Wait | Event]) -> bytes:
    return b"".join(one.waiting(e) if isinstance(e, Wait) else one.feed(e) for e in events)


def test_a_stream_tells_of_queue_load_prompt_thoughts_and_words_and_ends_with_all_of_it() -> None:
    one = encoder()
    said = answer("Über alles 🙂\n\ndata: x", "Let me see.", usage=Usage(7, 4))
    data = streamed(one, STREAM) + one.close(said, facts(load_s=2.5))
    assert frames(data) == [
        {"type": "chat.start", "model_instance_id": "m"},
        {"type": "queue.progress", "position": 2},
        {"type": "model_load.start", "model_instance_id": "m"},
        {"type": "model_load.progress", "model_instance_id": "m", "progress": 0.0},
        {"type": "model_load.progress", "model_instance_id": "m", "progress": 0.5},
        {"type": "model_load.end", "model_instance_id": "m", "load_time_seconds": 2.5},
        {"type": "prompt_processing.start"},
        {"type": "prompt_processing.progress", "progress": 0.0},
        {"type": "prompt_processing.progress", "progress": 0.4},
        {"type": "prompt_processing.progress", "progress": 1.0},
        {"type": "prompt_processing.end"},
        {"type": "reasoning.start"},
        {"type": "reasoning.delta", "content": "Let me "},
        {"type": "reasoning.delta", "content": "see."},
        {"type": "reasoning.end"},
        {"type": "message.start"},
        {"type": "message.delta", "content": "Über "},
        {"type": "message.delta", "content": "alles 🙂\n\ndata: x"},
        {"type": "message.end"},
        {"type": "chat.end", "result": json.loads(encoder().whole(said, facts(load_s=2.5)))},
    ]


def test_our_own_client_reads_the_stream() -> None:
    one = encoder()
    data = streamed(one, STREAM) + one.close(answer("Über alles", usage=Usage(7, 4)), facts(load_s=2.5))
    decoder = NativeChatDecoder("p")
    events = decoder.feed(data)
    decoder.close()
    assert events[0] == Started("p", "m")
    assert [e for e in events if isinstance(e, Loading | Reading)][-1] == Reading(1.0)
    assert (decoder.response_id, decoder.load_seconds) == (ID, 2.5)


def test_a_whole_answer_has_its_parts_its_cost_and_its_id() -> None:
    told = json.loads(encoder().whole(answer("four", "2+2", usage=Usage(9, 7)), facts(tokens_per_s=51.23456)))
    assert told == {
        "model_instance_id": "m",
        "output": [{"type": "reasoning", "content": "2+2"}, {"type": "message", "content": "four"}],
        "stats": {
            "input_tokens": 9,
            "total_output_tokens": 7,
            "reasoning_output_tokens": 3,
            "tokens_per_second": 51.235,
            "time_to_first_token_seconds": 0.5,
        },
        "response_id": ID,
    }


def test_tokens_of_thoughts_that_were_counted_are_told_as_they_are() -> None:
    said = answer("four", "2+2", usage=Usage(9, 7, reasoning_tokens=5))
    assert json.loads(encoder().whole(said, facts()))["stats"]["reasoning_output_tokens"] == 5


def test_what_nobody_counted_is_zero_and_what_is_not_stored_has_no_id() -> None:
    told = json.loads(encoder("").whole(answer(""), facts(total_s=0.5)))
    assert told["output"] == []
    assert "response_id" not in told
    assert set(told["stats"].values()) == {0, 0.5}
    counted = json.loads(encoder("").whole(answer("x", usage=Usage(1, 4)), facts()))
    assert counted["stats"]["tokens_per_second"] == 2.0


def test_a_model_that_is_there_is_not_loaded_and_its_prompt_is_read_all_the_same() -> None:
    one = encoder()
    data = one.feed(Started("p", "m")) + one.feed(TextDelta("x"))
    assert names(data) == [
        "chat.start",
        "prompt_processing.start",
        "prompt_processing.progress",
        "prompt_processing.progress",
        "prompt_processing.end",
        "message.start",
        "message.delta",
    ]


def test_progress_never_goes_back_and_never_beyond_the_end() -> None:
    one = encoder()
    loads = [Wait("loading", progress=p) for p in (0.6, 0.2, 7.0)]
    prompt = [PromptProgress(5, 10), PromptProgress(3, 10), PromptProgress(99, 10)]
    data = frames(streamed(one, [*loads, *prompt, TextDelta("x")]))
    told = {kind: [f["progress"] for f in data if f["type"] == f"{kind}.progress"] for kind in PHASES}
    assert told == {"model_load": [0.6, 0.6, 1.0], "prompt_processing": [0.5, 1.0]}


PHASES = ("model_load", "prompt_processing")


def test_while_nothing_moves_there_are_signs_of_life() -> None:
    one = encoder()
    assert names(one.waiting(Wait("queued"))) == ["chat.start"]
    assert one.waiting(Wait("queued")) == STILL
    assert names(one.waiting(Wait("prompt", progress=0.3))) == PROMPT
    assert one.waiting(Wait("prompt", progress=0.3)) == STILL
    one.feed(TextDelta("x"))
    assert one.waiting(Wait("prompt", progress=1.0)) == STILL


PROMPT = ["prompt_processing.start", "prompt_processing.progress"]


def test_the_place_in_the_queue_is_a_comment_where_lm_studio_is_followed_to_the_letter() -> None:
    data = streamed(encoder(quirks=True), [Wait("queued"), Wait("queued", 3)])
    assert data.endswith(b": 3 ahead in the queue\n\n")
    assert names(data) == ["chat.start"]


def test_other_choices_and_pieces_of_calls_say_nothing() -> None:
    one = encoder()
    for event in (
        TextDelta("x", 1),
        ReasoningDelta("x", 1),
        ToolCallDelta(0, "1", "f"),
        Finished("stop", index=1),
    ):
        assert one.feed(event) == b""


def test_calls_of_tools_that_nobody_gave_are_invalid_calls() -> None:
    calls = (ToolCall("1", "clock", '{"zone":"x"}'), ToolCall("2", "far", "[1]"), ToolCall("3", "cut", '{"a"'))
    said = answer("", calls=calls)
    one = encoder()
    data = frames(streamed(one, [Started("p", "m"), Finished("tool_calls")]) + one.close(said, facts()))
    failures = [frame for frame in data if frame["type"] == "tool_call.failure"]
    about = {"type": "invalid_name", "tool_name": "clock", "arguments": {"zone": "x"}}
    assert failures[0] == {"type": "tool_call.failure", "reason": UNKNOWN_TOOL, "metadata": about}
    items = json.loads(one.whole(said, facts()))["output"]
    assert items[0] == {"type": "invalid_tool_call", "reason": UNKNOWN_TOOL, "metadata": about}
    assert [set(item["metadata"]) for item in items[1:]] == [{"type", "tool_name"}] * 2


@pytest.mark.parametrize("quirks", [False, True])
def test_a_stream_that_fails_says_why_and_ends_with_what_there_is(quirks: bool) -> None:
    one = encoder(quirks=quirks)
    data = streamed(one, [Started("p", "m"), ReasoningDelta("Hm."), TextDelta("It "), TextDelta("is")])
    data += one.failed(EngineCrashed("m", "signal 9"))
    *_, ended, error, end = frames(data)
    assert ended == {"type": "message.end"}
    assert error["type"] == "error"
    assert isinstance(error["error"], dict)
    assert (error["error"]["type"], error["error"]["code"]) == ("internal_error", "engine_crashed")
    assert end["type"] == "chat.end"
    assert isinstance(end["result"], dict)
    assert end["result"]["output"] == [
        {"type": "reasoning", "content": "Hm."},
        {"type": "message", "content": "It is"},
    ]
    assert "response_id" not in end["result"]


def test_a_stream_that_fails_before_it_began_begins_nevertheless() -> None:
    assert names(encoder().failed(EngineCrashed("m", "signal 9"))) == ["chat.start", "error", "chat.end"]


HAPPENINGS = st.one_of(
    st.builds(Wait, st.sampled_from(["queued", "loading", "prompt"]), st.integers(0, 3), st.floats(0, 1)),
    st.builds(PromptProgress, st.integers(0, 9), st.integers(0, 9)),
    st.just(Started("p", "m")),
    st.builds(TextDelta, st.text(max_size=5), st.integers(0, 1)),
    st.builds(ReasoningDelta, st.text(max_size=5), st.integers(0, 1)),
    st.just(ToolCallDelta(0, "1", "f")),
    st.just(Finished("stop")),
)


@given(st.lists(HAPPENINGS, max_size=20), st.booleans())
def test_whatever_happens_each_part_ends_before_the_next_begins_and_the_end_is_the_last(
    happenings: list[Wait | Event], failing: bool
) -> None:
    one = NativeChatEncoder("m", ID)
    data = streamed(one, happenings)
    told = names(data + (one.failed(EngineCrashed("m", "x")) if failing else one.close(answer("x"), facts())))
    assert (told[0], told[-1], told.count("chat.start")) == ("chat.start", "chat.end", 1)
    now = ""
    for name in told[1:-1]:
        part, _, what = str(name).partition(".")
        if what == "start":
            assert not now
            now = part
        elif what in ("progress", "delta", "end") and part != "queue":
            assert part == now
            now = "" if what == "end" else part
