"""The loop: ask the model, carry its calls out, tell what happens, until the policy says that it is over.

What the conversation gains is added in one step for each round, so that it is whole whenever the run is left: a
turn with calls comes with all results, or not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import perf_counter

from msgspec import Struct
from msgspec.structs import replace

from lmbridge.core.acting import (
    ActResult,
    ActState,
    Approve,
    FirstToken,
    Fragment,
    OnInvalid,
    PromptRead,
    RoundEnded,
    RoundStarted,
    Said,
    Stop,
)
from lmbridge.core.errors import BrokenAnswer
from lmbridge.core.events import (
    Answer,
    AnswerBuilder,
    Event,
    Finished,
    PromptProgress,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from lmbridge.core.hub import AnyHub
from lmbridge.core.messages import Message
from lmbridge.core.requests import ChatRequest, NamedTool, Sampling, Schema, ToolChoice
from lmbridge.core.tools import ToolResult
from lmbridge.hub.act import policy
from lmbridge.hub.act.calls import Calls, Ended
from lmbridge.hub.act.policy import Limits, Outcome, Plan, Step
from lmbridge.hub.act.telling import Callbacks, Teller
from lmbridge.hub.act.tooling import Tooling


class Asking(Struct, frozen=True, kw_only=True):
    """How the model is asked and its calls are carried out. See `core.acting.ActOptions`."""

    approve: Approve | None = None
    on_invalid: OnInvalid | None = None
    parallel: bool | int = True
    schema: Schema | None = None
    tool_choice: ToolChoice | NamedTool = "auto"
    sampling: Sampling = Sampling()
    reasoning_effort: str | None = None
    extra: Mapping[str, object] = {}
    truncate: bool = False
    task: str = ""


class Run:
    """One run.

    Args:
        model: as the hub knows it.
        state: where it begins, or goes on.
    """

    def __init__(
        self,
        hub: AnyHub,
        model: str,
        state: ActState,
        tooling: Tooling,
        limits: Limits,
        asking: Asking,
        callbacks: Callbacks,
    ) -> None:
        self._hub, self._model, self._tooling = hub, model, tooling
        self._limits, self._asking = limits, asking
        self._teller = Teller(callbacks)
        self._calls = Calls(
            tooling,
            self._teller,
            approve=asking.approve,
            on_invalid=asking.on_invalid,
            parallel=asking.parallel,
            max_result_chars=limits.max_result_chars,
        )
        if state.retry and state.retry not in tooling.tools:  # it goes on with other tools
            state = replace(state, retry="" if tooling.tools else None)
        self._state = state
        self._before_s, self._began = state.seconds, perf_counter()
        self._untold: list[Message] = []
        self._last: Message | None = None

    @property
    def _seconds(self) -> float:
        return self._before_s + perf_counter() - self._began

    async def run(self) -> ActResult:
        """Until it is over.

        Raises:
            BridgeError: the model could not be asked. And whatever a callback raises.
        """
        try:
            if self._state.pending is not None:
                await self._answer_calls(self._state.pending, self._seconds)
            while True:
                await self._round()
        except Ended as end:
            self._state = replace(self._state, seconds=self._seconds)
            await self._teller.stands(self._state)
            return ActResult(
                stop=end.stop,
                detail=end.detail,
                answer=self._last,
                value=end.value,
                state=self._state,
                events=tuple(self._teller.events),
            )

    async def _round(self) -> None:
        began = self._seconds
        if (stop := policy.spent(self._state, self._limits, began)) is not None:
            raise Ended(stop)
        number = self._state.rounds + 1
        await self._teller.tell(RoundStarted(number))
        answer, written = await self._ask(number)
        tokens = self._state.tokens
        self._state = policy.asked(self._state, answer, written)
        if answer.text:
            self._last = answer.message
        stop = policy.ended(answer, self._state, self._limits)
        if stop is None:
            await self._answer_calls(answer.message, began, tokens)
            return
        value = await self._end_with(answer, stop)
        await self._round_ended(began, tokens, 0)
        if stop == "answered" and self._state.reshape:
            return
        raise Ended(stop, value=value)

    async def _round_ended(self, began: float, tokens: int, calls: int) -> None:
        state = self._state
        self._state = replace(state, seconds=self._seconds)
        await self._teller.tell(RoundEnded(state.rounds, self._seconds - began, state.tokens - tokens, calls))
        await self._teller.stands(self._state)

    # -- asking -----------------------------------------------------------------------------------

    async def _ask(self, number: int) -> tuple[Answer, int]:
        """The answer, and the pieces that it came in.

        Raises:
            Ended: there was no time for more. BridgeError: the model could not be asked.
        """
        builder, written = AnswerBuilder(), 0
        asked = perf_counter()
        try:
            async with asyncio.timeout(self._left()) as limit, self._hub.chat(self._request()) as events:
                async for event in events:
                    builder.feed(event)
                    if isinstance(event, TextDelta | ReasoningDelta | ToolCallDelta) and not event.index:
                        written += 1
                        if written == 1:
                            await self._teller.tell(FirstToken(number, perf_counter() - asked))
                    piece = _piece(event, number)
                    if piece is not None:
                        await self._teller.tell(piece)
        except TimeoutError:
            if not limit.expired():
                raise
            await self._keep_words(builder)
            raise Ended("seconds") from None
        except BrokenAnswer as error:
            if self._state.retry is None:
                raise
            raise Ended("invalid_call", error.message) from error
        if not builder.finished:
            raise BrokenAnswer("", "it ended before it was finished")
        return builder.close(), written

    def _left(self) -> float | None:
        most = self._limits.max_seconds
        return None if most is None else max(0.0, most - self._seconds)

    def _request(self) -> ChatRequest:
        asking, state = self._asking, self._state
        most = policy.most_tokens(state, self._limits, asking.sampling.max_tokens)
        return ChatRequest(
            self._model,
            state.messages,
            tools=tuple(self._tooling.tools.values()),
            tool_choice=policy.choice_of(state, asking.tool_choice),
            parallel_tool_calls=False if asking.parallel is False else None,
            schema=asking.schema if state.retry is None else None,
            sampling=replace(asking.sampling, max_tokens=most),
            reasoning_effort=asking.reasoning_effort,
            extra=dict(asking.extra),
            progress=self._teller.wants_progress,
            truncate=asking.truncate,
            task=asking.task,
        )

    async def _keep_words(self, builder: AnswerBuilder) -> None:
        """What there is of an answer that was cut, without calls that nobody will answer."""
        builder.feed(Finished("stopped"))
        message = replace(builder.close().message, tool_calls=())
        if message.text:
            self._last = message
            self._add(message)
            await self._tell_turns()

    async def _end_with(self, answer: Answer, stop: Stop) -> object:
        """Add the last answer; the JSON value that it is, where a shape was asked for.

        Raises:
            Ended: it is of a wrong shape for the second time.
        """
        value, wrong = None, ""
        schema = self._asking.schema
        if stop == "answered" and schema is not None:
            value, wrong = policy.shaped(answer.text, schema.schema or {"type": "object"})
            if wrong and not self._state.reshape:
                self._state = replace(self._state, reshape=True, retry=None)
                return None
        # Calls of an answer that was cut are not made, and so not kept.
        message = replace(answer.message, tool_calls=())
        self._state = replace(self._state, pending=None, retry=None, reshape=False)
        if message.text or stop == "answered":
            self._add(message)
            await self._tell_turns()
        if wrong:
            raise Ended("invalid_answer", wrong)
        return value

    # -- turns ------------------------------------------------------------------------------------

    def _add(self, *messages: Message) -> None:
        self._state = replace(self._state, messages=(*self._state.messages, *messages))
        self._untold += messages

    async def _tell_turns(self) -> None:
        """Tell of all turns that are new, whoever cancels us and whatever a callback raises."""
        told = asyncio.ensure_future(self._tell_each())
        try:
            await asyncio.shield(told)
        except asyncio.CancelledError:
            await asyncio.gather(told, return_exceptions=True)
            raise

    async def _tell_each(self) -> None:
        if not self._untold:
            return
        message = self._untold.pop(0)
        try:
            await self._teller.tell(Said(message))
        finally:
            await self._tell_each()

    # -- calls ------------------------------------------------------------------------------------

    async def _answer_calls(self, turn: Message, began: float, tokens: int | None = None) -> None:
        """Carry out the calls of a turn, as far as they may be, and add the turn with all results.

        Raises:
            Ended: the policy says so, or who approves.
        """
        state = self._state
        plan = policy.plan(state, turn.tool_calls, self._tooling.tools, self._limits)
        steps = await self._decided(plan)
        outcomes: dict[int, Outcome] = {}
        try:
            await self._calls.carry_out(steps, outcomes, state.rounds, self._left())
        except BaseException:
            if any(outcome.carried_out for outcome in outcomes.values()):
                await self._settle(turn, steps, outcomes, plan, "The run was stopped.")
            raise
        late = len(outcomes) < len(steps)
        await self._settle(turn, steps, outcomes, plan, "There was no time for it.")
        made = sum(outcome.carried_out for outcome in outcomes.values())
        await self._round_ended(began, state.tokens if tokens is None else tokens, made)
        if late:
            raise Ended("seconds")
        if plan.stop is not None:
            raise Ended(plan.stop, plan.detail)

    async def _decided(self, plan: Plan) -> tuple[Step, ...]:
        """What is decided of each call.

        Raises:
            Ended: to pause, or as nobody decided in time; the calls wait in the state then.
        """
        try:
            async with asyncio.timeout(self._left()) as limit:
                return await self._calls.decided(plan, self._state.rounds)
        except TimeoutError:
            if not limit.expired():
                raise
            raise Ended("seconds", "Nobody decided about a call in time.") from None

    async def _settle(
        self, turn: Message, steps: tuple[Step, ...], outcomes: dict[int, Outcome], plan: Plan, why: str
    ) -> None:
        """Add the turn, with a result for every call."""
        missing = ToolResult(policy.not_carried_out(why), is_error=True)
        whole = [
            outcomes.get(at) or Outcome(step.call, missing, carried_out=False) for at, step in enumerate(steps)
        ]
        before = len(self._state.messages)
        self._state = policy.answered(self._state, turn, whole, plan.retry)
        self._untold += self._state.messages[before:]
        await self._tell_turns()


def _piece(event: Event, number: int) -> Fragment | PromptRead | None:
    match event:
        case TextDelta(text, 0) if text:
            return Fragment(text, number)
        case ReasoningDelta(text, 0) if text:
            return Fragment(text, number, reasoning=True)
        case PromptProgress(done, total):
            return PromptRead(number, done, total)
        case _:
            return None
