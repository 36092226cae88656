"""What models were used for, added up: calls, tokens and times, by model, day, task or caller. Never words."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct

from lmbridge.core.errors import InvalidRequest

UsageBy: TypeAlias = Literal["model", "day", "hour", "provider", "task", "caller", "where"]
"""What calls are added up by; days and hours are those of the local time."""

BY: Final[tuple[UsageBy, ...]] = get_args(UsageBy)

TASK_HEADER: Final = "x-lmbridge-task"
"""The header that says what a request is for."""
LONGEST_TASK: Final = 64
"""Characters of a task's name."""


class Used(Struct, frozen=True):
    """What was used, of calls that are added up.

    Attributes:
        name: what they have in common; "" for callers who showed no key, and for the total.
        calls: that had a model, however they ended. errors: those that ended with an error.
        cancelled: those whose caller went away.
        prompt_tokens, completion_tokens: in and out, as the providers counted them. cached_tokens: of those in.
        first_event_s: median of the seconds to the first word; None where that is not known.
        total_s: seconds of all calls together. tokens_per_s: speed of writing, None where no tokens were counted.
    """

    name: str
    calls: int = 0
    errors: int = 0
    cancelled: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    first_event_s: float | None = None
    total_s: float = 0.0
    tokens_per_s: float | None = None

    @property
    def tokens(self) -> int:
        """In and out together."""
        return self.prompt_tokens + self.completion_tokens


class UsageReport(Struct, frozen=True):
    """What was used in a span of time.

    Attributes:
        by: what it is added up by. since, until: seconds since 1970, None for no such limit.
        rows: of days and hours the oldest first, else those with the most tokens first; a thousand at most, the
            newest or the most used. total: of all, those that are no row too.
    """

    by: UsageBy
    rows: tuple[Used, ...]
    total: Used
    since: float | None = None
    until: float | None = None


def checked_task(task: str, param: str = "task") -> str:
    """The name of a task, if it may be one: short, and of printable characters.

    Raises:
        InvalidRequest.
    """
    if len(task) > LONGEST_TASK or not task.isprintable():
        raise InvalidRequest(
            f"The name of a task has {LONGEST_TASK} printable characters at most; that one is none.", param=param
        )
    return task
