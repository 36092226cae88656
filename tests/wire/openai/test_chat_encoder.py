from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

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
from lmbridge.wire.openai.answers import ChatEventDecoder
from lmbridge.wire.openai.chat_encoder import ChatEncoder, TextEncoder

COST = Usage(3, 4, 2)
SAID: list[Event] = [
    Started("p", "m-1"),
    PromptProgress(1, 2),
    ReasoningDelta("Hm."),
    TextDelta("Let me "),
    TextDelta("look."),
    ToolCallDelta(0, "call_1", "clock"),
    ToolCallDelta(0, arguments='{"zone"'),
    ToolCallDelta(0, arguments=': "é"}'),
    ToolCallDelta(1, "call_2", "clock", "{}"),
    Finished("tool_calls", COST),
]


def streamed(events: list[Event], *, include_usage: bool = False) -> bytes:
    encoder = ChatEncoder("chatcmpl-1", 7, "asked", include_usage=include_usage)
    return b"".join(map(encoder.feed, events)) + encoder.close()


def chunks(data: bytes) -> list[ChatCompletionChunk]:
    """Each chunk, checked by the official client's own types."""
    *pieces, done, rest = data.decode().split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [ChatCompletionChunk.model_validate(json.loads(each.removeprefix("data: "))) for each in pieces]


def whole(events: list[Event]) -> dict[str, object]:
    builder = AnswerBuilder()
    for event in events:
        builder.feed(event)
    body = ChatEncoder("chatcmpl-1", 7, "asked").whole(builder.close())
    ChatCompletion.model_validate_json(body)
    value = json.loads(body)
    assert isinstance(value, dict)
    return value


def test_a_stream_is_what_the_official_client_expects() -> None:
    got = chunks(streamed(SAID, include_usage=True))
    assert {(c.id, c.created, c.model, c.object) for c in got} == {
        ("chatcmpl-1", 7, "m-1", "chat.completion.chunk")
    }
    assert [c.choices[0].delta.role for c in got[:2]] == ["assistant", None]
    assert "".join(c.choices[0].delta.content or "" for c in got[:-1]) == "Let me look."
    assert got[-2].choices[0].finish_reason == "tool_calls"
    assert got[-1].choices == []
    assert got[-1].usage is not None
    assert got[-1].usage.total_tokens == 7


def test_our_own_decoder_reads_the_same_events_again() -> None:
    decoder = ChatEventDecoder("p", lambda: 0.0)
    got = decoder.feed(streamed(SAID, include_usage=True))
    end = got.pop()
    assert got == [event for event in SAID[:-1] if not isinstance(event, PromptProgress)]
    assert isinstance(end, Finished)
    assert (end.reason, end.usage) == ("tool_calls", COST)


def test_the_counts_are_streamed_only_if_asked_for_and_known() -> None:
    assert b"usage" not in streamed(SAID)
    assert b"usage" not in streamed([Started("p", ""), Finished("stop")], include_usage=True)


def test_a_provider_that_does_not_say_who_answers_is_believed_to_be_the_one_asked() -> None:
    assert chunks(streamed([Started("p", ""), TextDelta("Hi"), Finished("stop")]))[0].model == "asked"


def test_other_choices_are_left_out() -> None:
    assert chunks(streamed([TextDelta("Hi", 1), Finished("stop", index=1), Finished("stop")]))[0].choices[0]


def test_a_whole_answer_holds_everything() -> None:
    assert whole(SAID) == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 7,
        "model": "m-1",
        "choices": [
            {
                "message": {
                    "role": "assistant",
                    "content": "Let me look.",
                    "reasoning_content": "Hm.",
                    "tool_calls": [
                        {
                            "id": "call_1",
                            "type": "function",
                            "function": {"name": "clock", "arguments": '{"zone": "é"}'},
                        },
                        {"id": "call_2", "type": "function", "function": {"name": "clock", "arguments": "{}"}},
                    ],
                },
                "finish_reason": "tool_calls",
                "index": 0,
                "logprobs": None,
            }
        ],
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 4,
            "total_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 2},
        },
    }


def test_the_text_is_null_only_beside_calls() -> None:
    def said(*events: Event) -> object:
        (choice,) = whole([*events, Finished("stop")])["choices"]  # type: ignore[misc]
        return choice["message"]["content"]  # type: ignore[index]

    assert said() == ""
    assert said(ToolCallDelta(0, "a", "clock", "{}")) is None
    assert "usage" not in whole([Finished("stop")])


def test_another_api_may_add_to_what_ends_an_answer() -> None:
    def more(end: Finished) -> dict[str, object]:
        return {"why": end.reason}

    encoder = ChatEncoder("i", 7, "m", more=more)
    last = json.loads((encoder.feed(TextDelta("Hi")) + encoder.feed(Finished("stop"))).split(b"data: ")[2])
    assert (last["why"], last["choices"][0]["finish_reason"]) == ("stop", "stop")
    builder = AnswerBuilder()
    builder.feed(Finished("length"))
    assert json.loads(encoder.whole(builder.close()))["why"] == "length"


def test_a_text_completion_is_what_the_official_client_expects() -> None:
    encoder = TextEncoder("cmpl-1", 7, "asked", include_usage=True)
    events = [Started("p", "m-1"), TextDelta("so "), ReasoningDelta("Hm"), TextDelta("on"), Finished("stop", COST)]
    *pieces, done, _ = (b"".join(map(encoder.feed, events)) + encoder.close()).decode().split("\n\n")
    assert done == "data: [DONE]"
    got = [json.loads(piece.removeprefix("data: ")) for piece in pieces]
    assert "".join(c["choices"][0]["text"] for c in got[:-1]) == "so on"
    assert (got[0]["object"], got[0]["model"]) == ("text_completion", "m-1")
    # Its types know no piece without a reason to finish, though OpenAI sends it.
    assert Completion.model_validate(got[-2]).choices[0].finish_reason == "stop"
    assert Completion.model_validate(got[-1]).usage is not None
    builder = AnswerBuilder()
    for event in events:
        builder.feed(event)
    whole_one = Completion.model_validate_json(TextEncoder("cmpl-1", 7, "asked").whole(builder.close()))
    assert (whole_one.choices[0].text, whole_one.choices[0].finish_reason) == ("so on", "stop")


WORDS = st.text(max_size=9)
HAPPENINGS = st.one_of(
    st.builds(TextDelta, WORDS, st.integers(0, 1)),
    st.builds(ReasoningDelta, WORDS, st.integers(0, 1)),
    st.builds(ToolCallDelta, st.integers(0, 2), WORDS, WORDS, WORDS),
    st.builds(PromptProgress, st.integers(0, 9), st.integers(0, 9)),
    st.builds(
        Finished,
        st.sampled_from(["stop", "length", "tool_calls"]),
        st.none() | st.builds(Usage, st.integers(0, 9), st.integers(0, 9)),
    ),
)


@given(st.lists(HAPPENINGS, max_size=12), st.booleans())
def test_whatever_is_said_the_stream_is_well_formed_and_no_word_is_lost(
    happenings: list[Event], include_usage: bool
) -> None:
    data = streamed([Started("p", "m"), *happenings], include_usage=include_usage)
    pieces = [choice.delta for chunk in chunks(data) for choice in chunk.choices]
    said = [event for event in happenings if isinstance(event, TextDelta) and event.index == 0]
    assert "".join(piece.content or "" for piece in pieces) == "".join(event.text for event in said)
    encoder = TextEncoder("cmpl-1", 7, "asked")
    *texts, done, rest = (b"".join(map(encoder.feed, happenings)) + encoder.close()).decode().split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    told = [json.loads(text.removeprefix("data: ")) for text in texts]
    assert "".join(piece["choices"][0]["text"] for piece in told) == "".join(event.text for event in said)
