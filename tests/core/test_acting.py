"""The words of a run with tools."""

from __future__ import annotations

import pytest

from lmbridge.core.acting import ActResult, ActState, PromptRead, Repeat
from lmbridge.core.errors import InvalidRequest
from lmbridge.core.events import Usage
from lmbridge.core.messages import Message, ToolCall

STATE = ActState(
    messages=(Message("user", "hi"), Message("assistant", "ho")),
    began=1,
    pending=Message("assistant", tool_calls=(ToolCall("1", "f", "{}"),)),
    rounds=2,
    seconds=1.5,
    tokens=7,
    usage=Usage(3, 4),
    calls={"f": 1},
    repeats={"x": Repeat("y", 2)},
    retry="f",
)


def test_a_state_and_a_result_come_back_from_json_as_they_were() -> None:
    assert ActState.from_json(STATE.to_json()) == STATE
    result = ActResult(stop="loop", detail="round", answer=Message("assistant", "ho"), state=STATE)
    assert ActResult.from_json(result.to_json().decode()) == result


def test_what_came_of_a_run_is_told_by_its_state() -> None:
    result = ActResult(stop="answered", answer=Message("assistant", "ho"), state=STATE)
    assert (result.text, result.messages, result.rounds) == ("ho", (Message("assistant", "ho"),), 2)
    assert (result.seconds, result.tokens) == (1.5, Usage(3, 4))
    assert ActResult(stop="rounds", state=STATE).text == ""


@pytest.mark.parametrize("data", [b"", b"[]", b'{"messages": []}', '{"format": "2"}', b"\xff", "[" * 9999])
def test_what_is_no_state_is_refused(data: bytes | str) -> None:
    with pytest.raises(InvalidRequest, match="no ActState"):
        ActState.from_json(data)


def test_how_far_a_prompt_is_read_is_a_fraction() -> None:
    assert [PromptRead(1, done, total).fraction for done, total in ((1, 2), (3, 2), (0, 0))] == [0.5, 1.0, 1.0]
