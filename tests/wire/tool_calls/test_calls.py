from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import pytest

from lmbridge.core.errors import BrokenAnswer
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
)
from lmbridge.core.messages import Tool, ToolCall
from lmbridge.core.requests import NamedTool, ToolChoice
from lmbridge.wire.tool_calls import ToolCalls

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [Tool("weather", parameters=CITY), Tool("clock", parameters={"type": "object"})]
STOP = Finished("stop")
CALLED = Finished("tool_calls")
LEAKED = TextDelta('<tool_call>{"name": "weather", "arguments": {"city": "Bern"}}</tool_call>')
BERN = '{"city": "Bern"}'


def passed(events: Sequence[Event], choice: ToolChoice | NamedTool = "auto", **how: bool) -> list[Event]:
    """What becomes of *events*; new ids are new1, new2 …"""
    numbers = count(1)
    calls = ToolCalls(TOOLS, choice, make_id=lambda: f"new{next(numbers)}", **how)
    return [e for event in (Started("fake", "m"), *events) for e in calls.feed(event)] + calls.close()


def built(events: Sequence[Event], choice: ToolChoice | NamedTool = "auto", **how: bool) -> Answer:
    """The answer that they add up to."""
    builder = AnswerBuilder()
    for event in passed(events, choice, **how):
        builder.feed(event)
    return builder.close()


def test_an_answer_without_calls_passes_as_it_is() -> None:
    events = [PromptProgress(1, 2), ReasoningDelta("Hm. "), TextDelta("Hello "), TextDelta("you"), STOP]
    assert passed(events) == [Started("fake", "m"), *events]


def test_a_call_in_normal_form_passes_piece_by_piece() -> None:
    events = [
        ToolCallDelta(0, "call_1", "weather"),
        ToolCallDelta(0, arguments='{"city": '),
        ToolCallDelta(0, arguments='"Bern"}'),
        CALLED,
    ]
    assert passed(events) == [Started("fake", "m"), *events]


def test_a_call_in_the_text_becomes_one_and_is_the_reason_to_end() -> None:
    answer = built([LEAKED, STOP])
    assert answer.tool_calls == (ToolCall("new1", "weather", '{"city":"Bern"}'),)
    assert (answer.text, answer.finish.reason) == ("", "tool_calls")


def test_calls_of_both_kinds_are_numbered_together() -> None:
    answer = built([ToolCallDelta(7, "a", "clock", "{}"), LEAKED, ToolCallDelta(9, "b", "clock", "{}"), CALLED])
    assert [call.id for call in answer.tool_calls] == ["a", "new1", "b"]


def test_missing_ids_are_given_and_equal_ones_told_apart() -> None:
    answer = built(
        [ToolCallDelta(0, "", "clock", "{}"), ToolCallDelta(1, "x", "clock"), ToolCallDelta(2, "x", "clock"), STOP]
    )
    assert [call.id for call in answer.tool_calls] == ["new1", "x", "new2"]
    assert [call.arguments for call in answer.tool_calls] == ["{}"] * 3


def test_without_an_id_one_is_made_that_nobody_has() -> None:
    calls = ToolCalls(TOOLS)
    made = [calls.feed(ToolCallDelta(n, "", "clock"))[-1] for n in range(2)]
    ids = {delta.id for delta in made if isinstance(delta, ToolCallDelta)}
    assert len(ids) == 2
    assert all(each.startswith("call_") and len(each) == 29 for each in ids)


@pytest.mark.parametrize("size", [1, 4, 100])
@pytest.mark.parametrize(
    ("written", "given"),
    [
        ('{"city": "Bern",}', BERN),
        ("{'city': 'Bern'}", BERN),
        ('{"city": "Bern"', BERN),
        ('"{\\"city\\": \\"Bern\\"}"', BERN),
        ('```json\n{"city": "Bern"}\n```', BERN),
        ('{"town": "Bern",}', '{"town": "Bern",}'),
        ("Bern", "Bern"),
        ("", ""),
    ],
)
def test_arguments_are_mended_only_if_the_tool_takes_them(written: str, given: str, size: int) -> None:
    pieces = [ToolCallDelta(0, arguments=written[k : k + size]) for k in range(0, len(written), size)]
    answer = built([ToolCallDelta(0, "a", "weather"), *pieces, CALLED])
    assert answer.tool_calls == (ToolCall("a", "weather", given),)


def test_a_call_of_no_advertised_tool_is_left_as_the_model_wrote_it() -> None:
    answer = built([ToolCallDelta(0, "a", "whether", "{'city': 'Bern'}"), CALLED])
    assert answer.tool_calls == (ToolCall("a", "whether", "{'city': 'Bern'}"),)


def test_each_call_is_whole_before_the_next_begins() -> None:
    events = [
        ToolCallDelta(0, "a", "weather", "{'city': "),
        ToolCallDelta(0, "", "", "'Bern'}"),
        ToolCallDelta(1, "b", "clock", "{"),
        ToolCallDelta(1, arguments="}"),
        CALLED,
    ]
    deltas = [e for e in passed(events) if isinstance(e, ToolCallDelta)]
    assert [delta.call for delta in deltas] == sorted(delta.call for delta in deltas)
    assert [call.arguments for call in built(events).tool_calls] == [BERN, "{}"]


def test_what_comes_late_for_a_call_is_not_lost() -> None:
    events = [
        ToolCallDelta(0, "a", "weather", '{"city": '),
        ToolCallDelta(1, "b", "clock", "{}"),
        ToolCallDelta(0, arguments='"Bern"}'),
        CALLED,
    ]
    assert [call.arguments for call in built(events).tool_calls] == [BERN, "{}"]


def test_a_name_may_come_after_the_first_piece() -> None:
    events = [
        ToolCallDelta(0, "a"),
        ToolCallDelta(0, arguments='{"ci'),
        ToolCallDelta(0, "", "weather", 'ty": "Bern"}'),
        CALLED,
    ]
    assert built(events).tool_calls == (ToolCall("a", "weather", BERN),)


def test_a_call_that_never_gets_a_name_is_a_broken_answer_unless_it_says_nothing() -> None:
    with pytest.raises(BrokenAnswer, match="no name"):
        passed([ToolCallDelta(0, "a", "", "{}"), CALLED])
    assert built([TextDelta("Hi"), ToolCallDelta(0), STOP]).tool_calls == ()
    assert built([ToolCallDelta(0, "a", "", "{"), Finished("length")]).tool_calls == ()


def test_an_answer_that_was_cut_off_says_so_and_its_call_is_not_completed() -> None:
    answer = built([ToolCallDelta(0, "a", "weather", '{"city": "Bern"'), Finished("length")])
    assert answer.finish.reason == "length"
    assert answer.tool_calls[0].arguments == '{"city": "Bern"'


@pytest.mark.parametrize(
    ("reason", "called", "told"),
    [
        ("stop", True, "tool_calls"),
        ("eos", True, "tool_calls"),
        ("content_filter", True, "content_filter"),
        ("tool_calls", False, "stop"),
        ("function_call", False, "stop"),
        ("eos", False, "eos"),
    ],
)
def test_the_reason_to_end_fits_the_calls(reason: str, called: bool, told: str) -> None:
    said = [TextDelta("Hm"), *([ToolCallDelta(0, "a", "clock", "{}")] if called else [])]
    assert built([*said, Finished(reason)]).finish.reason == told


def test_an_end_for_calls_that_are_not_there_is_a_broken_answer() -> None:
    with pytest.raises(BrokenAnswer, match="holds none"):
        passed([CALLED])


@pytest.mark.parametrize("choice", ["required", NamedTool("weather")])
def test_an_answer_that_had_to_hold_a_call_and_holds_none_is_an_error(choice: ToolChoice | NamedTool) -> None:
    with pytest.raises(BrokenAnswer, match="had to be called"):
        passed([TextDelta("No."), STOP], choice)
    assert built([LEAKED, STOP], choice).tool_calls
    assert built([TextDelta("I wou"), Finished("length")], choice).text == "I wou"


def test_another_tool_than_the_chosen_one_is_an_error() -> None:
    with pytest.raises(BrokenAnswer, match="'clock' although 'weather'"):
        passed([ToolCallDelta(0, "a", "clock", "{}"), CALLED], NamedTool("weather"))


def test_no_call_is_let_through_where_none_was_wanted() -> None:
    with pytest.raises(BrokenAnswer, match="no tool was to be called"):
        passed([ToolCallDelta(0, "a", "clock", "{}"), CALLED], "none")
    assert built([LEAKED, STOP], "none").text == LEAKED.text


@pytest.mark.parametrize("how", [{"parallel": False}, {"choice": NamedTool("weather")}])
def test_only_the_first_call_passes_where_one_was_wanted(how: dict[str, bool]) -> None:
    first, second = ToolCallDelta(0, "a", "weather", BERN), ToolCallDelta(1, "b", "weather", BERN)
    late = ToolCallDelta(1, arguments=" ")
    assert built([first, second, late, LEAKED, CALLED], **how).tool_calls == (ToolCall("a", "weather", BERN),)


def test_an_object_is_the_answer_where_one_was_asked_for() -> None:
    text = '{"name": "clock", "arguments": {}}'
    assert built([TextDelta(text), STOP]).tool_calls
    assert built([TextDelta(text), STOP], structured=True).text == text


def test_without_tools_nothing_is_kept_back() -> None:
    calls = ToolCalls([])
    assert calls.feed(LEAKED) == [LEAKED]
    assert calls.feed(ToolCallDelta(0, "a", "clock", "{}"))
    assert calls.feed(STOP) == [CALLED]
    assert calls.close() == []


def test_other_choices_of_an_answer_pass_as_they_are() -> None:
    events = [TextDelta("{", 1), ToolCallDelta(0, index=1), Finished("stop", index=1)]
    assert passed(events)[1:] == events


def test_what_was_kept_back_is_given_out_at_the_end_of_a_broken_stream() -> None:
    assert passed([TextDelta('{"name": "clo')])[1:] == [TextDelta('{"name": "clo')]
    assert passed([ToolCallDelta(0, "a", "clock", '{"a": 1')])[-1] == ToolCallDelta(0, arguments="1")
