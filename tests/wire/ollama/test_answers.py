from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.errors import BrokenAnswer
from lmbridge.core.events import (
    Answer,
    AnswerBuilder,
    Embeddings,
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
from lmbridge.wire.ollama.answers import ChatEncoder, GenerateEncoder, embedded

NOW = 1_700_000_000_000_000_007
AT = "2023-11-14T22:13:20.000000007Z"
MODEL = ModelInfo("m", "p")
FACTS = Facts(
    model=MODEL,
    instance=Instance("m#1", MODEL, Endpoint("http://127.0.0.1", (), "m")),
    name="m",
    load_s=0.5,
    first_event_s=0.75,
    total_s=2.0,
    tokens_per_s=10.0,
)
STARTED = Started("p", "m")
FINISHED = Finished("stop", Usage(26, 5))
COUNTS = {
    "total_duration": 2_000_000_000,
    "load_duration": 500_000_000,
    "prompt_eval_count": 26,
    "prompt_eval_duration": 250_000_000,
    "eval_count": 5,
    "eval_duration": 500_000_000,
}
CALLED = (
    ToolCallDelta(0, "id1", "weather", '{"city":'),
    ToolCallDelta(0, arguments='"Rome"}'),
    ToolCallDelta(1, "id2", "now"),
)
CALLS = [
    {"id": "id1", "function": {"index": 0, "name": "weather", "arguments": {"city": "Rome"}}},
    {"id": "id2", "function": {"index": 1, "name": "now", "arguments": {}}},
]


def chat() -> ChatEncoder:
    return ChatEncoder("mine", clock=lambda: NOW)


def generate() -> GenerateEncoder:
    return GenerateEncoder("mine", lambda: NOW)


def answer(*events: Event) -> Answer:
    builder = AnswerBuilder()
    for event in (STARTED, *events):
        builder.feed(event)
    return builder.close()


def stream(encoder: ChatEncoder | GenerateEncoder, *events: Event) -> list[dict[str, object]]:
    """The lines of a stream, its end included."""
    data = b"".join(map(encoder.feed, (STARTED, *events))) + encoder.close(answer(*events), FACTS)
    return lines(data)


def lines(data: bytes) -> list[dict[str, object]]:
    assert data.endswith(b"\n")
    return [json.loads(line) for line in data.splitlines()]


def test_a_chat_is_told_line_by_line_and_its_last_line_counts() -> None:
    first, second, last = stream(chat(), TextDelta("Hel"), TextDelta(""), TextDelta("lo"), FINISHED)
    assert first == {
        "model": "mine",
        "created_at": AT,
        "message": {"role": "assistant", "content": "Hel"},
        "done": False,
    }
    assert second["message"] == {"role": "assistant", "content": "lo"}
    assert last == {
        "model": "mine",
        "created_at": AT,
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": "stop",
        **COUNTS,
    }


def test_a_chat_is_told_whole() -> None:
    told = answer(ReasoningDelta("Hm."), TextDelta("Hello"), FINISHED)
    assert json.loads(chat().whole(told, FACTS)) == {
        "model": "mine",
        "created_at": AT,
        "message": {"role": "assistant", "content": "Hello", "thinking": "Hm."},
        "done": True,
        "done_reason": "stop",
        **COUNTS,
    }


def test_thoughts_come_apart_from_words() -> None:
    thought, word, _ = stream(chat(), ReasoningDelta("Hm."), ReasoningDelta(""), TextDelta("Hello"), FINISHED)
    assert thought["message"] == {"role": "assistant", "content": "", "thinking": "Hm."}
    assert word["message"] == {"role": "assistant", "content": "Hello"}


def test_tool_calls_are_told_whole_with_their_arguments_as_an_object() -> None:
    called, last = stream(chat(), *CALLED, Finished("tool_calls"))
    assert called["message"] == {"role": "assistant", "content": "", "tool_calls": CALLS}
    assert not called["done"]
    assert last["done_reason"] == "stop"
    whole = json.loads(chat().whole(answer(*CALLED, Finished("tool_calls")), FACTS))
    assert whole["message"]["tool_calls"] == CALLS


@pytest.mark.parametrize("arguments", ['{"city":"Ro', "[1]", '"Rome"', "null", "{" * 3000])
def test_a_call_that_is_cut_off_or_no_object_is_an_error(arguments: str) -> None:
    broken = (ToolCallDelta(0, "id", "weather", arguments), Finished("length"))
    with pytest.raises(BrokenAnswer, match="weather"):
        stream(chat(), *broken)
    with pytest.raises(BrokenAnswer, match="'p'"):
        chat().whole(answer(*broken), FACTS)


def test_a_generation_is_told_line_by_line_and_its_last_line_counts() -> None:
    thought, word, last = stream(
        generate(), ReasoningDelta("Hm."), TextDelta("Hello"), TextDelta(""), Finished("length", Usage(26, 5))
    )
    assert thought == {"model": "mine", "created_at": AT, "response": "", "thinking": "Hm.", "done": False}
    assert word == {"model": "mine", "created_at": AT, "response": "Hello", "done": False}
    assert last == {
        "model": "mine",
        "created_at": AT,
        "response": "",
        "done": True,
        "done_reason": "length",
        **COUNTS,
    }


def test_a_generation_is_told_whole() -> None:
    whole = json.loads(generate().whole(answer(ReasoningDelta("Hm."), TextDelta("Hello"), FINISHED), FACTS))
    assert (whole["response"], whole["thinking"], whole["done"]) == ("Hello", "Hm.", True)
    assert "thinking" not in json.loads(generate().whole(answer(TextDelta("Hello"), FINISHED), FACTS))


def test_what_the_answer_began_with_is_not_said_again() -> None:
    said = (TextDelta("On"), TextDelta("ce upon"), TextDelta(" a time"), FINISHED)
    first, second, last = stream(ChatEncoder("mine", "Once", lambda: NOW), *said)
    assert [line["message"]["content"] for line in (first, second, last)] == [" upon", " a time", ""]  # type: ignore[index]
    whole = json.loads(ChatEncoder("mine", "Once", lambda: NOW).whole(answer(*said), FACTS))
    assert whole["message"]["content"] == " upon a time"
    (only,) = stream(ChatEncoder("mine", "Once", lambda: NOW), TextDelta("On"), FINISHED)
    assert (only["message"], only["done"]) == ({"role": "assistant", "content": "On"}, True)


@pytest.mark.parametrize("speed", [1e-300, -1.0])
def test_a_speed_that_cannot_be_is_told_as_a_time_that_can_be(speed: float) -> None:
    facts = msgspec.structs.replace(FACTS, tokens_per_s=speed)
    assert 0 < json.loads(chat().close(answer(FINISHED), facts))["eval_duration"] <= 2**63


@pytest.mark.parametrize("encoder", [chat(), generate()], ids=["chat", "generate"])
def test_a_sign_of_life_is_a_line_without_words(encoder: ChatEncoder | GenerateEncoder) -> None:
    (line,) = lines(encoder.waiting(Wait("loading", progress=0.5)))
    assert not line["done"]
    assert line.get("response", "") == ""
    assert line.get("message", {"role": "assistant", "content": ""}) == {"role": "assistant", "content": ""}
    assert encoder.media == b"application/x-ndjson"
    assert not encoder.eager


@pytest.mark.parametrize("encoder", [chat(), generate()], ids=["chat", "generate"])
def test_what_is_no_part_of_the_answer_is_not_told(encoder: ChatEncoder | GenerateEncoder) -> None:
    others: Sequence[Event] = (
        STARTED,
        PromptProgress(1, 2),
        TextDelta("other", 1),
        ReasoningDelta("other", 1),
        ToolCallDelta(0, "id", "f", index=1),
        Finished("stop", index=1),
        Finished("stop"),
    )
    assert [encoder.feed(event) for event in others] == [b""] * len(others)


def test_tokens_that_nobody_counted_are_not_told() -> None:
    (last,) = stream(chat(), Finished("stop"))
    assert "prompt_eval_count" not in last
    assert "eval_count" not in last
    assert last["eval_duration"] == 1_250_000_000


def test_without_a_measured_speed_the_time_since_the_first_word_counts() -> None:
    facts = msgspec.structs.replace(FACTS, tokens_per_s=None, load_s=None)
    last = json.loads(chat().close(answer(FINISHED), facts))
    assert (last["eval_duration"], last["load_duration"]) == (1_250_000_000, 0)
    assert last["prompt_eval_duration"] == 750_000_000


def test_a_time_that_clocks_disagree_about_is_never_below_zero() -> None:
    facts = msgspec.structs.replace(FACTS, load_s=3.0)
    assert json.loads(chat().close(answer(FINISHED), facts))["prompt_eval_duration"] == 1


def test_vectors_are_told_with_what_they_cost() -> None:
    vectors = Embeddings(((0.5, 1.0), (0.0, 0.25)), "p", "m", Usage(7))
    assert json.loads(msgspec.json.encode(embedded("mine", vectors, 1.0, 0.5))) == {
        "model": "mine",
        "embeddings": [[0.5, 1.0], [0.0, 0.25]],
        "total_duration": 1_000_000_000,
        "load_duration": 500_000_000,
        "prompt_eval_count": 7,
    }
    assert msgspec.json.encode(embedded("mine", None, 0.0, None)) == (
        b'{"model":"mine","embeddings":[],"total_duration":0,"load_duration":0}'
    )


@given(
    st.lists(
        st.builds(TextDelta, st.text(max_size=20)) | st.builds(ReasoningDelta, st.text(max_size=20)), max_size=12
    )
)
def test_any_answer_reads_the_same_streamed_and_whole(events: list[Event]) -> None:
    told = answer(*events, FINISHED)
    streamed = stream(chat(), *events, FINISHED)
    messages = [line["message"] for line in streamed]
    assert all(isinstance(message, dict) for message in messages)
    whole = json.loads(chat().whole(told, FACTS))["message"]
    for field in ("content", "thinking"):
        assert "".join(message.get(field, "") for message in messages) == whole.get(field, "")  # type: ignore[attr-defined]
    pieces = stream(generate(), *events, FINISHED)
    assert "".join(str(line["response"]) for line in pieces) == whole["content"]
