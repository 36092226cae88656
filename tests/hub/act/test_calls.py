"""The calls of a turn: who decides about each, and how they are made."""

from __future__ import annotations

import asyncio

import pytest
from tests.fakes.provider import called
from tests.hub.act.acting import ONE, TWO, acting, whole

from lmbridge.core.acting import (
    ActResult,
    ActState,
    Allow,
    CallAnswered,
    CallProgressed,
    CallRequested,
    Decision,
    Deny,
    Edit,
    InvalidCall,
    Pause,
)
from lmbridge.core.errors import InvalidRequest


async def test_calls_of_one_turn_are_made_at_the_same_time_or_one_by_one() -> None:
    pair = called(("add", '{"a": 1}'), ("add", '{"a": 2}'))
    for parallel, most in ((True, 2), (2, 2), (1, 1), (False, 1)):
        async with acting(pair, "Done.") as at:
            result = await at.run(parallel=parallel)
            assert (at.box.most, len(at.box.called)) == (most, 1 if parallel is False else 2)
            assert whole(result.state.messages)


async def test_who_is_asked_about_a_wrong_call_says_what_the_model_is_told() -> None:
    async def better(invalid: InvalidCall) -> str:
        return f"{invalid.call.name}, please"

    for ask, said in ((better, "add, please"), (lambda invalid: None, "The arguments are not JSON")):
        async with acting(called(("add", "nonsense")), ONE, "Done.") as at:
            result = await at.run(on_invalid=ask)
            assert said in result.messages[1].text


async def test_a_call_is_made_with_the_arguments_that_were_approved() -> None:
    decisions: list[Decision | bool] = [Allow(), True, Edit({"a": 7})]

    async def approve(request: CallRequested) -> Decision | bool:
        assert (request.box, request.tool) == ("box", "add")
        return decisions.pop(0)

    async with acting(ONE, called(("add", '{"a": 2}')), called(("add", '{"a": 3}')), "Done.") as at:
        result = await at.run(approve=approve)
    assert [arguments["a"] for _, arguments in at.box.called] == [1, 2, 7]
    assert result.messages[4].tool_calls[0].arguments == '{"a":7}'


async def test_a_call_that_is_denied_is_told_to_the_model_with_the_reason() -> None:
    async with acting(called(("add", '{"a": 1}'), ("add", '{"a": 2}')), "Well.") as at:
        result = await at.run(approve=lambda r: Deny("Not today.") if r.arguments["a"] == 1 else False)
    assert [m.text for m in result.messages[1:3]] == [
        "The user does not allow this call. Not today.",
        "The user does not allow this call.",
    ]
    answered = [event for event in result.events if isinstance(event, CallAnswered)]
    assert not any(event.carried_out for event in answered)
    assert at.box.called == []


async def test_a_call_that_is_denied_again_and_again_ends_the_run() -> None:
    async with acting(ONE) as at:
        assert (await at.run(approve=lambda _: False)).stop == "loop"


async def test_what_is_no_decision_allows_nothing() -> None:
    async with acting(ONE) as at:
        with pytest.raises(InvalidRequest, match="no decision"):
            await at.run(approve=lambda _: None)  # type: ignore[arg-type,return-value]
        with pytest.raises(InvalidRequest, match="cannot be called so"):
            await at.run(approve=lambda _: Edit({"a": "x"}))
    assert at.box.called == []
    assert len(at.chat) == 1


async def test_a_run_that_pauses_goes_on_from_its_state_in_another_process() -> None:
    async with acting(ONE, called(("add", '{"a": 2}')), "Done.") as at:
        first = await at.run(approve=lambda r: True if r.arguments["a"] == 1 else Pause())
        assert (first.stop, first.detail) == ("paused", "add waits for approval.")
        assert whole(at.chat.messages)
        assert at.box.called == [("add", {"a": 1})]
        state = ActState.from_json(first.state.to_json())
        assert state == first.state
        second = await at.run(state, approve=lambda _: True)
    assert (second.stop, second.rounds) == ("answered", 3)
    assert [arguments for _, arguments in at.box.called] == [{"a": 1}, {"a": 2}]
    assert at.chat.messages == second.state.messages
    assert second.seconds >= first.seconds


async def test_time_that_is_up_leaves_out_what_is_not_done() -> None:
    async with acting(TWO) as at:
        result = await at.run(max_seconds=0.2)
    assert result.stop == "seconds"
    assert whole(result.state.messages)


async def test_how_far_a_call_is_is_told_before_what_came_of_it() -> None:
    told: list[object] = []

    async def tell(event: CallProgressed | CallAnswered) -> None:
        await asyncio.sleep(0)
        told.append((event.fraction, event.text) if isinstance(event, CallProgressed) else event.result.text)

    async with acting(ONE, "Done.") as at:
        at.box.steps = [(0.5, "half"), (1.0, "whole")]
        result = await at.run(on_tool_progress=tell, on_tool_result=tell)
    assert told == [(0.5, "half"), (1.0, "whole"), "1"]
    kept = ActResult.from_json(result.to_json())
    assert [event.text for event in kept.events if isinstance(event, CallProgressed)] == ["half", "whole"]


async def test_who_fails_on_being_told_how_far_a_call_is_ends_the_run() -> None:
    def fail(event: CallProgressed) -> None:
        raise ZeroDivisionError("a fault")

    async with acting(called(("add", '{"a": 1}'), ("wait", "{}"))) as at:
        at.box.steps = [(0.5, "half"), (1.0, "whole")]
        with pytest.raises(ZeroDivisionError):
            await at.run(on_tool_progress=fail)
        assert at.box.now == 0
        assert whole(at.chat.messages)


async def test_a_result_too_large_is_cut_and_the_model_told_so() -> None:
    for most, length in ((None, 60_000), (10, 89)):
        async with acting(ONE, "Done.") as at:
            at.box.results = ["x" * 60_000]
            result = await at.run(max_result_chars=most)
            said = result.messages[1].text
            assert len(said) == length
            answered = next(event for event in result.events if isinstance(event, CallAnswered))
            assert answered.result.text == said
    assert said.startswith("xxxxxxxxxx\n[Cut here: 59,990 of 60,000 characters are left out.")
    async with acting(ONE, "Done.") as at:
        at.box.results = ["x" * 50_000_000]
        result = await at.run()
        assert len(result.to_json()) < 200_000


async def test_a_fault_of_one_call_stops_the_others() -> None:
    async with acting(TWO) as at:
        at.box.failure = ZeroDivisionError("a fault")
        with pytest.raises(ZeroDivisionError):
            await at.run()
        assert at.box.now == 0


async def test_calls_of_a_turn_that_ends_the_run_are_told_why_they_are_not_made() -> None:
    async with acting(called(("add", '{"a": 1}'), ("wait", "{}"))) as at:
        result = await at.run(max_calls={"wait": 0}, approve=lambda _: pytest.fail("nobody is asked"))
    assert [m.text for m in result.messages[1:]] == ["Not carried out. wait may be called 0 times."] * 2


async def test_a_wrong_call_is_told_to_the_model_as_it_is_where_nobody_is_asked() -> None:
    async with acting(called(("add", "nonsense")), ONE, "Done.") as at:
        result = await at.run()
    assert result.messages[1].text.startswith("The arguments are not JSON")
