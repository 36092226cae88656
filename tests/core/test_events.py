from __future__ import annotations

import pytest

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


def built(*events: Event) -> Answer:
    builder = AnswerBuilder()
    for event in events:
        builder.feed(event)
    assert builder.finished
    return builder.close()


def test_events_add_up_to_the_answer_they_describe() -> None:
    answer = built(
        Started("p", "m"),
        PromptProgress(1, 3),
        ReasoningDelta("hm"),
        TextDelta("Hel"),
        TextDelta("lo"),
        ToolCallDelta(1, "id1", "second", "{}"),
        ToolCallDelta(0, "id0", "first", '{"a"'),
        ToolCallDelta(0, arguments=": 1}"),
        Finished("tool_calls", Usage(3, 4)),
    )
    calls = (ToolCall("id0", "first", '{"a": 1}'), ToolCall("id1", "second", "{}"))
    assert answer.message == Message("assistant", "Hello", reasoning="hm", tool_calls=calls)
    assert (answer.text, answer.tool_calls, answer.provider, answer.model) == ("Hello", calls, "p", "m")
    assert answer.finish.usage is not None
    assert answer.finish.usage.total_tokens == 7


def test_other_choices_do_not_get_into_the_answer() -> None:
    assert built(TextDelta("a"), TextDelta("b", index=1), Finished("stop", index=0)).text == "a"


def test_events_that_stop_early_are_no_answer() -> None:
    builder = AnswerBuilder()
    builder.feed(TextDelta("a"))
    builder.feed(Finished("stop", index=1))
    assert not builder.finished
    with pytest.raises(ValueError, match="before the answer was finished"):
        builder.close()


def test_how_far_a_prompt_is_read_is_a_share_of_it() -> None:
    assert PromptProgress(1, 4).fraction == 0.25
    assert PromptProgress(0, 0).fraction == 1.0
    assert PromptProgress(9, 4).fraction == 1.0


@pytest.mark.parametrize(
    ("reason", "stop"),
    [("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "refusal"), ("odd", "odd")],
)
def test_an_answer_tells_why_it_ended_in_the_words_of_tool_loops(reason: str, stop: str) -> None:
    answer = Answer(Message("assistant", "Hi"), Finished(reason, Usage(1, 2)), "p", "m")
    assert (answer.stop_reason, answer.usage) == (stop, Usage(1, 2))
    calling = Answer(Message("assistant", tool_calls=(ToolCall("1", "f", "{}"),)), Finished(reason), "p", "m")
    assert (calling.stop_reason, calling.usage) == ("tool_use", None)
