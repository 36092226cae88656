"""What is decided in a run with tools, without a model and without tools."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmbridge.core.acting import ActState, Repeat
from lmbridge.core.errors import InvalidRequest
from lmbridge.core.events import Answer, Finished, Usage
from lmbridge.core.messages import ImagePart, Message, TextPart, Tool, ToolCall
from lmbridge.core.requests import NamedTool
from lmbridge.core.tools import ToolResult
from lmbridge.hub.act import policy
from lmbridge.hub.act.policy import Carry, Limits, Outcome, Tell

ADD = Tool(
    "add",
    "Add.",
    {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False},
)
FREE = Tool("free", "Anything.", {"type": "object", "$dynamicRef": "#x"})
TOOLS = {"add": ADD, "free": FREE}
START = ActState(messages=(Message("user", "hi"),), began=1)
PICTURE = ImagePart("data:image/png;base64,AA==")

CALLS = st.lists(
    st.builds(
        lambda at, name, arguments: ToolCall(f"c{at}", name, arguments),
        st.integers(0, 99),
        st.sampled_from(["add", "free", "gone"]),
        st.sampled_from(['{"a": 1}', '{"a":1}', '{"a": 2}', "{}", "", "[]", "nonsense", '{"a": "x"}']),
    ),
    max_size=5,
    unique_by=lambda call: call.id,
)
LIMITS = st.builds(
    Limits,
    max_calls=st.one_of(
        st.none(), st.integers(0, 3), st.dictionaries(st.sampled_from(["add"]), st.integers(0, 2))
    ),
    identical_calls=st.integers(2, 4),
)


def call(name: str = "add", arguments: str = '{"a": 1}', id: str = "c") -> ToolCall:
    return ToolCall(id, name, arguments)


def answer(text: str = "", *calls: ToolCall, reason: str = "stop", usage: Usage | None = None) -> Answer:
    return Answer(Message("assistant", text, tool_calls=calls), Finished(reason, usage), "p", "m")


# ---- properties


@settings(deadline=None)
@given(st.lists(st.tuples(CALLS, st.sampled_from(["same", "other"])), max_size=6), LIMITS)
def test_whatever_a_model_calls_the_conversation_stays_whole_and_no_limit_is_passed(
    turns: list[tuple[list[ToolCall], str]], limits: Limits
) -> None:
    state, ran = START, Counter[str]()
    for number, (calls, result) in enumerate(turns):
        plan = policy.plan(state, calls, TOOLS, limits)
        assert [step.call for step in plan.steps] == calls
        if plan.stop is not None:
            assert not any(isinstance(step, Carry) for step in plan.steps)
        outcomes = [
            Outcome(step.call, ToolResult(result if result == "same" else f"{number}"), isinstance(step, Carry))
            for step in plan.steps
        ]
        ran.update(step.call.name for step in plan.steps if isinstance(step, Carry))
        turn = Message("assistant", tool_calls=tuple(calls))
        before = len(state.messages)
        state = policy.answered(state, turn, outcomes, plan.retry)
        added = state.messages[before:]
        assert [m.tool_call_id for m in added[1:]] == [c.id for c in calls]
        if plan.stop is not None:
            break
    for name, times in ran.items():
        assert state.calls[name] == times
        most = limits.calls_of(name)
        assert most is None or times <= most


@given(st.integers(2, 6))
def test_the_nth_identical_call_ends_the_run_and_not_an_earlier_one(most: int) -> None:
    state, limits = START, Limits(identical_calls=most)
    for number in range(1, most):
        spaced = call(arguments='{"a":' + " " * number + "1}")
        plan = policy.plan(state, [spaced], TOOLS, limits)
        assert plan.stop is None
        state = policy.answered(state, Message("assistant"), [Outcome(spaced, ToolResult("same"))])
    plan = policy.plan(state, [call()], TOOLS, limits)
    assert (plan.stop, plan.detail) == ("loop", f"add was called in the same way {most} times.")
    assert plan.steps == (Tell(call(), f"Not carried out. {plan.detail}"),)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_a_fingerprint_is_that_of_the_value_and_not_of_its_spelling(value: object) -> None:
    spelled = json.loads(json.dumps({"b": value, "a": 1}, indent=3))
    assert policy.fingerprint("f", spelled) == policy.fingerprint("f", {"a": 1, "b": value})
    assert policy.fingerprint("g", spelled) != policy.fingerprint("f", spelled)


# ---- limits


@pytest.mark.parametrize(
    "wrong", [{"max_rounds": 0}, {"max_tokens": 0}, {"identical_calls": 1}, {"max_seconds": 0.0}]
)
def test_a_limit_that_cannot_be_kept_is_refused_by_name(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidRequest, match=next(iter(wrong))):
        Limits(**wrong).check()
    Limits(max_tokens=1, max_seconds=0.1).check()


def test_the_budget_that_is_used_up_is_named() -> None:
    state = ActState(messages=(), began=0, rounds=3, tokens=50)
    assert policy.spent(state, Limits(), 1.0) is None
    assert policy.spent(state, Limits(max_rounds=None), 1.0) is None
    assert policy.spent(state, Limits(max_rounds=3), 1.0) == "rounds"
    assert policy.spent(state, Limits(max_tokens=50), 1.0) == "tokens"
    assert policy.spent(state, Limits(max_seconds=1.0), 1.0) == "seconds"
    assert policy.spent(state, Limits(max_seconds=1.0, max_tokens=51), 0.5) is None


def test_an_answer_may_be_as_long_as_is_left() -> None:
    state = ActState(messages=(), began=0, tokens=50)
    assert policy.most_tokens(state, Limits(), None) is None
    assert policy.most_tokens(state, Limits(), 10) == 10
    assert policy.most_tokens(state, Limits(max_tokens=70), 30) == 20
    assert policy.most_tokens(state, Limits(max_tokens=70), None) == 20


def test_a_tool_that_is_used_up_is_not_called_again() -> None:
    state = policy.answered(START, Message("assistant"), [Outcome(call(), ToolResult("1"))])
    plan = policy.plan(state, [call(arguments='{"a": 2}')], TOOLS, Limits(max_calls=1))
    assert (plan.stop, plan.detail) == ("calls", "add may be called 1 time.")
    assert policy.plan(state, [call(arguments='{"a": 2}')], TOOLS, Limits(max_calls={"free": 1})).stop is None
    two = [call(id="x"), call("free", "{}", "y"), call(arguments='{"a": 2}', id="z")]
    assert policy.plan(START, two, TOOLS, Limits(max_calls={"add": 0})).detail == "add may be called 0 times."


# ---- calls


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("ad", "{}", "Did you mean add?"),
        ("zzz", "{}", "There are: add, free."),
        ("add", "{", "not JSON"),
        ("add", "[1]", "not a JSON object"),
        ("add", "\ud800", "not JSON"),
        ("add", "", "lacks the property 'a'"),
        ("add", '{"a": "x", "b": 1}', "$.a is string, not integer; $ has the unexpected property 'b'"),
    ],
)
def test_what_is_wrong_with_a_call_is_said(name: str, arguments: str, said: str) -> None:
    found = policy.judged(call(name, arguments), TOOLS)
    assert isinstance(found, str)
    assert said in found


def test_a_schema_that_cannot_be_checked_lets_every_object_pass() -> None:
    assert policy.judged(call("free", '{"x": [1]}'), TOOLS) == {"x": [1]}
    assert policy.judged(call("gone"), {}) == "There is no tool 'gone'. There are: none."


def test_a_wrong_call_has_to_be_made_again_and_ends_the_run_the_second_time() -> None:
    wrong = call(arguments='{"a": "x"}')
    plan = policy.plan(START, [wrong, call("free", "{}", "d")], TOOLS, Limits())
    assert (plan.retry, plan.stop) == ("add", None)
    assert isinstance(plan.steps[1], Carry)
    state = policy.answered(START, Message("assistant"), [Outcome(wrong, ToolResult("no"), False)], plan.retry)
    assert policy.choice_of(state, "auto") == NamedTool("add")
    again = policy.plan(state, [wrong, call("free", "{}", "d")], TOOLS, Limits())
    assert again.stop == "invalid_call"
    assert again.steps[1] == Tell(call("free", "{}", "d"), f"Not carried out. {again.detail}")


def test_a_tool_that_there_is_not_makes_any_tool_required() -> None:
    assert policy.plan(START, [call("gone")], TOOLS, Limits()).retry == ""
    assert policy.plan(START, [call("add", "x"), call("free", "x", "d")], TOOLS, Limits()).retry == ""
    assert policy.choice_of(ActState(messages=(), began=0, retry=""), "auto") == "required"


def test_the_callers_choice_is_for_the_first_round() -> None:
    later = ActState(messages=(), began=0, rounds=1)
    assert policy.choice_of(START, "required") == "required"
    assert policy.choice_of(later, "required") == "auto"
    assert policy.choice_of(later, "none") == "none"
    assert policy.choice_of(ActState(messages=(), began=0, reshape=True), "auto") == "none"


# ---- answers


def test_an_answer_is_the_last_one_unless_it_calls() -> None:
    assert policy.ended(answer("hi"), START, Limits()) == "answered"
    assert policy.ended(answer("", call()), START, Limits()) is None
    assert policy.ended(answer("", call(), reason="length"), START, Limits()) == "length"
    assert policy.ended(answer("x", reason="content_filter"), START, Limits()) == "filtered"
    full = ActState(messages=(), began=0, tokens=9)
    assert policy.ended(answer("x", reason="length"), full, Limits(max_tokens=9)) == "tokens"


def test_the_shape_of_an_answer_is_checked() -> None:
    assert policy.shaped('{"a": 1}', ADD.parameters) == ({"a": 1}, "")
    assert policy.shaped("{", ADD.parameters)[1].startswith("The answer is not JSON")
    assert "lacks the property" in policy.shaped("{}", ADD.parameters)[1]


def test_tokens_are_added_up_and_pieces_count_where_nobody_counts_tokens() -> None:
    state = policy.asked(START, answer("x", usage=Usage(10, 2, 1, 1)), 7)
    state = policy.asked(state, answer("x", call(), usage=Usage(20, 3)), 7)
    assert (state.rounds, state.tokens, state.usage) == (2, 5, Usage(30, 5, 1, 1))
    assert state.pending is not None
    assert policy.asked(START, answer("x"), 7).tokens == 7


# ---- results


def test_a_repeated_result_is_counted_and_another_one_begins_anew() -> None:
    state = START
    for text, times in (("a", 1), ("a", 2), ("b", 1)):
        state = policy.answered(state, Message("assistant"), [Outcome(call(), ToolResult(text))])
        assert [r.times for r in state.repeats.values()] == [times]
    other = policy.answered(
        state, Message("assistant"), [Outcome(call(arguments="\ud800"), ToolResult("b"), False)]
    )
    assert (len(other.repeats), other.calls) == (2, {"add": 3})
    assert isinstance(next(iter(other.repeats.values())), Repeat)


def test_a_result_that_is_cut_says_how_much_is_left_out_and_keeps_its_pictures() -> None:
    short = ToolResult("12345", is_error=True)
    assert policy.fit(short, 5) == policy.fit(short, None) == short
    notice = "\n[Cut here: 2 of 5 characters are left out. Ask for less if you can.]"
    assert policy.fit(short, 3) == ToolResult("123" + notice, is_error=True)
    picture = ImagePart("data:image/png;base64,AA==")
    mixed = ToolResult((TextPart("12"), picture, TextPart("345"), TextPart("")))
    assert policy.fit(mixed, 3).content == (TextPart("12"), picture, TextPart("3"), TextPart(notice))
    notice = "\n[Cut here: 3 of 5 characters are left out. Ask for less if you can.]"
    assert policy.fit(mixed, 2).content == (TextPart("12"), picture, TextPart(notice))


def test_halves_of_letters_are_not_passed_on() -> None:
    assert policy.fit(ToolResult("a\udcff"), None) == ToolResult("a?")
    assert policy.fit(ToolResult((TextPart("\ud800"), TextPart("ä"))), 9).content == (TextPart("?"), TextPart("ä"))


def test_pictures_follow_in_a_turn_of_the_users() -> None:
    told = policy.results(
        [
            Outcome(call(id="1"), ToolResult((TextPart("a chart"), PICTURE))),
            Outcome(call(id="2"), ToolResult((PICTURE,))),
            Outcome(call(id="3"), ToolResult("words")),
        ]
    )
    assert [m.role for m in told] == ["tool", "tool", "tool", "user"]
    assert [m.text for m in told[:3]] == ["a chart", "1 picture(s), shown below.", "words"]
    assert told[3].content == (TextPart("From add:"), PICTURE, TextPart("From add:"), PICTURE)
