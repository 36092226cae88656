"""The calls of a turn: who decides about each, and who carries it out."""

from __future__ import annotations

import asyncio
import inspect
from time import perf_counter
from typing import assert_never

import msgspec
from msgspec.structs import replace

from lmbridge.core.acting import (
    Allow,
    Approve,
    CallAnswered,
    CallProgressed,
    CallRequested,
    Decision,
    Deny,
    Edit,
    InvalidCall,
    OnInvalid,
    Pause,
    Stop,
)
from lmbridge.core.errors import InvalidRequest
from lmbridge.core.messages import ToolCall
from lmbridge.core.tools import ToolResult
from lmbridge.hub.act import policy
from lmbridge.hub.act.policy import Carry, Outcome, Plan, Step, Tell
from lmbridge.hub.act.reports import Reports
from lmbridge.hub.act.telling import Teller
from lmbridge.hub.act.tooling import Tooling


class Ended(Exception):
    """The run is over."""

    def __init__(self, stop: Stop, detail: str = "", value: object = None) -> None:
        self.stop, self.detail, self.value = stop, detail, value


class Calls:
    """Carries out what the policy and the user let pass.

    Args:
        parallel: whether calls are made at the same time; a number is how many at most.
        max_result_chars: of what one gives back.
    """

    def __init__(
        self,
        tooling: Tooling,
        teller: Teller,
        *,
        approve: Approve | None = None,
        on_invalid: OnInvalid | None = None,
        parallel: bool | int = True,
        max_result_chars: int | None = policy.MAX_RESULT_CHARS,
    ) -> None:
        self._tooling, self._teller, self._most_chars = tooling, teller, max_result_chars
        self._approve, self._on_invalid, self._parallel = approve, on_invalid, parallel

    async def decided(self, plan: Plan, round: int) -> tuple[Step, ...]:
        """The steps after who approves, and who is asked about invalid calls, had their say.

        Raises:
            Ended: to pause; nothing of the turn has been carried out then.
        """
        decided: list[Step] = []
        for step in plan.steps:
            if isinstance(step, Carry):
                decided.append(await self._approved(step, round))
            elif step.invalid:
                decided.append(replace(step, reason=await self._told_of_invalid(step, round)))
            else:
                decided.append(step)
        return tuple(decided)

    async def _told_of_invalid(self, step: Tell, round: int) -> str:
        invalid = InvalidCall(round, step.call, step.reason)
        await self._teller.tell(invalid)
        if self._on_invalid is None:
            return step.reason
        said = self._on_invalid(invalid)
        if inspect.isawaitable(said):
            said = await said
        return said if isinstance(said, str) else step.reason

    async def _approved(self, step: Carry, round: int) -> Step:
        name = step.call.name
        request = CallRequested(round, step.call, step.arguments, *self._tooling.whose(name))
        await self._teller.tell(request)
        if self._approve is None:
            return step
        match await _decision(self._approve, request):
            case Allow():
                return step
            case Edit(arguments):
                call = ToolCall(step.call.id, name, msgspec.json.encode(arguments).decode())
                checked = policy.judged(call, self._tooling.tools)
                if isinstance(checked, str):
                    raise InvalidRequest(f"{name} cannot be called so. {checked}", param="arguments")
                return Carry(call, checked)
            case Deny(reason):
                return Tell(step.call, f"The user does not allow this call. {reason}".rstrip())
            case Pause():
                raise Ended("paused", f"{name} waits for approval.")
            case never:
                assert_never(never)

    async def carry_out(
        self, steps: tuple[Step, ...], outcomes: dict[int, Outcome], round: int, seconds: float | None
    ) -> None:
        """Make the calls, as many at a time as may be.

        Args:
            outcomes: gets what came of each as soon as that is known, by its number; of fewer than all if there
                was no time.
            seconds: how long it may take.

        Raises:
            whatever a box raises that it should not, or a callback; the other calls are stopped then.
        """
        turns = asyncio.Semaphore(len(steps) if self._parallel is True else max(1, int(self._parallel)))
        try:
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as tasks:
                for at, step in enumerate(steps):
                    tasks.create_task(self._carry(at, step, outcomes, turns, round))
        except TimeoutError:
            return  # ours: what a call or a callback raises comes in a group
        except BaseExceptionGroup as group:
            error: BaseException = group
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            raise error from None

    async def _carry(
        self, at: int, step: Step, outcomes: dict[int, Outcome], turns: asyncio.Semaphore, round: int
    ) -> None:
        async with turns:
            began = perf_counter()
            if isinstance(step, Carry):
                result = await self._carried(step, round)
            else:
                result = ToolResult(step.reason, is_error=True)
            result = policy.fit(result, self._most_chars)
            outcomes[at] = Outcome(step.call, result, isinstance(step, Carry))
            took = perf_counter() - began
            await self._teller.tell(CallAnswered(round, step.call, result, took, isinstance(step, Carry)))

    async def _carried(self, step: Carry, round: int) -> ToolResult:
        """What comes of a call; what the tool tells meanwhile is told before it."""
        reports = Reports()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tell_on(reports, step.call, round))
            try:
                return await self._tooling.call(step.call.name, step.arguments, reports)
            finally:
                reports.close()

    async def _tell_on(self, reports: Reports, call: ToolCall, round: int) -> None:
        async for fraction, text in reports:
            await self._teller.tell(CallProgressed(round, call, fraction, text))


async def _decision(approve: Approve, request: CallRequested) -> Decision:
    """What is decided of a call.

    Raises:
        InvalidRequest: it is no decision; an `approve` that forgets to return one allows nothing.
    """
    said = approve(request)
    if inspect.isawaitable(said):
        said = await said
    if isinstance(said, bool):
        return Allow() if said else Deny()
    if isinstance(said, Allow | Edit | Deny | Pause):
        return said
    raise InvalidRequest(
        f"`approve` returned {said!r:.100}, which is no decision.",
        hint="Return True, False, Allow(), Edit(…), Deny(…).",
    )
