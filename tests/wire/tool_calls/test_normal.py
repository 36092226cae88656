from __future__ import annotations

import pytest

from lmbridge.core.errors import BrokenAnswer
from lmbridge.core.events import Event, Finished, ReasoningDelta, Started, TextDelta, ToolCallDelta
from lmbridge.core.messages import Tool
from lmbridge.core.requests import ChatRequest, Schema
from lmbridge.wire.tool_calls import NormalForm

CLOCK = Tool("clock", parameters={"type": "object"})
START = Started("fake", "m")
STOP = Finished("stop")


def passed(request: ChatRequest, *events: Event) -> list[Event]:
    form = NormalForm(request)
    return [e for event in events for e in form.feed(event)] + form.close()


def test_thoughts_words_and_calls_are_apart() -> None:
    request = ChatRequest("m", "?", tools=(CLOCK,))
    text = '<think>Hm.</think>\n\nI look. <tool_call>{"name": "clock", "arguments": {}}</tool_call>'
    started, thought, said, call, end = passed(request, START, TextDelta(text), STOP)
    assert (started, thought, said) == (START, ReasoningDelta("Hm."), TextDelta("I look. "))
    assert isinstance(call, ToolCallDelta)
    assert (call.name, call.arguments) == ("clock", "{}")
    assert end == Finished("tool_calls")


def test_an_empty_answer_is_one() -> None:
    assert passed(ChatRequest("m", "?"), START, STOP) == [START, STOP]


def test_who_wants_thoughts_in_the_text_gets_them_there() -> None:
    request = ChatRequest("m", "?", extra={"reasoning_format": "none"})
    events = [START, TextDelta("<think>Hm.</think>Yes"), STOP]
    assert passed(request, *events) == events


@pytest.mark.parametrize(
    "request_", [ChatRequest("m", "?", schema=Schema()), ChatRequest("m", "?", extra={"response_format": {}})]
)
def test_an_object_is_the_answer_where_a_shape_was_asked_for(request_: ChatRequest) -> None:
    text = '{"name": "clock", "arguments": {}}'
    with_tools = ChatRequest("m", "?", tools=(CLOCK,), schema=request_.schema, extra=request_.extra)
    assert passed(with_tools, START, TextDelta(text), STOP) == [START, TextDelta(text), STOP]


def test_what_was_asked_for_is_held_to() -> None:
    with pytest.raises(BrokenAnswer):
        passed(ChatRequest("m", "?", tools=(CLOCK,), tool_choice="required"), START, TextDelta("No"), STOP)


def test_words_after_the_first_pass_as_they_are_and_calls_among_them_are_still_seen() -> None:
    form = NormalForm(ChatRequest("m", "?"))
    first, more = TextDelta("Yes, <tool_call> "), TextDelta("</think> and ")
    assert form.feed(START) + form.feed(first) == [START, first]
    assert form.feed(more) == [more]
    call, *_ = form.feed(ToolCallDelta(0, "", "clock", "{}"))
    assert isinstance(call, ToolCallDelta)
    assert call.id
    assert form.feed(more)[-1] == more
