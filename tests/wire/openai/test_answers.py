from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.openai_server import streamed_answer, whole_answer

from lmbridge.core.errors import BridgeError, BrokenAnswer, ContextExceeded, ProviderRefused
from lmbridge.core.events import (
    Embeddings,
    Event,
    Finished,
    PromptProgress,
    ReasoningDelta,
    Started,
    TextDelta,
    Timings,
    ToolCallDelta,
    Usage,
)
from lmbridge.wire.openai.answers import (
    MAX_CALLS,
    ChatEventDecoder,
    build_answer,
    decode_chat_answer,
    decode_count,
    decode_embeddings,
    decode_models,
)

DONE = b"data: [DONE]\n\n"
RECORDED = Path(__file__).parents[2] / "transcripts"
"""What the engine really sent."""


def clock(*times: float) -> Iterator[float]:
    yield from times
    while True:
        yield times[-1]


def event(body: object) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def delta(content: object = None, reason: object = None, **more: object) -> bytes:
    said = {**({} if content is None else {"content": content}), **more}
    return event({"model": "m", "choices": [{"index": 0, "delta": said, "finish_reason": reason}]})


def decode(*pieces: bytes) -> list[Event]:
    ticks = clock(10.0, 11.0, 15.0)
    decoder = ChatEventDecoder("p", lambda: next(ticks))
    got = [e for piece in pieces for e in decoder.feed(piece)]
    return got + decoder.close()


ASKED: dict[str, object] = {
    "model": "m",
    "messages": [{"role": "user", "content": "hello world"}],
    "stream_options": {"include_usage": True},
    "n": 2,
    "reasoning_effort": "low",
}
STREAM = b"".join(event(chunk) for chunk in streamed_answer(ASKED)) + DONE
EVENTS = [
    Started("p", "m"),
    *(
        e
        for k in (0, 1)
        for e in (
            ReasoningDelta("Let me ", k),
            ReasoningDelta("think. ", k),
            *(TextDelta(f"{word} ", k) for word in ["You", "said:", "hello", "world"]),
        )
    ),
    Finished("stop", None, None, 1),
    Finished("stop", Usage(7, 4, 2), Timings(1.0, 5.0, 123.5), 0),
]


@given(st.lists(st.integers(0, len(STREAM))))
def test_any_split_of_the_bytes_gives_the_same_events(cuts: list[int]) -> None:
    edges = sorted({0, *cuts, len(STREAM)})
    assert decode(*(STREAM[a:b] for a, b in pairwise(edges))) == EVENTS


def test_the_first_event_says_who_answers_and_the_last_what_it_cost() -> None:
    usage = event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 9}})
    assert decode(delta("Hi"), delta(None, "length"), usage, DONE) == [
        Started("p", "m"),
        TextDelta("Hi"),
        Finished("length", Usage(3, 9), Timings(1.0, 5.0, 2.0)),
    ]


def test_a_speed_that_nothing_measured_is_not_claimed() -> None:
    assert decode(delta("Hi", "stop"), DONE)[-1] == Finished("stop", None, Timings(1.0, 5.0))


def test_counts_of_the_engine_take_the_place_of_a_missing_usage() -> None:
    timings = {"cache_n": 5, "prompt_n": 2, "predicted_n": 3, "predicted_per_second": 50.0}
    last = event({"choices": [{"delta": {}, "finish_reason": "stop"}], "timings": timings})
    assert decode(last, DONE)[-1] == Finished("stop", Usage(7, 3, 5), Timings(1.0, 1.0, 50.0))
    timings = {"prompt_ms": 1.0}
    last = event({"choices": [{"delta": {}, "finish_reason": "stop"}], "timings": timings, "usage": {}})
    assert decode(last, DONE)[-1] == Finished("stop", None, Timings(1.0, 1.0))


def test_tool_calls_come_in_pieces_and_their_names_once() -> None:
    first = {"index": 0, "id": "c1", "function": {"name": "add", "arguments": ""}}
    again = {"index": 0, "id": "c1", "function": {"name": "add", "arguments": '{"a"'}}
    rest = {"index": 0, "function": {"arguments": ":1}"}}
    second = {"id": "c2", "function": {"name": "sub", "arguments": {"b": 2}}}
    empty = {"index": 1}
    got = decode(
        delta(tool_calls=[first]), delta(tool_calls=[again]), delta(tool_calls=[rest]),
        delta(tool_calls=[first, second]), delta(tool_calls=[empty]), delta(None, "tool_calls"), DONE,
    )  # fmt: skip
    assert got[1:-1] == [
        ToolCallDelta(0, "c1", "add", ""),
        ToolCallDelta(0, "", "", '{"a"'),
        ToolCallDelta(0, "", "", ":1}"),
        ToolCallDelta(0, "", "", ""),
        ToolCallDelta(1, "c2", "sub", '{"b":2}'),
        ToolCallDelta(1),
    ]


def test_calls_that_share_a_number_are_told_apart_by_their_ids() -> None:
    def call(call_id: str, name: str, arguments: str) -> bytes:
        return delta(tool_calls=[{"index": 0, "id": call_id, "function": {"name": name, "arguments": arguments}}])

    pieces = [call("a", "add", "{"), call("a", "add", "}"), call("b", "add", "{"), call("b", "", "}")]
    answer = build_answer(decode(*pieces, delta(None, "tool_calls"), DONE))
    assert [(c.id, c.arguments) for c in answer.tool_calls] == [("a", "{}"), ("b", "{}")]


def test_no_answer_has_calls_without_end() -> None:
    pieces = [
        delta(tool_calls=[{"index": MAX_CALLS, "id": str(n), "function": {"name": "add"}}]) for n in range(2)
    ]
    with pytest.raises(BrokenAnswer, match="more than"):
        decode(*pieces)


def test_one_piece_may_hold_everything() -> None:
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    got = decode(delta("text", "stop", reasoning="thought", tool_calls=[call]), DONE)
    assert got[1:-1] == [ReasoningDelta("thought"), TextDelta("text"), ToolCallDelta(0, "c", "f", "{}")]


def test_a_refusal_is_what_the_model_said() -> None:
    assert decode(delta(refusal="No."), delta(None, "stop"), DONE)[1] == TextDelta("No.")


def test_unknown_fields_and_unknown_reasons_are_no_obstacle() -> None:
    odd = event(
        {"zzz": 1, "choices": [{"zzz": [], "delta": {"zzz": {}}, "finish_reason": "eaten"}], "error": None}
    )
    assert decode(odd, DONE)[-1] == Finished("eaten", None, Timings(1.0, 1.0))


def test_a_finished_answer_without_done_is_complete() -> None:
    ticks = clock(0.0)
    decoder = ChatEventDecoder("p", lambda: next(ticks))
    decoder.feed(delta("Hi", "stop"))
    assert not decoder.done
    assert decoder.close() == [Finished("stop", None, Timings(0.0, 0.0))]
    assert decoder.done
    assert decoder.close() == []


def test_what_follows_done_is_ignored() -> None:
    assert decode(delta("Hi", "stop") + DONE + delta("more") + b"data: garbage\n\n")[1] == TextDelta("Hi")


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (b"", "ended before the answer did"),
        (delta("Hi"), "ended before the answer did"),
        (delta("Hi") + b'data: {"choi', "ended before the answer did"),
        (delta("Hi") + DONE, "without a reason to finish"),
        (DONE, "without a reason to finish"),
        (b"data: <html>\n\n", "malformed"),
        (b"data: \xff\n\n", "malformed"),
        (b'data: {"model": "\xff"}\n\n', "not text"),
        (b"data: " + b"[" * 100_000 + b"\n\n", "not text|Expected `object`"),
        (b'data: {"zz": ' + b"[" * 100_000 + b"\n\n", "not text"),
        (b"data: 5\n\n", "Expected `object`"),
        (delta(7), "Expected `str"),
        (delta("x", reason=5), "Expected `str"),
        (event({"choices": {}}), "Expected `array"),
        (event({"choices": [{"index": 10**30}]}), "index|range"),
        (event({"choices": [{"index": -1}]}), "index"),
        (event({"choices": [], "usage": {"prompt_tokens": -5}}), "prompt_tokens"),
        (event({"choices": [], "usage": {"prompt_tokens": 1e300}}), "prompt_tokens"),
        (delta(tool_calls=[{"index": 99999}]), "index"),
        (b"data: " + b"x" * (17 * 2**20), "larger than"),
    ],
)
def test_a_broken_stream_is_a_broken_answer(stream: bytes, reason: str) -> None:
    with pytest.raises(BrokenAnswer, match=reason):
        decode(stream)


def test_an_error_in_the_stream_is_raised_as_what_it_is() -> None:
    error = {"code": 500, "message": "Compute error.", "type": "server_error"}
    for bad in (event({"error": error}), b"event: error\n" + event(error), event({"error": "Compute error."})):
        with pytest.raises(ProviderRefused, match=r"Compute error\.|answered"):
            decode(bad)
    exceeded = {"code": 400, "message": "x", "n_prompt_tokens": 9, "n_ctx": 5}
    with pytest.raises(ContextExceeded):
        decode(event({"error": exceeded}))
    with pytest.raises(ProviderRefused, match="odd"):
        decode(event({"error": "odd", "choices": 7}))


def test_events_before_an_error_are_given_first() -> None:
    decoder = ChatEventDecoder("p")
    assert decoder.feed(delta("Hi") + b"data: garbage\n\n" + delta("more")) == [Started("p", "m"), TextDelta("Hi")]
    assert decoder.done
    for _ in range(2):
        with pytest.raises(BrokenAnswer):
            decoder.feed(delta("more"))
        with pytest.raises(BrokenAnswer):
            decoder.close()


@given(st.binary())
def test_any_bytes_are_survived(data: bytes) -> None:
    with suppress(BridgeError):
        decode(b"data: " + data + b"\n\n", data)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
CHUNKS = st.fixed_dictionaries(
    {},
    optional={
        "model": JSON,
        "error": JSON,
        "usage": JSON,
        "timings": JSON,
        "choices": JSON
        | st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "index": JSON,
                    "finish_reason": JSON,
                    "delta": JSON | st.fixed_dictionaries({}, optional={"content": JSON, "tool_calls": JSON}),
                    "message": JSON,
                },
            ),
            max_size=2,
        ),
    },
)


@given(st.lists(CHUNKS, max_size=4))
def test_any_json_is_an_answer_or_an_error_of_ours(chunks: list[object]) -> None:
    with suppress(BridgeError):
        decode(*map(event, chunks), DONE)
    for chunk in chunks:
        data = json.dumps(chunk).encode()
        for attempt in (decode_chat_answer, lambda d, p: decode_embeddings(d, p, 1), decode_models):
            with suppress(BridgeError):
                attempt(data, "p")


def test_a_whole_answer_gives_the_same_as_its_stream() -> None:
    for asked in (ASKED, {**ASKED, "n": 1, "tools": [{"type": "function", "function": {"name": "f"}}]}):
        chunks = b"".join(event(chunk) for chunk in streamed_answer(asked)) + DONE
        streamed = build_answer(decode(chunks))
        ticks = clock(10.0, 15.0)
        whole = build_answer(
            decode_chat_answer(json.dumps(whole_answer(asked)).encode(), "p", partial(next, ticks), sent=9.0)
        )
        assert whole.message == streamed.message
        assert (whole.finish.usage, whole.model) == (streamed.finish.usage, "m")
        assert whole.finish.timings is not None
        assert whole.finish.timings.total_s >= 1.0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        b'{"choices": []}',
        b'{"choices": [{}]}',
        b'{"choices": [{"message": {}}]}',
        b'{"choices": [{"finish_reason": "stop"}]}',
        b'{"choices": [{"message": {"content": 1}, "finish_reason": "stop"}]}',
        b"<html></html>",
    ],
)
def test_what_is_no_whole_answer_is_broken(body: bytes) -> None:
    with pytest.raises(BrokenAnswer):
        decode_chat_answer(body, "p")


def test_an_error_with_a_good_status_is_an_error() -> None:
    body = b'{"error":"Unexpected endpoint or method. (POST /v1/x)"}'
    for decoder in (decode_chat_answer, decode_models):
        with pytest.raises(ProviderRefused, match="Unexpected endpoint"):
            decoder(body, "p")
    with pytest.raises(ProviderRefused, match="Unexpected endpoint"):
        decode_embeddings(body, "p", 1)


def vectors(*items: object, **more: object) -> bytes:
    return json.dumps({"data": list(items), **more}).encode()


def test_vectors_come_in_the_order_of_the_inputs() -> None:
    data = vectors(
        {"index": 1, "embedding": [3.0, 4]},
        {"index": 0, "embedding": [1, 2]},
        model="e",
        usage={"prompt_tokens": 5, "total_tokens": 5},
    )
    assert decode_embeddings(data, "p", 2) == Embeddings(((1.0, 2.0), (3.0, 4.0)), "p", "e", Usage(5))


def test_vectors_without_numbers_are_taken_as_they_come_and_may_be_base64() -> None:
    data = vectors({"embedding": [1, 2]}, {"embedding": "AACAPwAAAEA="})
    assert decode_embeddings(data, "p", 2) == Embeddings(((1.0, 2.0), (1.0, 2.0)), "p", "")


@pytest.mark.parametrize(
    "data",
    [
        vectors(),
        vectors({"embedding": [1]}),
        vectors({"embedding": [1]}, {"embedding": [1]}, {"embedding": [1]}),
        vectors({"embedding": [1], "index": 0}, {"embedding": [1], "index": 0}),
        vectors({"embedding": [1], "index": 1}, {"embedding": [1], "index": 2}),
        vectors({"embedding": [1]}, {"embedding": [1, 2]}),
        vectors({"embedding": []}, {"embedding": []}),
        vectors({"embedding": [1]}, {"embedding": ["a"]}),
        vectors({"embedding": [1]}, {"embedding": "!!"}),
        vectors({"embedding": [1]}, {"embedding": "AAA="}),
        vectors({"embedding": [1]}, {}),
        b"{}",
        b"[]",
        b"",
    ],
)
def test_vectors_that_do_not_fit_the_inputs_are_broken(data: bytes) -> None:
    with pytest.raises(BrokenAnswer):
        decode_embeddings(data, "p", 2)


def test_models_are_listed_with_what_servers_add() -> None:
    data = vectors(
        {"id": "a", "capabilities": ["tool_use", 5], "zz": 1}, {"id": "b", "capabilities": "x", "type": 7}
    )
    first, second = decode_models(data, "p")
    assert (first.id, first.abilities) == ("a", {"tool_use"})
    assert (second.id, second.abilities, second.type) == ("b", frozenset(), 7)


@pytest.mark.parametrize(
    "data", [b"{}", b'{"data": {}}', b'{"data": [{}]}', b'{"data": [{"id": 5}]}', b'{"models": []}']
)
def test_what_is_no_list_of_models_is_broken(data: bytes) -> None:
    with pytest.raises(BrokenAnswer):
        decode_models(data, "p")


@pytest.mark.parametrize("path", sorted(RECORDED.glob("*.sse")), ids=lambda path: path.stem)
def test_what_the_engine_really_streams_is_understood(path: Path) -> None:
    data = path.read_bytes()
    events = decode(data)
    assert decode(*(data[k : k + 1] for k in range(len(data)))) == events
    assert events[0] == Started("p", "lmbridge-tiny")
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.usage is not None
    assert last.usage.prompt_tokens > 0
    assert last.timings is not None
    assert last.timings.tokens_per_s is not None
    reasons = {"llama-chat": "length", "llama-two-choices": "length", "llama-tool-call": "tool_calls"}
    assert last.reason == reasons[path.stem]


def test_a_tool_call_of_the_engine_is_whole() -> None:
    answer = build_answer(decode((RECORDED / "llama-tool-call.sse").read_bytes()))
    (call,) = answer.tool_calls
    assert call.name == "get_weather"
    assert call.id
    assert json.loads(call.arguments).keys() == {"city"}


def test_both_choices_of_the_engine_come_apart() -> None:
    events = decode((RECORDED / "llama-two-choices.sse").read_bytes())
    texts = ["".join(e.text for e in events if isinstance(e, TextDelta) and e.index == k) for k in (0, 1)]
    assert texts == ["Hello! How", "Hello! How"]


def test_a_whole_answer_and_the_models_of_the_engine_are_understood() -> None:
    answer = build_answer(decode_chat_answer((RECORDED / "llama-chat.json").read_bytes(), "p"))
    assert answer.text.startswith("Hello")
    assert answer.finish.usage is not None
    (model,) = decode_models((RECORDED / "llama-models.json").read_bytes(), "p")
    assert model.id == "lmbridge-tiny"


def test_the_time_to_the_first_piece_is_not_that_of_saying_who_answers() -> None:
    times = iter((0.0, 2.0, 3.0, 3.0))
    decoder = ChatEventDecoder("p", clock=lambda: next(times))
    decoder.feed(b'data: {"model": "m", "choices": [{"index": 0, "delta": {"role": "assistant"}}]}\n\n')
    decoder.feed(b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}\n\n')
    last = decoder.feed(
        b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    )[-1]
    assert isinstance(last, Finished)
    assert last.timings is not None
    assert (last.timings.first_event_s, last.timings.total_s) == (2.0, 3.0)


def test_a_text_completion_is_understood_streamed_and_whole() -> None:
    pieces = [
        event({"model": "m", "choices": [{"index": 0, "text": text, "finish_reason": reason}]})
        for text, reason in [("Once ", None), ("upon", None), ("", "length")]
    ]
    assert decode(*pieces, DONE)[:-1] == [Started("p", "m"), TextDelta("Once "), TextDelta("upon")]
    body = {"model": "m", "choices": [{"index": 0, "text": "Once", "finish_reason": "stop", "logprobs": None}]}
    assert build_answer(decode_chat_answer(json.dumps(body).encode(), "p")).text == "Once"
    body["choices"] = [{"index": 0, "text": "", "finish_reason": "stop"}]
    assert build_answer(decode_chat_answer(json.dumps(body).encode(), "p")).text == ""


def test_measures_of_lm_studio_are_used_where_nothing_better_is_known() -> None:
    stats = {"tokens_per_second": 51.5, "time_to_first_token": 0.25, "stop_reason": "eosFound"}
    last = event({"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}], "stats": stats})
    assert decode(last, DONE)[-1] == Finished("stop", None, Timings(1.0, 5.0, 51.5))
    body = {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], "stats": stats}
    ticks = clock(10.0, 15.0)
    [*_, finished] = decode_chat_answer(json.dumps(body).encode(), "p", lambda: next(ticks))
    assert finished == Finished("stop", None, Timings(0.25, 5.0, 51.5))
    for odd in ({}, None, {"tokens_per_second": "fast", "time_to_first_token": -1}, {"tokens_per_second": True}):
        last = event({"choices": [{"delta": {}, "finish_reason": "stop"}], "stats": odd})
        assert decode(last, DONE)[-1] == Finished("stop", None, Timings(1.0, 1.0))


def test_a_usage_of_zeros_counts_nothing() -> None:
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    last = event({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": usage})
    assert decode(last, DONE)[-1] == Finished("stop", None, Timings(1.0, 1.0))


def reading(**numbers: object) -> bytes:
    said: dict[str, object] = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}}]}
    return event({"model": "m", **said, "prompt_progress": numbers})


def test_how_far_the_prompt_is_read_is_told_and_is_not_the_first_piece_of_the_answer() -> None:
    begun = reading(total=129, cache=0, processed=0, time_ms=0)
    ticks = clock(10.0, 13.0, 15.0)
    decoder = ChatEventDecoder("p", lambda: next(ticks))
    got = decoder.feed(begun) + decoder.feed(reading(total=129, cache=0, processed=129, time_ms=15))
    assert got == [Started("p", "m"), PromptProgress(0, 129), PromptProgress(129, 129)]
    *_, finished = decoder.feed(delta("x") + delta(reason="stop") + DONE)
    assert isinstance(finished, Finished)
    assert finished.timings is not None
    assert finished.timings.first_event_s == 3.0


def test_more_of_a_prompt_than_there_is_cannot_be_read() -> None:
    assert ChatEventDecoder("p").feed(reading(total=3, processed=9))[1] == PromptProgress(3, 3)
    with pytest.raises(BrokenAnswer):
        ChatEventDecoder("p").feed(reading(total=-3))


def test_the_tokens_of_a_prompt_are_a_number() -> None:
    assert decode_count(b'{"input_tokens":129,"object":"response.input_tokens"}', "p") == 129
    for broken in (b"{}", b'{"input_tokens": -1}', b'{"input_tokens": "9"}', b"129"):
        with pytest.raises(BrokenAnswer):
            decode_count(broken, "p")
