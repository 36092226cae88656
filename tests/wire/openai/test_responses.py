from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.errors import BridgeError, BrokenAnswer, InvalidRequest, ProviderRefused, UnsupportedParameter
from lmbridge.core.events import (
    AnswerBuilder,
    Event,
    Finished,
    ReasoningDelta,
    Started,
    TextDelta,
    Timings,
    ToolCallDelta,
    Usage,
)
from lmbridge.core.messages import ImagePart, Message, TextPart, Tool, ToolCall
from lmbridge.core.requests import ChatRequest, NamedTool, Sampling, Schema
from lmbridge.wire.openai.responses import ResponseDecoder, encode_response

STREAM = (Path(__file__).parents[2] / "transcripts" / "lmstudio" / "responses.sse").read_bytes()
MODEL = "openai/gpt-oss-20b"
FRAMES = [frame + b"\n\n" for frame in STREAM.split(b"\n\n") if frame]
EVENTS: list[Event] = [
    Started("p", MODEL),
    ReasoningDelta("Hm, "),
    ReasoningDelta("so."),
    TextDelta("Über "),
    TextDelta("alles 🙂"),
    ToolCallDelta(0, "call_1", "add"),
    ToolCallDelta(0, arguments='{"a":'),
    ToolCallDelta(0, arguments="1}"),
    Finished("tool_calls", Usage(12, 5, 4, 2), Timings(1.0, 5.0, 1.0)),
]


def clock(*times: float) -> Iterator[float]:
    yield from times
    while True:
        yield times[-1]


def new() -> ResponseDecoder:
    ticks = clock(10.0, 11.0, 15.0)
    return ResponseDecoder("p", lambda: next(ticks))


def fed(data: bytes) -> None:
    decoder = new()
    decoder.feed(data)
    decoder.close()


def event(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def message(text: str, id: str = "msg_1") -> dict[str, object]:
    return {"id": id, "type": "message", "content": [{"type": "output_text", "text": text}]}


def completed(*items: dict[str, object], **more: object) -> bytes:
    response = {"id": "resp_1", "model": "m", "status": "completed", "output": list(items), **more}
    return event("response.completed", response=response)


def told(events: list[Event]) -> tuple[str, str, tuple[ToolCall, ...], str]:
    """Thoughts, words, calls, and why it ended."""
    builder = AnswerBuilder()
    for each in events:
        builder.feed(each)
    answer = builder.close()
    return answer.message.reasoning or "", answer.text, answer.tool_calls, str(answer.finish.reason)


@given(st.lists(st.integers(0, len(STREAM))))
def test_any_split_of_the_bytes_gives_the_same_events(cuts: list[int]) -> None:
    edges, decoder = sorted({0, *cuts, len(STREAM)}), new()
    got = [e for a, b in pairwise(edges) for e in decoder.feed(STREAM[a:b])]
    assert got + decoder.close() == EVENTS
    assert (decoder.response_id, decoder.model, decoder.done) == ("resp_4a1d", MODEL, True)


@given(st.integers(0, len(STREAM) - 3))
def test_a_stream_that_is_cut_anywhere_is_broken(end: int) -> None:
    decoder = new()
    decoder.feed(STREAM[:end])
    with pytest.raises(BrokenAnswer, match="ended before the answer did"):
        decoder.close()


@given(st.sets(st.integers(0, len(FRAMES) - 2)))
def test_the_last_event_makes_good_for_all_that_are_missing(missing: set[int]) -> None:
    decoder = new()
    # A stream that holds one half of a text only would contradict its end.
    deltas = [n for n, frame in enumerate(FRAMES) if b".delta" in frame]
    for first, second in zip(deltas[::2], deltas[1::2], strict=True):
        if {first, second} & missing:
            missing = missing | {first, second}
    got = [e for n, frame in enumerate(FRAMES) if n not in missing for e in decoder.feed(frame)]
    assert isinstance(got[0], Started)
    call = ToolCall("call_1", "add", '{"a":1}')
    assert told(got) == ("Hm, so.", "Über alles 🙂", (call,), "tool_calls")


def test_what_follows_the_end_is_not_read() -> None:
    decoder = new()
    assert decoder.feed(STREAM + b"data: garbage\n\n") == EVENTS
    assert decoder.close() == []


def test_an_answer_that_names_nobody_begins_all_the_same() -> None:
    assert new().feed(completed(message("Hi"), model=None))[0] == Started("p", "")


def test_thoughts_that_come_all_at_once_are_told_once() -> None:
    reasoning = {"id": "rs_1", "type": "reasoning", "content": [{"type": "reasoning_text", "text": "Hm."}]}
    got = new().feed(
        event("response.reasoning_text.done", item_id="rs_1", text="Hm.")
        + event("response.output_text.delta", output_index=1, item_id="msg_1", delta="Hi")
        + completed(reasoning, message("Hi"))
    )
    assert got[:-1] == [Started("p", ""), ReasoningDelta("Hm."), TextDelta("Hi")]
    summary = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "In short."}]}
    assert told(new().feed(completed(summary, message("Hi"))))[0] == "In short."


def test_events_without_place_and_id_belong_to_the_only_item() -> None:
    got = new().feed(
        event("response.output_text.delta", delta="Hi")
        + event("response.output_text.done", text="Hi you")
        + completed(message("Hi you!"))
    )
    assert told(got)[1] == "Hi you!"


def test_an_id_stands_for_the_place_it_came_with() -> None:
    got = new().feed(
        event("response.output_text.delta", output_index=3, item_id="msg_1", delta="Hi")
        + event("response.output_text.delta", item_id="msg_1", delta=" you")
        + completed({"type": "mcp_call"}, message("Hi you"))
    )
    assert told(got)[1] == "Hi you"


def test_pieces_that_the_end_contradicts_stand_as_they_were_given() -> None:
    got = new().feed(event("response.output_text.delta", output_index=0, delta="Hi") + completed(message("Bye")))
    assert told(got)[1] == "Hi"


def test_a_refusal_is_what_the_model_said() -> None:
    refused = {"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}
    for pieces in (b"", event("response.refusal.delta", output_index=0, delta="No.")):
        assert told(new().feed(pieces + completed(refused)))[1] == "No."
    got = new().feed(event("response.refusal.done", output_index=0, refusal="No.") + completed(refused))
    assert told(got)[1] == "No."


def test_a_call_whose_beginning_is_missing_gets_its_name_later() -> None:
    call = {"id": "fc_1", "type": "function_call", "name": "add", "arguments": "{}"}
    got = new().feed(
        event("response.function_call_arguments.delta", output_index=0, delta="{}")
        + event("response.function_call_arguments.done", output_index=0)
        + event("response.output_item.done", output_index=0)
        + completed(call)
    )
    assert told(got)[2:] == ((ToolCall("fc_1", "add", "{}"),), "tool_calls")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({}, "stop"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "incomplete"}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
    ],
)
def test_the_reason_to_finish_is_told_where_it_is_known(more: dict[str, object], reason: str) -> None:
    assert told(new().feed(completed(message("Hi"), **more)))[3] == reason


def test_an_answer_that_was_not_streamed_gives_the_same_events() -> None:
    body = {"id": "resp_1", "model": "m", "status": "completed", "output": [message("Hi")], "top_p": False}
    decoder = new()
    assert decoder.whole(json.dumps(body).encode()) == [
        Started("p", "m"),
        TextDelta("Hi"),
        Finished("stop", None, Timings(1.0, 1.0)),
    ]
    assert decoder.response_id == "resp_1"
    body["usage"] = {"input_tokens": 0, "output_tokens": 0}
    assert new().whole(json.dumps(body).encode())[-1] == Finished("stop", None, Timings(1.0, 1.0))
    body["usage"] = {"input_tokens": 0, "output_tokens": 1}
    assert new().whole(json.dumps(body).encode())[-1] == Finished("stop", Usage(0, 1), Timings(1.0, 1.0))


def test_an_error_in_the_stream_comes_after_what_was_said() -> None:
    decoder = new()
    got = decoder.feed(FRAMES[0] + b'event: error\ndata: {"type": "error", "message": "it broke"}\n\n' + STREAM)
    assert got == [Started("p", MODEL)]
    for ask in (lambda: decoder.feed(b""), decoder.close):
        with pytest.raises(ProviderRefused, match="it broke"):
            ask()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"event: error\ndata: it broke\n\n", ProviderRefused),
        (b'data: {"error": {"message": "it broke"}}\n\n', ProviderRefused),
        (b"data: [DONE]\n\n", BrokenAnswer),
        (b"data: not json\n\n", BrokenAnswer),
        (event("response.failed", response={"error": {"message": "it broke"}}), ProviderRefused),
        (event("response.completed", response={"status": "failed", "error": None}), ProviderRefused),
        (event("response.completed", response={"status": "completed"}), BrokenAnswer),
        (event("response.completed", response=7), BrokenAnswer),
        (event("response.created"), BrokenAnswer),
        (completed(), BrokenAnswer),
        (completed(message("")), BrokenAnswer),
        (b"data: " + b"x" * (17 * 2**20), BrokenAnswer),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_no_answer_is_an_error(data: bytes, kind: type[BridgeError]) -> None:
    with pytest.raises(kind):
        fed(data)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b'{"error": {"message": "no"}}', ProviderRefused),
        (b'{"error": "Unexpected endpoint or method. (POST /v1/responses)"}', ProviderRefused),
        (b"{}", BrokenAnswer),
        (b"<html>", BrokenAnswer),
    ],
)
def test_a_200_that_is_no_answer_is_an_error(data: bytes, kind: type[BridgeError]) -> None:
    with pytest.raises(kind):
        new().whole(data)


def test_an_answer_of_the_servers_own_tools_alone_is_an_answer() -> None:
    assert told(new().feed(completed({"type": "mcp_call"})))[3] == "stop"


def test_a_conversation_becomes_items() -> None:
    request = ChatRequest(
        "",
        (
            Message("system", "Be brief."),
            Message("user", (TextPart("What "), TextPart("is it?"))),
            Message("assistant", None, tool_calls=(ToolCall("c", "add", "{}"),)),
            Message("tool", "3", tool_call_id="c"),
            Message("assistant", "Three.", tool_calls=(ToolCall("d", "add", "{}"),)),
            Message("developer", "Be kind."),
            Message("user", (TextPart("And?"), ImagePart("data:image/png;base64,AAAA"))),
        ),
    )
    body = encode_response(request, "m", previous_response_id="resp_1", store=False)
    assert body == {
        "model": "m",
        "stream": True,
        "instructions": "Be brief.",
        "previous_response_id": "resp_1",
        "store": False,
        "input": [
            {"type": "message", "role": "user", "content": "What is it?"},
            {"type": "function_call", "call_id": "c", "name": "add", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "3"},
            {"type": "message", "role": "assistant", "content": "Three."},
            {"type": "function_call", "call_id": "d", "name": "add", "arguments": "{}"},
            {"type": "message", "role": "system", "content": "Be kind."},
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "And?"},
                    {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
                ],
            },
        ],
    }


def test_a_picture_that_is_not_in_the_request_is_refused() -> None:
    request = ChatRequest("", (Message("user", (ImagePart("https://example.com/a.png"),)),))
    with pytest.raises(InvalidRequest, match="data:image"):
        encode_response(request, "m")


def test_wishes_become_fields() -> None:
    add, sub = Tool("add", "Adds.", {"type": "object"}, strict=True), Tool("sub")
    request = ChatRequest(
        "",
        "Hi",
        tools=(add, sub),
        tool_choice=NamedTool("add"),
        schema=Schema(),
        sampling=Sampling(temperature=0.5, top_p=0.9, max_tokens=7),
        reasoning_effort="low",
        extra={"news": 1},
    )
    body = encode_response(request, "m")
    assert body["input"] == [{"type": "message", "role": "user", "content": "Hi"}]
    told_add = {
        "type": "function",
        "name": "add",
        "description": "Adds.",
        "parameters": {"type": "object"},
        "strict": True,
    }
    assert (body["tools"], body["tool_choice"]) == ([told_add], "required")
    shape = {"type": "json_schema", "name": "answer", "schema": {"type": "object"}, "strict": True}
    assert body["text"] == {"format": shape}
    assert (body["temperature"], body["top_p"], body["max_output_tokens"]) == (0.5, 0.9, 7)
    assert (body["reasoning"], body["news"]) == ({"effort": "low"}, 1)
    plain = encode_response(ChatRequest("", "Hi", tools=(sub,)), "m")
    assert "tool_choice" not in plain
    assert plain["tools"][0]["parameters"] == {"type": "object", "properties": {}}  # type: ignore[index]
    with pytest.raises(InvalidRequest, match="'mul'"):
        encode_response(ChatRequest("", "Hi", tools=(sub,), tool_choice=NamedTool("mul")), "m")
    with pytest.raises(UnsupportedParameter, match="seed"):
        encode_response(ChatRequest("", "Hi", sampling=Sampling(seed=1)), "m")


def test_the_line_end_after_the_last_event_may_be_missing() -> None:
    decoder = new()
    got = decoder.feed(STREAM.rstrip())
    assert got + decoder.close() == EVENTS
    assert decoder.done


def test_an_error_in_the_last_event_is_one_without_the_line_end_too() -> None:
    for data in (b'data: {"error": "it broke"}', completed().rstrip()):
        decoder = new()
        decoder.feed(data)
        with pytest.raises(BridgeError):
            decoder.close()
