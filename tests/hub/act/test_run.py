"""The loop, over a provider that says what the test wrote down."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.provider import ScriptedTurns, called
from tests.hub.act.acting import ONE, TWO, acting, whole
from tests.hub.act.conftest import broken

from lmbridge.core.acting import (
    ActState,
    Fragment,
    Pause,
)
from lmbridge.core.errors import BrokenAnswer, ProviderUnavailable
from lmbridge.core.events import (
    Event,
    Finished,
    PromptProgress,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from lmbridge.core.messages import Message
from lmbridge.core.requests import NamedTool, Sampling, Schema

SHAPE: dict[str, object] = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


# ---- rounds


async def test_the_model_calls_until_it_answers_and_the_chat_grows() -> None:
    async with acting(ONE, "It is one.") as at:
        result = await at.run()
    assert (result.stop, result.text, result.rounds) == ("answered", "It is one.", 2)
    assert result.tokens == Usage(30, 7)
    assert result.seconds > 0
    assert at.box.called == [("add", {"a": 1})]
    assert at.chat.messages == result.state.messages
    assert [m.role for m in result.messages] == ["assistant", "tool", "assistant"]
    assert whole(result.state.messages)
    assert [request.tool_choice for request in at.provider.requests] == ["auto", "auto"]


async def test_everybody_is_told_what_happens_in_order() -> None:
    told: list[str] = []

    async def tell(event: object) -> None:
        told.append(type(event).__name__)

    async with acting(
        [PromptProgress(1, 2), ReasoningDelta("hm"), TextDelta("a"), TextDelta("b", 1), *ONE], "Done."
    ) as at:
        result = await at.run(
            on_round_start=tell,
            on_first_token=tell,
            on_prompt_progress=tell,
            on_prediction_fragment=tell,
            on_tool_call=tell,
            on_tool_result=tell,
            on_round_end=tell,
            on_state=lambda state: told.append(f"state {state.rounds}"),
        )
    assert told == [
        "RoundStarted",
        "PromptRead",
        "FirstToken",
        "Fragment",
        "Fragment",
        "CallRequested",
        "CallAnswered",
        "RoundEnded",
        "state 1",
        "RoundStarted",
        "FirstToken",
        "Fragment",
        "RoundEnded",
        "state 2",
        "state 2",
    ]
    assert at.provider.requests[0].progress
    fragments = [event for event in result.events if isinstance(event, Fragment)]
    assert [(f.content, f.reasoning) for f in fragments] == [("hm", True), ("a", False), ("Done.", False)]


async def test_without_an_ear_for_it_the_prompts_progress_is_not_asked_for() -> None:
    async with acting("Hi") as at:
        await at.run()
    assert not at.provider.requests[0].progress


async def test_what_the_caller_wants_of_each_answer_is_asked_for() -> None:
    async with acting("Hi") as at:
        await at.run(
            sampling=Sampling(temperature=0, max_tokens=50),
            max_tokens=30,
            tool_choice="none",
            reasoning_effort="low",
            extra={"x": 1},
            truncate=False,
            parallel=False,
        )
    asked = at.provider.requests[0]
    assert asked.sampling == Sampling(temperature=0, max_tokens=30)
    assert (asked.reasoning_effort, asked.extra, asked.tool_choice) == ("low", {"x": 1}, "none")
    assert asked.parallel_tool_calls is False


# ---- budgets


async def test_rounds_and_tokens_that_are_used_up_end_the_run() -> None:
    async with acting(ONE) as at:
        result = await at.run(max_rounds=2)
        assert (result.stop, result.rounds, result.answer) == ("rounds", 2, None)
        assert whole(at.chat.messages)
        result = await at.run(max_tokens=5)
        assert (result.stop, result.rounds) == ("tokens", 1)


async def test_an_answer_that_is_cut_is_kept_without_its_calls() -> None:
    cut: list[Event] = [
        TextDelta("I will"),
        ToolCallDelta(0, "c", "add", '{"a": 1}'),
        Finished("length", Usage(1, 9)),
    ]
    async with acting(cut) as at:
        result = await at.run()
        assert (result.stop, result.text) == ("length", "I will")
        assert at.chat.messages[-1] == Message("assistant", "I will")
        assert (await at.run(max_tokens=9)).stop == "tokens"
    async with acting([Finished("content_filter")]) as at:
        result = await at.run()
        assert (result.stop, result.messages) == ("filtered", ())


async def test_time_that_is_up_while_the_model_writes_keeps_its_words() -> None:
    async with acting([TextDelta("So far"), ScriptedTurns.WAIT]) as at:
        result = await at.run(max_seconds=0.2)
        assert (result.stop, result.text) == ("seconds", "So far")
        assert at.chat.messages[-1] == Message("assistant", "So far")
    async with acting([ScriptedTurns.WAIT]) as at:
        result = await at.run(max_seconds=0.05)
        assert (result.stop, result.messages) == ("seconds", ())


async def test_time_that_is_up_while_tools_work_keeps_what_is_there() -> None:
    async with acting(TWO) as at:
        result = await at.run(max_seconds=0.2)
    assert result.stop == "seconds"
    assert [m.text for m in result.messages[1:]] == ["1", "Not carried out. There was no time for it."]
    assert whole(result.state.messages)


async def test_time_that_is_up_while_somebody_decides_leaves_the_calls_for_another_time() -> None:
    async def never(request: object) -> bool:
        await asyncio.Event().wait()
        return True

    async with acting(ONE, "Done.") as at:
        first = await at.run(approve=never, max_seconds=0.05)
        assert (first.stop, first.detail) == ("seconds", "Nobody decided about a call in time.")
        assert (len(at.chat), at.box.called) == (1, [])
        second = await at.run(ActState.from_json(first.state.to_json()), approve=lambda _: True)
    assert (second.stop, at.box.called) == ("answered", [("add", {"a": 1})])
    assert at.chat.messages == second.state.messages


async def test_a_time_limit_of_somebody_else_is_his_error() -> None:
    async def slow(event: object) -> None:
        raise TimeoutError("mine")

    async with acting(ONE) as at:
        with pytest.raises(TimeoutError, match="mine"):
            await at.run(on_prediction_fragment=slow, on_first_token=slow, max_seconds=30)
        with pytest.raises(TimeoutError, match="mine"):
            await at.run(on_tool_result=slow, max_seconds=30)
        with pytest.raises(TimeoutError, match="mine"):
            await at.run(on_tool_call=slow, max_seconds=30)
    assert whole(at.chat.messages)


async def test_a_tool_may_be_called_so_often() -> None:
    async with acting(ONE, called(("add", '{"a": 2}'))) as at:
        result = await at.run(max_calls={"add": 1})
    assert (result.stop, len(at.box.called)) == ("calls", 1)
    assert result.messages[-1].text == "Not carried out. add may be called 1 time."
    assert whole(result.state.messages)


async def test_a_call_that_had_to_be_made_again_is_not_asked_of_a_tool_that_is_gone() -> None:
    async with acting(ONE, "Done.") as at:
        state = ActState(messages=at.chat.messages, began=1, retry="gone")
        assert (await at.run(state)).stop == "answered"
        assert at.provider.requests[0].tool_choice == "required"
    async with acting("Done.") as at:
        model = await at.hub.model("talker")
        assert (await model.act(state, [])).stop == "answered"


async def test_a_run_that_was_paused_begins_with_the_calls_that_wait() -> None:
    async with acting(ONE, "Done.") as at:
        first = await at.run(approve=lambda _: Pause())
        second = await at.run(first.state)
    assert (first.stop, first.rounds, second.stop, second.rounds) == ("paused", 1, "answered", 2)
    assert at.chat.messages == second.state.messages


# ---- going wrong


async def test_the_third_identical_call_is_not_made_and_ends_the_run() -> None:
    async with acting(ONE) as at:
        result = await at.run()
    assert (result.stop, len(at.box.called), result.rounds) == ("loop", 2, 3)
    assert whole(result.state.messages)


async def test_the_same_call_with_other_results_is_no_loop() -> None:
    async with acting(ONE, ONE, ONE, ONE, "Done.") as at:
        at.box.results = ["1", "2", "3", "4"]
        assert (await at.run()).stop == "answered"


async def test_a_wrong_call_goes_back_with_what_is_wrong_and_has_to_be_made_again() -> None:
    async with acting(called(("add", '{"a": "x"}')), ONE, "Done.") as at:
        result = await at.run(tool_choice="auto")
    assert [r.tool_choice for r in at.provider.requests] == ["auto", NamedTool("add"), "auto"]
    assert result.stop == "answered"
    assert "is string, not integer" in result.messages[1].text
    assert at.box.called == [("add", {"a": 1})]


async def test_a_call_that_is_wrong_twice_ends_the_run() -> None:
    async with acting(called(("nothing", "{}"))) as at:
        result = await at.run()
    assert [r.tool_choice for r in at.provider.requests] == ["auto", "required"]
    assert (result.stop, at.box.called) == ("invalid_call", [])
    assert "There is no tool 'nothing'" in result.detail
    assert whole(result.state.messages)


async def test_a_model_that_does_not_call_although_it_has_to_ends_the_run() -> None:
    async with acting(called(("add", "nonsense")), "I would rather not.") as at:
        result = await at.run()
    assert (result.stop, result.rounds) == ("invalid_call", 1)
    assert "had to be called" in result.detail
    assert whole(at.chat.messages)


async def test_a_broken_box_is_told_to_the_model() -> None:
    async with acting(ONE, "It is broken.") as at:
        at.box.failure = broken("The box is broken.")
        result = await at.run()
    assert (result.stop, result.messages[1].text) == ("answered", "The box is broken.")


async def test_a_fault_of_a_box_is_raised_and_the_chat_stays_as_it_was() -> None:
    async with acting(ONE) as at:
        at.box.failure = ZeroDivisionError("a fault")
        with pytest.raises(ZeroDivisionError):
            await at.run()
    assert len(at.chat) == 1


async def test_a_model_that_cannot_be_asked_is_an_error() -> None:
    async with acting(ProviderUnavailable("scripted", "it is down")) as at:
        with pytest.raises(ProviderUnavailable):
            await at.run()
    async with acting([TextDelta("and then")]) as at:
        with pytest.raises(BrokenAnswer):
            await at.run()
    async with acting(BrokenAnswer("scripted", "it is not JSON")) as at:
        with pytest.raises(BrokenAnswer):
            await at.run()


# ---- the shape of the answer


async def test_the_answer_has_the_shape_that_was_asked_for() -> None:
    async with acting(ONE, '{"n": 1}') as at:
        result = await at.run(schema=SHAPE)
    assert (result.stop, result.value) == ("answered", {"n": 1})
    assert [r.schema for r in at.provider.requests] == [Schema(SHAPE)] * 2
    async with acting("{}") as at:
        assert (await at.run(schema=Schema())).value == {}


async def test_an_answer_of_a_wrong_shape_is_asked_for_once_more() -> None:
    async with acting("It is one.", '{"n": 1}') as at:
        result = await at.run(schema=SHAPE)
        assert (result.stop, result.value, result.rounds) == ("answered", {"n": 1}, 2)
        assert [r.tool_choice for r in at.provider.requests] == ["auto", "none"]
        assert at.chat.messages[1:] == (Message("assistant", '{"n": 1}'),)
    async with acting("It is one.") as at:
        result = await at.run(schema=SHAPE)
        assert (result.stop, result.value, result.rounds) == ("invalid_answer", None, 2)
        assert at.chat.messages[1:] == (Message("assistant", "It is one."),)


# ---- being left


async def test_who_leaves_while_the_model_writes_has_the_chat_as_it_was() -> None:
    async with acting([TextDelta("So"), ScriptedTurns.WAIT]) as at:
        task = asyncio.ensure_future(at.run())
        await at.provider.writing.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(at.chat) == 1
        assert (await at.hub.instances())[0].leases == 0


async def test_who_leaves_while_tools_work_keeps_what_was_done() -> None:
    async with acting(TWO) as at:
        states: list[ActState] = []
        answered = asyncio.Event()
        task = asyncio.ensure_future(at.run(on_tool_result=lambda _: answered.set(), on_state=states.append))
        await at.box.waiting.wait()
        await answered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [m.text for m in at.chat.messages[2:]] == ["1", "Not carried out. The run was stopped."]
    assert whole(at.chat.messages)


async def test_who_leaves_before_a_tool_has_done_anything_has_the_chat_as_it_was() -> None:
    async with acting(called(("wait", "{}"))) as at:
        task = asyncio.ensure_future(at.run())
        await at.box.waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(at.chat) == 1


@settings(deadline=None)
@given(st.integers(0, 120), st.booleans(), st.booleans())
def test_whenever_it_is_cancelled_the_chat_is_whole(steps: int, parallel: bool, slowly: bool) -> None:
    async def scenario() -> None:
        pair = called(("add", '{"a": 1}'), ("add", '{"a": 2}'))
        async with acting(pair, "and", called(("add", '{"a": 3}')), "Done.") as at:
            await at.hub.load("talker")
            at.provider.turns.insert(1, called(("add", "wrong")))
            at.box.steps = [(0.5, "half")]

            async def hesitate(message: Message) -> None:
                await asyncio.sleep(0)
                at.chat.append(message)

            async def told_slowly(event: object) -> None:
                await asyncio.sleep(0)

            model = await at.hub.model("talker")
            told = hesitate if slowly else at.chat.append
            run = model.act(
                at.chat.copy(), [at.box], on_message=told, on_tool_progress=told_slowly, parallel=parallel or 1
            )
            task = asyncio.ensure_future(run)
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert whole(at.chat.messages)

    asyncio.run(scenario())


async def test_whoever_fails_to_take_one_turn_is_given_the_others_all_the_same() -> None:
    async with acting(ONE, "Done.") as at:
        model = await at.hub.model("talker")

        def fails(message: Message) -> None:
            at.chat.append(message)
            if message.tool_calls:
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await model.act(at.chat.copy(), [at.box], on_message=fails)
    assert [m.role for m in at.chat] == ["user", "assistant", "tool"]


async def test_what_a_callback_raises_ends_the_run_and_is_raised() -> None:
    def fails(event: object) -> None:
        raise ZeroDivisionError

    names = [
        "on_round_start",
        "on_prediction_fragment",
        "on_first_token",
        "on_tool_call",
        "on_tool_result",
        "on_round_end",
        "on_state",
        "approve",
        "on_invalid",
    ]
    for name in names:
        first = called(("add", "wrong")) if name == "on_invalid" else [TextDelta("I "), *ONE]
        async with acting(first, "Done.") as at:
            with pytest.raises(ZeroDivisionError):
                await at.run(**{name: fails})  # type: ignore[arg-type]
            assert whole(at.chat.messages)
