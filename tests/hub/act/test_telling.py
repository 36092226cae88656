"""A run is told again without a model."""

from __future__ import annotations

from tests.fakes.provider import ScriptedTurns, called
from tests.hub.act.conftest import Box

from lmbridge.core.acting import ActCallbacks, ActResult, ActState, InvalidCall
from lmbridge.core.chat import Chat
from lmbridge.core.events import PromptProgress, ReasoningDelta
from lmbridge.core.messages import Message
from lmbridge.hub.act.telling import replay
from lmbridge.hub.hub import Hub

TURNS = (
    [PromptProgress(1, 2), ReasoningDelta("hm"), *called(("add", '{"a": 1}'))],
    called(("add", '{"a": "x"}')),
    called(("add", '{"a": 2}')),
    '{"n": 1}',
)


def callbacks(told: list[object]) -> ActCallbacks:
    return {
        "on_message": told.append,
        "on_prediction_fragment": told.append,
        "on_first_token": told.append,
        "on_prompt_progress": told.append,
        "on_round_start": told.append,
        "on_round_end": told.append,
        "on_tool_call": told.append,
        "on_tool_progress": told.append,
        "on_tool_result": told.append,
    }


async def test_a_run_that_was_kept_calls_back_as_it_did_then() -> None:
    told: list[object] = []
    async with Hub([ScriptedTurns(*TURNS)]) as hub:
        model = await hub.model("talker")
        box = Box()
        box.steps = [(0.5, "half"), (None, "nearly")]
        result = await model.act("hi", [box], schema={"type": "object"}, **callbacks(told))
    kept = ActResult.from_json(result.to_json())
    assert kept == result
    again: list[object] = []
    states: list[ActState] = []
    assert await replay(kept, on_state=states.append, **callbacks(again)) == result
    assert again == told
    assert states == [result.state]
    assert sum(isinstance(event, InvalidCall) for event in result.events) == 1


async def test_a_chat_is_made_anew_from_a_run_that_was_kept() -> None:
    async with Hub([ScriptedTurns("Hello")]) as hub:
        result = await (await hub.model("talker")).act("hi", [])
    chat = Chat()

    async def on_message(message: Message) -> None:
        chat.append(message)

    await replay(result, on_message=on_message)
    assert chat.messages == result.messages
