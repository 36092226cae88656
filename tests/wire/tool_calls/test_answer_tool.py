from __future__ import annotations

from lmbridge.core.events import Event, Finished, ReasoningDelta, Started, TextDelta, ToolCallDelta, Usage
from lmbridge.core.messages import Tool
from lmbridge.core.requests import ChatRequest, Schema
from lmbridge.wire.tool_calls import NormalForm, wants_either, with_answer_tool
from lmbridge.wire.tool_calls.answer_tool import AnswerTool

CLOCK = Tool("clock", parameters={"type": "object"})
SHAPE = {"type": "object", "properties": {"hour": {"type": "integer"}}}
ASKED = ChatRequest("m", "?", tools=(CLOCK,), schema=Schema(SHAPE))
COST = Usage(1, 2)


def passed(*events: Event) -> list[Event]:
    tool = AnswerTool("final_answer")
    return [e for event in events for e in tool.feed(event)]


def test_only_who_may_call_and_wants_a_shape_wants_either() -> None:
    assert wants_either(ASKED)
    assert not wants_either(ChatRequest("m", "?", tools=(CLOCK,)))
    assert not wants_either(ChatRequest("m", "?", schema=Schema(SHAPE)))
    assert not wants_either(ChatRequest("m", "?", tools=(CLOCK,), schema=Schema(SHAPE), tool_choice="required"))


def test_the_shape_becomes_a_tool_and_one_has_to_be_called() -> None:
    asked, name = with_answer_tool(ASKED)
    assert name == "final_answer"
    assert [tool.name for tool in asked.tools] == ["clock", name]
    assert asked.tools[1].parameters == SHAPE
    assert (asked.tool_choice, asked.parallel_tool_calls, asked.schema) == ("required", False, None)


def test_its_name_is_nobody_elses_and_any_object_is_a_shape_too() -> None:
    asked, name = with_answer_tool(ChatRequest("m", "?", tools=(Tool("final_answer"),), schema=Schema()))
    assert name == "final_answer_"
    assert asked.tools[1].parameters == {"type": "object"}


def test_its_call_is_the_answer() -> None:
    assert passed(
        Started("p", "m"),
        ReasoningDelta("Hm"),
        ToolCallDelta(0, "a", "final_answer"),
        ToolCallDelta(0, arguments='{"hour"'),
        ToolCallDelta(0, arguments=": 3}"),
        Finished("tool_calls", COST),
    ) == [
        Started("p", "m"),
        ReasoningDelta("Hm"),
        TextDelta('{"hour"'),
        TextDelta(": 3}"),
        Finished("stop", COST),
    ]
    assert passed(ToolCallDelta(0, "a", "final_answer", "{}"), Finished("length")) == [
        TextDelta("{}"),
        Finished("length"),
    ]


def test_another_call_is_one() -> None:
    events = [ToolCallDelta(0, "a", "clock", "{}"), ToolCallDelta(0, arguments=" "), Finished("tool_calls")]
    assert passed(*events) == events


def test_the_normal_form_knows_it() -> None:
    asked, name = with_answer_tool(ASKED)
    form = NormalForm(asked, answer_tool=name)
    events = [ToolCallDelta(0, "a", name, '{"hour": 3}'), Finished("tool_calls")]
    assert [e for event in events for e in form.feed(event)] == [TextDelta('{"hour": 3}'), Finished("stop")]
