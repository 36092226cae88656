from __future__ import annotations

import pytest

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter
from lmbridge.wire.anthropic.asking.models import Abilities
from lmbridge.wire.anthropic.asking.thinking import Thinking, think

NEWER = Abilities(64_000, ("low", "medium", "high", "max"), adaptive=True, enabled=False, disabled=False)
OLDER = Abilities(64_000, (), adaptive=False, enabled=True, disabled=True)
PLAIN = Abilities(8192, (), adaptive=False, enabled=False)
ADAPTIVE = {"type": "adaptive", "display": "summarized"}


def thought(
    effort: str | None,
    can: Abilities,
    limit: int | None = None,
    *,
    forced: bool = False,
    after_tools: bool = False,
) -> Thinking:
    return think(effort, can, limit, forced=forced, after_tools=after_tools)


@pytest.mark.parametrize("can", [NEWER, OLDER, PLAIN, Abilities()])
def test_without_an_effort_nothing_is_said(can: Abilities) -> None:
    assert thought(None, can) == Thinking()


def test_none_switches_thinking_off_where_that_can_be() -> None:
    assert thought("none", Abilities()) == Thinking({"type": "disabled"})
    with pytest.raises(UnsupportedParameter, match="always thinks"):
        thought("none", NEWER)


@pytest.mark.parametrize(
    ("effort", "said"), [("minimal", "low"), ("low", "low"), ("high", "high"), ("xhigh", "high"), ("max", "max")]
)
def test_newer_models_take_an_effort_and_decide_by_themselves(effort: str, said: str) -> None:
    assert thought(effort, NEWER, after_tools=True) == Thinking(ADAPTIVE, said)


def test_an_effort_below_those_that_there_are_is_the_weakest() -> None:
    assert thought("low", Abilities(efforts=("medium", "high"))) == Thinking(None, "medium")


def test_of_a_model_that_nobody_knows_only_the_effort_is_asked() -> None:
    assert thought("xhigh", Abilities()) == Thinking(None, "xhigh")


def test_no_model_thinks_where_a_tool_has_to_be_called() -> None:
    assert thought("high", NEWER, forced=True) == Thinking(None, "high")
    assert thought("high", OLDER, forced=True) == Thinking()


@pytest.mark.parametrize(("effort", "budget"), [("low", 4096), ("medium", 16384), ("high", 32768), ("max", 32768)])
def test_older_models_take_a_budget(effort: str, budget: int) -> None:
    assert thought(effort, OLDER) == Thinking({"type": "enabled", "budget_tokens": budget}, budget=budget)


def test_a_budget_is_at_most_half_of_a_limit() -> None:
    assert thought("high", OLDER, 4000).budget == 2000
    with pytest.raises(UnsupportedParameter, match="a limit of 2,000 leaves no room"):
        thought("high", OLDER, 2000)


def test_older_models_do_not_think_on_between_tools() -> None:
    assert thought("high", OLDER, after_tools=True) == Thinking()


def test_a_model_that_does_not_think_is_not_told_to() -> None:
    with pytest.raises(UnsupportedParameter, match="does not think"):
        thought("low", PLAIN)


def test_other_words_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="'very hard'"):
        thought("very hard", NEWER)
