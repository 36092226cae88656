from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from lmbridge.core.errors import ContextExceeded, EngineCrashed
from lmbridge.core.events import (
    Answer,
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
from lmbridge.core.messages import Message, ToolCall
from lmbridge.core.models import Endpoint, Instance, ModelInfo
from lmbridge.core.turns import Facts, Wait
from lmbridge.wire.openai.responding.encoder import ResponseEncoder
from lmbridge.wire.openai.responding.requests import decode_response_body
from lmbridge.wire.openai.responding.response import begun
from lmbridge.wire.openai.responses import ResponseDecoder

MODEL = ModelInfo("m", "p")
FACTS = Facts(
    model=MODEL, instance=Instance("1", MODEL, Endpoint("", (), "m")), name="m", first_event_s=0.1, total_s=1
)
ID = f"resp_{'0' * 48}"
STARTED = Started("p", "the-model")
CHECKED = TypeAdapter(ResponseStreamEvent)


def encoder(
    quirks: bool = False, names: Mapping[str, tuple[str, str]] = MappingProxyType({}), **fields: object
) -> ResponseEncoder:
    body, question = decode_response_body(json.dumps({"model": "m", "input": "hi", **fields}).encode())
    response = begun(body, question, id=ID, created=7, stored=True)
    return ResponseEncoder(response, lambda wait: wait.phase.encode(), names, quirks=quirks, clock=lambda: 9.5)


def built(events: Sequence[Event]) -> Answer:
    builder = AnswerBuilder()
    for event in events:
        builder.feed(event)
    return builder.close()


def streamed(events: Sequence[Event], one: ResponseEncoder | None = None) -> bytes:
    one = one or encoder()
    return b"".join(one.feed(event) for event in events) + one.close(built(events), FACTS)


def frames(data: bytes) -> list[dict[str, Any]]:
    """The events of a stream, after a check of its grammar: names, numbers, places, one end."""
    found = []
    for number, block in enumerate(data.decode().removesuffix("\n\n").split("\n\n")):
        name, _, rest = block.partition("\n")
        frame = json.loads(rest.removeprefix("data: "))
        assert name == f"event: {frame['type']}"
        assert frame["sequence_number"] == number
        found.append(frame)
    return found


def names(found: Sequence[dict[str, Any]]) -> list[str]:
    return [str(frame["type"]).removeprefix("response.") for frame in found]


def response(frame: dict[str, Any]) -> dict[str, Any]:
    value: dict[str, Any] = frame["response"]
    return value


def test_words_come_in_the_order_that_openai_says() -> None:
    found = frames(streamed([STARTED, TextDelta("Hel"), TextDelta(""), TextDelta("lo"), Finished("stop")]))
    assert names(found) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [frame["delta"] for frame in found[4:6]] == ["Hel", "lo"]
    assert found[6]["text"] == "Hello"
    assert response(found[0])["status"] == response(found[1])["status"] == "in_progress"
    assert response(found[0])["model"] == response(found[-1])["model"] == "the-model"


def test_thoughts_words_and_calls_are_items_of_their_own() -> None:
    events: list[Event] = [
        STARTED,
        ReasoningDelta("hm"),
        TextDelta("Let me see."),
        ToolCallDelta(0, "c1", "add"),
        ToolCallDelta(0, arguments='{"a"'),
        ToolCallDelta(1, "c2", "clock", "{}"),
        ToolCallDelta(0, arguments=":1}"),
        Finished("tool_calls", Usage(5, 6, 1)),
    ]
    found = frames(streamed(events))
    assert names(found)[2:] == [
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    whole = Response.model_validate(response(found[-1]), strict=True)
    assert [item.type for item in whole.output] == ["reasoning", "message", "function_call", "function_call"]
    assert [frame["item"] for frame in found if frame["type"] == "response.output_item.done"] == response(
        found[-1]
    )["output"]
    calls = [item for item in whole.output if item.type == "function_call"]
    assert [(call.call_id, call.name, call.arguments) for call in calls] == [
        ("c1", "add", '{"a":1}'),
        ("c2", "clock", "{}"),
    ]
    assert whole.usage is not None
    assert (whole.usage.input_tokens, whole.usage.output_tokens, whole.usage.total_tokens) == (5, 6, 11)
    assert whole.completed_at == 9


def test_every_event_is_what_openais_package_expects() -> None:
    events: list[Event] = [STARTED, ReasoningDelta("a"), TextDelta("b"), ToolCallDelta(0, "c", "d", "{}")]
    for frame in frames(streamed([*events, Finished("stop")])):
        CHECKED.validate_python(frame)


def test_words_after_a_call_begin_another_message() -> None:
    found = frames(streamed([STARTED, ToolCallDelta(0, "c", "f", "{}"), TextDelta("x"), Finished("stop")]))
    assert [item["type"] for item in response(found[-1])["output"]] == ["function_call", "message"]


def test_only_the_first_choice_is_told_and_no_progress() -> None:
    one = encoder()
    others = [TextDelta("x", 1), ReasoningDelta("x", 1), ToolCallDelta(0, "c", "f", "{}", 1), PromptProgress(1, 2)]
    assert [one.feed(event) for event in others] == [b""] * 4


def test_an_answer_as_a_whole_is_what_its_stream_ends_with() -> None:
    events: list[Event] = [
        STARTED,
        ReasoningDelta("hm"),
        TextDelta("x"),
        ToolCallDelta(0, "c", "f", "{}"),
        Finished("stop", Usage(1, 2)),
    ]
    whole = msgspec.json.decode(encoder().whole(built(events), FACTS))
    assert response(frames(streamed(events))[-1]) == whole


def test_it_is_told_the_same_each_time() -> None:
    one, answer = encoder(), built([TextDelta("x"), Finished("stop")])
    assert one.whole(answer, FACTS) == one.whole(answer) == encoder().whole(answer)


def test_an_answer_without_a_word_is_an_empty_message() -> None:
    found = frames(streamed([STARTED, Finished("stop")]))
    assert names(found)[2:] == [
        "output_item.added",
        "content_part.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]


def test_thoughts_alone_are_no_message() -> None:
    output = msgspec.json.decode(encoder().whole(built([ReasoningDelta("hm"), Finished("stop")])))["output"]
    assert [item["type"] for item in output] == ["reasoning"]


def test_a_call_is_told_in_the_end_as_the_answer_has_it() -> None:
    one = encoder()
    begin = one.feed(STARTED) + one.feed(ToolCallDelta(0, "c1", "add", "{'a': 1}"))
    calls = (ToolCall("c1", "add", '{"a": 1}'), ToolCall("c2", "add", "{}"))
    answer = Answer(Message("assistant", "", tool_calls=calls), Finished("tool_calls"), "p", "m")
    found = frames(begin + one.close(answer, FACTS))
    done = [frame["arguments"] for frame in found if frame["type"] == "response.function_call_arguments.done"]
    assert done == ['{"a": 1}', "{}"]
    assert names(found)[-4:] == [
        "output_item.added",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]


def test_a_call_of_a_namespace_has_its_own_name_again() -> None:
    one = encoder(names={"room__clock": ("room__", "clock")})
    found = frames(streamed([STARTED, ToolCallDelta(0, "c", "room__clock", "{}"), Finished("tool_calls")], one))
    item = next(frame["item"] for frame in found if frame["type"] == "response.output_item.done")
    assert isinstance(item, dict)
    assert (item["namespace"], item["name"]) == ("room__", "clock")


@pytest.mark.parametrize(
    ("reason", "told"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_an_answer_that_was_cut_off_is_incomplete(reason: str, told: str) -> None:
    found = frames(streamed([STARTED, ReasoningDelta("a"), TextDelta("b"), Finished(reason)]))
    assert names(found)[-1] == "incomplete"
    whole = Response.model_validate(response(found[-1]), strict=True)
    assert (whole.status, whole.completed_at) == ("incomplete", None)
    assert whole.incomplete_details is not None
    assert whole.incomplete_details.reason == told
    assert [item.status for item in whole.output] == ["completed", "incomplete"]  # type: ignore[union-attr]


def test_lm_studio_calls_it_completed_all_the_same() -> None:
    found = frames(streamed([STARTED, TextDelta("b"), Finished("length")], encoder(quirks=True)))
    assert names(found)[-1] == "completed"
    assert response(found[-1])["incomplete_details"] is None


def test_a_stream_that_goes_wrong_ends_with_the_response_and_an_error() -> None:
    one, error = encoder(), EngineCrashed("m", "signal 9")
    found = frames(one.feed(STARTED) + one.feed(TextDelta("Hel")) + one.fail(error))
    assert names(found)[-2:] == ["failed", "error"]
    failed = response(found[-2])
    assert (failed["status"], failed["error"]) == ("failed", {"code": "engine_crashed", "message": str(error)})
    item = failed["output"][0]
    assert (item["status"], item["content"][0]["text"]) == ("incomplete", "Hel")
    assert found[-1]["error"] == {
        "code": "engine_crashed",
        "message": str(error),
        "param": None,
        "type": "server_error",
        "hint": error.hint,
    }
    assert (found[-1]["code"], found[-1]["message"]) == ("engine_crashed", str(error))


def test_a_stream_that_never_began_ends_with_the_error_alone() -> None:
    found = frames(encoder().fail(ContextExceeded(9, 5)))
    assert names(found) == ["error"]


def test_one_that_fails_before_a_word_has_no_output() -> None:
    one = encoder()
    found = frames(one.feed(Started("p", "")) + one.fail(ContextExceeded(9, 5)))
    assert (response(found[-2])["output"], response(found[-2])["model"]) == ([], "m")


def test_one_that_fails_after_its_call_ended_keeps_it() -> None:
    one = encoder()
    events: list[Event] = [STARTED, TextDelta("x"), ToolCallDelta(0, "c", "f", "{}"), Finished("stop")]
    told = b"".join(map(one.feed, events)) + one.close(built(events), FACTS)
    failed = frames(told + one.fail(EngineCrashed("m", "x")))[-2]
    assert [item["status"] for item in response(failed)["output"]] == ["completed"] * 2


def test_an_answer_that_is_not_there_says_how_it_stands() -> None:
    one = encoder(background=True)
    assert msgspec.json.decode(one.unfinished("in_progress"))["status"] == "in_progress"
    failed = msgspec.json.decode(one.unfinished("failed", EngineCrashed("m", "x")))
    assert (failed["status"], failed["error"]["code"]) == ("failed", "engine_crashed")


def test_who_waits_hears_events_that_say_how_it_stands_and_comments_that_say_why() -> None:
    one = encoder()
    waits = [Wait("queued", 1), Wait("loading", progress=0.5), Wait("prompt")]
    signs = [one.waiting(wait) for wait in waits]
    assert [sign.rpartition(b"\n\n")[2] for sign in signs] == [b"queued", b"loading", b"prompt"]
    told = b"".join(sign.rpartition(b"\n\n")[0] + b"\n\n" for sign in signs)
    found = frames(told + streamed([STARTED, TextDelta("x"), Finished("stop")], one))
    assert names(found)[:6] == [
        "created",
        "queued",
        "in_progress",
        "in_progress",
        "in_progress",
        "output_item.added",
    ]
    assert [response(frame)["status"] for frame in found[:4]] == [
        "in_progress",
        "queued",
        "in_progress",
        "in_progress",
    ]


def test_one_that_fails_while_it_waits_has_a_response_too() -> None:
    one = encoder()
    told = one.waiting(Wait("loading")).removesuffix(b"loading")
    assert names(frames(told + one.fail(EngineCrashed("m", "x")))) == ["created", "in_progress", "failed", "error"]


WORDS = st.text(max_size=9)
PIECES = st.lists(
    st.one_of(
        st.builds(TextDelta, WORDS),
        st.builds(ReasoningDelta, WORDS),
        st.builds(ToolCallDelta, st.integers(0, 2), st.just("c"), st.just("f"), WORDS),
    ),
    max_size=12,
)


@given(PIECES)
def test_our_own_client_understands_every_stream(pieces: list[Event]) -> None:
    # Each call gets its id and name once, as providers give them.
    seen: set[int] = set()
    events: list[Event] = [STARTED]
    for piece in pieces:
        if isinstance(piece, ToolCallDelta):
            first = piece.call not in seen
            seen.add(piece.call)
            piece = piece if first else ToolCallDelta(piece.call, arguments=piece.arguments)
        events.append(piece)
    events += [TextDelta("."), Finished("stop", Usage(1, 2))]
    decoder = ResponseDecoder("p")
    told = built([*decoder.feed(streamed(events)), *decoder.close()])
    meant = built(events)
    assert told.message.text == meant.message.text
    assert told.message.reasoning == meant.message.reasoning
    order = [event.call for event in events if isinstance(event, ToolCallDelta)]
    calls = dict(zip(sorted(seen), meant.tool_calls, strict=True))
    assert told.tool_calls == tuple(calls[number] for number in dict.fromkeys(order))
    assert told.finish.usage == Usage(1, 2)
