"""How hard to think, in the words that a model of Anthropic's knows: an effort, or a number of tokens.

Older models take a budget, newer ones decide by themselves and take an effort
(https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking). What they thought before is not sent
back: it would have to be signed, and core has no word for a signature. Those that think by a budget insist on it
within a turn of tools, so there they are asked without thinking.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter
from lmbridge.wire.anthropic.asking.models import EFFORTS, Abilities

BUDGETS: Final = {"low": 4096, "medium": 16384, "high": 32768}
"""Tokens, as `lmbridge.wire.anthropic.chat` reads them the other way round."""
LEAST: Final = 1024
"""Tokens that the API insists on."""


class Thinking(Struct, frozen=True):
    """What a request says about it.

    Attributes:
        thinking: the field of that name, None to leave it out. effort: of `output_config`, "" to leave it out.
        budget: tokens that thinking may take, where they are counted apart from the answer's.
    """

    thinking: dict[str, object] | None = None
    effort: str = ""
    budget: int = 0


def think(effort: str | None, can: Abilities, limit: int | None, *, forced: bool, after_tools: bool) -> Thinking:
    """What to say for an effort.

    Args:
        limit: most tokens of the answer, None where there is none.
        forced: a tool has to be called, which no model does while it thinks.
        after_tools: the last turn holds results of tools.

    Raises:
        InvalidRequest: not an effort. UnsupportedParameter: the model cannot.
    """
    if effort is None:
        return Thinking()
    if effort == "none":
        if can.disabled is False:
            raise _cannot("This model always thinks.")
        return Thinking({"type": "disabled"})
    level = "low" if effort == "minimal" else effort
    if level not in EFFORTS:
        known = ", ".join(("none", "minimal", *EFFORTS))
        raise InvalidRequest(
            f"`reasoning_effort` is {effort[:40]!r}.", hint=f"It may be {known}.", param="reasoning_effort"
        )
    if can.efforts is None or can.efforts:
        adaptive = can.adaptive is True and not forced
        return Thinking({"type": "adaptive", "display": "summarized"} if adaptive else None, _known(level, can))
    if not can.enabled:
        raise _cannot("This model does not think.")
    if forced or after_tools:
        return Thinking()
    return _budgeted(BUDGETS.get(level, BUDGETS["high"]), limit)


def _known(level: str, can: Abilities) -> str:
    """The level itself, or the strongest below it that the model knows."""
    if can.efforts is None or level in can.efforts:
        return level
    weaker = [each for each in EFFORTS[: EFFORTS.index(level)] if each in can.efforts]
    return weaker[-1] if weaker else can.efforts[0]


def _budgeted(budget: int, limit: int | None) -> Thinking:
    if limit is not None:
        budget = min(budget, limit // 2)
        if budget < LEAST:
            raise _cannot(
                f"Thinking takes at least {LEAST:,} tokens, which a limit of {limit:,} leaves no room for."
            )
    return Thinking({"type": "enabled", "budget_tokens": budget}, budget=budget)


def _cannot(reason: str) -> UnsupportedParameter:
    return UnsupportedParameter("reasoning_effort", reason)
