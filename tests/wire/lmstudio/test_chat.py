from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.errors import (
    BridgeError,
    BrokenAnswer,
    ContextExceeded,
    InvalidRequest,
    ModelNotFound,
    ProviderRefused,
    UnsupportedParameter,
)
from lmbridge.core.events import Finished, ReasoningDelta, Started, TextDelta, Timings, Usage
from lmbridge.core.messages import ImagePart, TextPart
from lmbridge.core.requests import Sampling
from lmbridge.wire.lmstudio.chat import (
    Loading,
    NativeChatDecoder,
    NativeEvent,
    Reading,
    ToolFailed,
    ToolRun,
    encode_native_chat,
)

STREAM = (Path(__file__).parents[2] / "transcripts" / "lmstudio" / "native-chat.sse").read_bytes()
MODEL = "openai/gpt-oss-20b"
ID = "resp_02b2017dbc06c12bfc353a2ed6c2b802f8cc682884bb5716"
EVENTS: list[NativeEvent] = [
    Started("p", MODEL),
    Loading(0.0, MODEL),
    Loading(0.65, MODEL),
    Loading(1.0, MODEL),
    Reading(0.0),
    Reading(0.5),
    Reading(1.0),
    ReasoningDelta("Need to"),
    ReasoningDelta(" look. "),
    ToolRun("model_search", '{"limit":1}', '[{"type":"text"}]', "huggingface"),
    ToolFailed("Cannot find tool with name open_browser.", "open_browser"),
    TextDelta("Über "),
    TextDelta("alles 🙂"),
    Finished("stop", Usage(329, 268), Timings(0.781, 5.0, 43.73)),
]
STATS = {"input_tokens": 3, "total_output_tokens": 2}


def clock(*times: float) -> Iterator[float]:
    yield from times
    while True:
        yield times[-1]


def new() -> NativeChatDecoder:
    ticks = clock(10.0, 11.0, 15.0)
    return NativeChatDecoder("p", "m", lambda: next(ticks))


def fed(data: bytes) -> None:
    decoder = new()
    decoder.feed(data)
    decoder.close()


def event(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def result(*items: dict[str, object], **more: object) -> dict[str, object]:
    return {"model_instance_id": "m", "output": list(items), "stats": STATS, **more}


@given(st.lists(st.integers(0, len(STREAM))))
def test_any_split_of_the_bytes_gives_the_same_events(cuts: list[int]) -> None:
    edges, decoder = sorted({0, *cuts, len(STREAM)}), new()
    got = [e for a, b in pairwise(edges) for e in decoder.feed(STREAM[a:b])]
    assert got + decoder.close() == EVENTS
    assert (decoder.response_id, decoder.load_seconds, decoder.done) == (ID, 12.34, True)


@given(st.integers(0, len(STREAM) - 3))
def test_a_stream_that_is_cut_anywhere_is_broken(end: int) -> None:
    decoder = new()
    decoder.feed(STREAM[:end])
    with pytest.raises(BrokenAnswer, match="ended before the answer did"):
        decoder.close()


def test_what_follows_the_end_is_not_read() -> None:
    decoder = new()
    assert decoder.feed(STREAM + b"data: garbage\n\n") == EVENTS
    assert decoder.close() == []


def test_what_the_stream_left_out_is_taken_from_its_end() -> None:
    items: list[dict[str, object]] = [
        {"type": "reasoning", "content": "Hm."},
        {"type": "tool_call", "tool": "t", "output": {"a": 1}, "provider_info": {"plugin_id": "mcp/x"}},
        {"type": "invalid_tool_call"},
        {"type": "news"},
        {"type": "message", "content": "Hi"},
    ]  # fmt: skip
    got = new().feed(event("chat.end", result=result(*items)))
    assert got[:-1] == [
        Started("p", "m"),
        ReasoningDelta("Hm."),
        ToolRun("t", "", '{"a":1}', "mcp/x"),
        ToolFailed("no reason was given"),
        TextDelta("Hi"),
    ]
    assert isinstance(got[-1], Finished)
    assert got[-1].usage == Usage(3, 2)


def test_an_answer_that_was_not_streamed_gives_the_same_events() -> None:
    decoder = new()
    body = result({"type": "message", "content": "Hi"}, response_id="resp_1")
    assert decoder.whole(json.dumps(body).encode())[:-1] == [Started("p", "m"), TextDelta("Hi")]
    assert decoder.response_id == "resp_1"


def test_what_was_not_measured_is_not_claimed() -> None:
    body = {"output": [{"type": "message", "content": "Hi"}], "stats": {"input_tokens": 0}}
    assert new().whole(json.dumps(body).encode())[-1] == Finished("stop", None, Timings(1.0, 5.0))
    del body["stats"]
    assert new().whole(json.dumps(body).encode())[0] == Started("p", "")


def test_an_error_in_the_stream_comes_after_what_was_said() -> None:
    decoder = new()
    words = "The number of tokens is greater than the context length"
    failed = event("error", error={"type": "internal_error", "message": words, "code": "unknown"})
    said = event("chat.start", model_instance_id="m") + event("message.delta", content="Hi")
    assert decoder.feed(said + failed + STREAM) == [Started("p", "m"), TextDelta("Hi")]
    assert decoder.done
    for ask in (lambda: decoder.feed(b""), decoder.close):
        with pytest.raises(ContextExceeded):
            ask()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"event: error\ndata: it broke\n\n", ProviderRefused),
        (b'data: {"error": "it broke"}\n\n', ProviderRefused),
        (b'event: error\ndata: {"error": {"type": "model_not_found", "message": "no"}}\n\n', ModelNotFound),
        (b"data: not json\n\n", BrokenAnswer),
        (b'data: {"type": 7}\n\n', BrokenAnswer),
        (event("chat.end", result={"error": {"type": "model_not_found", "message": "no"}}), ModelNotFound),
        (event("chat.end"), BrokenAnswer),
        (event("chat.end", result=[]), BrokenAnswer),
        (event("chat.end", result=result()), BrokenAnswer),
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
        (b'{"error": "Unexpected endpoint or method. (POST /api/v1/chat)"}', BridgeError),
        (b'{"error": {"type": "model_not_found", "message": "no"}}', ModelNotFound),
        (b"{}", BrokenAnswer),
        (b"<html>", BrokenAnswer),
    ],
)
def test_a_200_that_is_no_answer_is_an_error(data: bytes, kind: type[BridgeError]) -> None:
    with pytest.raises(kind):
        new().whole(data)


def test_empty_pieces_and_news_are_no_events() -> None:
    assert new().feed(event("message.delta", content="") + event("brand.new", content="x")) == []
    got = new().feed(event("chat.start") + event("chat.start") + event("prompt_processing.progress", progress="x"))
    assert got == [Started("p", ""), Reading(0.0)]


def test_a_request_says_only_what_is_wanted() -> None:
    assert encode_native_chat("m", "Hi") == {"model": "m", "input": "Hi", "stream": True}
    assert encode_native_chat(
        "m",
        (TextPart("a"), TextPart("b")),
        system="Be brief.",
        sampling=Sampling(temperature=0.0, top_p=0.9, top_k=3, min_p=0.1, repeat_penalty=1.1, max_tokens=9),
        reasoning="low",
        context_length=4096,
        integrations=["mcp/x"],
        previous_response_id="resp_1",
        store=False,
    ) == {
        "model": "m",
        "input": "ab",
        "stream": True,
        "system_prompt": "Be brief.",
        "reasoning": "low",
        "context_length": 4096,
        "integrations": ["mcp/x"],
        "previous_response_id": "resp_1",
        "store": False,
        "temperature": 0.0,
        "top_p": 0.9,
        "top_k": 3,
        "min_p": 0.1,
        "repeat_penalty": 1.1,
        "max_output_tokens": 9,
    }


def test_pictures_go_beside_the_text() -> None:
    url = "data:image/png;base64,AAAA"
    assert encode_native_chat("m", [TextPart("What?"), ImagePart(url)])["input"] == [
        {"type": "message", "content": "What?"},
        {"type": "image", "data_url": url},
    ]
    with pytest.raises(InvalidRequest, match="data:image"):
        encode_native_chat("m", [ImagePart("https://example.com/a.png")])


@pytest.mark.parametrize("sampling", [Sampling(seed=1), Sampling(stop=("x",)), Sampling(logprobs=0)])
def test_ways_of_sampling_that_the_route_does_not_know_are_refused(sampling: Sampling) -> None:
    with pytest.raises(UnsupportedParameter):
        encode_native_chat("m", "Hi", sampling=sampling)


def test_the_line_end_after_the_last_event_may_be_missing() -> None:
    decoder = new()
    got = decoder.feed(STREAM.rstrip())
    assert got + decoder.close() == EVENTS
    assert decoder.done


def test_an_error_in_the_last_event_is_one_without_the_line_end_too() -> None:
    for data in (b'data: {"error": "it broke"}', event("chat.end", result=result()).rstrip()):
        decoder = new()
        decoder.feed(data)
        with pytest.raises(BridgeError):
            decoder.close()
