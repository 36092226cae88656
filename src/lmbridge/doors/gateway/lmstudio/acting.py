"""A native chat whose model uses tools: the rounds of `hub.act` under one lease, told as LM Studio tells them.

The model is held from the first round to the last, calls included: nobody takes its place, or its memory, in the
middle. Calls are made one after the other, so that each is told from its beginning to its end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from msgspec.structs import replace

from lmbridge.core.acting import ActOptions, ActResult, ActState, InvalidCall
from lmbridge.core.errors import BridgeError, BrokenAnswer
from lmbridge.core.events import Answer, Event, Finished, PromptProgress, Started
from lmbridge.core.messages import Message, Tool
from lmbridge.core.requests import ChatRequest
from lmbridge.core.tools import ToolProgress, ToolResult
from lmbridge.core.turns import Facts
from lmbridge.doors.gateway.asgi import JSON, NOSNIFF, Request
from lmbridge.doors.gateway.heartbeat import Heartbeat
from lmbridge.doors.gateway.lmstudio.integrations import Wanted
from lmbridge.doors.gateway.translate import Ask
from lmbridge.doors.gateway.using import Use
from lmbridge.hub.act.actor import HubActor
from lmbridge.hub.act.tooling import Tooling
from lmbridge.hub.hub import Hub
from lmbridge.wire.lmstudio.serving.acted import ActingChatEncoder
from lmbridge.wire.lmstudio.serving.answers import STILL
from lmbridge.wire.lmstudio.serving.events import ProviderInfo

if TYPE_CHECKING:
    from lmbridge.core.hub import AnyHub

ENDS: Final = frozenset(("answered", "length", "filtered", "invalid_call"))
"""Ends of a run that are an answer: what was wrong with a call stands in it."""


KeepTurns: TypeAlias = Callable[[tuple[Message, ...], Answer, Facts], Awaitable[None]]
"""Called with the turns before the last one, and with that, before its end is sent."""


class Acting:
    """Answers native chats with tools.

    Args:
        heartbeat_s: seconds of silence before a stream gets a sign of life.
    """

    def __init__(self, hub: Hub, heartbeat_s: float) -> None:
        self._hub, self._heartbeat_s = hub, heartbeat_s

    async def answer(
        self,
        request: Request,
        ask: Ask,
        encoder: ActingChatEncoder,
        wanted: Sequence[Wanted],
        keep: KeepTurns | None = None,
    ) -> None:
        """Answer *request*.

        Raises:
            BridgeError: what stood in the way; a stream may have begun by then.
        """
        if not ask.stream:
            async with self._use(request, ask) as use:
                run = _Running(self._hub, request, use, encoder, self._heartbeat_s)
                answer, facts = await run.to_the_end(ask.chat, wanted, keep)
            await request.reply(200, (JSON, NOSNIFF), encoder.whole(answer, facts))
            return
        signs = Heartbeat(request, self._heartbeat_s, encoder.waiting, eager=True, media=encoder.media)
        async with signs as heart, self._use(request, ask, heart) as use:
            run = _Running(self._hub, request, use, encoder, self._heartbeat_s, heart)
            answer, facts = await run.to_the_end(ask.chat, wanted, keep)
            await request.send(encoder.close(answer, facts), more=False)

    def _use(self, request: Request, ask: Ask, heart: Heartbeat | None = None) -> Use:
        alone = ask.chat.sampling.seed is not None
        return Use(self._hub, request, ask.route, ask.chat.model, alone=alone, options=ask.options, heart=heart)


class _Running:
    """One run. To the loop it is the hub: what the model says is told on its way there."""

    def __init__(
        self,
        hub: Hub,
        request: Request,
        use: Use,
        encoder: ActingChatEncoder,
        every: float,
        heart: Heartbeat | None = None,
    ) -> None:
        self._hub, self._request, self._use, self._encoder = hub, request, use, encoder
        self._every, self._heart, self._streams = every, heart, heart is not None
        self._first_event_s: float | None = None
        self._finish = Finished("stop")

    async def to_the_end(
        self, chat: ChatRequest, wanted: Sequence[Wanted], keep: KeepTurns | None
    ) -> tuple[Answer, Facts]:
        """All rounds.

        Raises:
            BrokenAnswer: it did not come to an end. And as the provider.
        """
        if self._heart is not None:
            self._heart.reading()
        boxes = [_Told(one, self) for one in wanted]
        known = await Tooling.of(boxes)
        whose = {box.name: box.info for box in boxes}

        async def invalid(call: InvalidCall) -> None:
            name = call.call.name
            info = whose[known.whose(name)[0]] if name in known.tools else None
            await self.say(self._encoder.invalid(call.call, call.problem, info))

        options: ActOptions = {
            "on_invalid": invalid,
            "parallel": False,
            "sampling": chat.sampling,
            "reasoning_effort": chat.reasoning_effort,
        }
        state = ActState(messages=chat.turns, began=len(chat.turns))
        result = await HubActor()(cast("AnyHub", self), chat.model, state, boxes, options)
        return await self._ended(result, keep)

    @asynccontextmanager
    async def chat(self, request: ChatRequest) -> AsyncIterator[AsyncIterator[Event]]:
        """One round."""
        if self._streams and self._heart is None:
            self._heart = await self._still().__aenter__()
        request = replace(request, progress=self._streams)
        try:
            async with self._hub.ask(self._use.lease, request, self._use.dropped) as events:
                yield self._told(events)
        finally:
            await self._stop_signs()

    async def say(self, data: bytes) -> None:
        """Send the next bytes of a stream."""
        if self._streams and data:
            await self._stop_signs()
            if not self._request.started:
                await self._request.start_events(self._encoder.media)
            await self._request.send(data)

    async def work(self, call: Awaitable[ToolResult]) -> ToolResult:
        """Wait for a tool, with signs of life meanwhile."""
        if not self._streams:
            return await call
        async with self._still():
            return await call

    async def calling(self, tool: str, arguments: dict[str, object], info: ProviderInfo) -> None:
        """A call begins."""
        await self.say(self._encoder.calling(tool, arguments, info))

    async def called(
        self, tool: str, arguments: dict[str, object], result: ToolResult, info: ProviderInfo
    ) -> None:
        """It has ended."""
        await self.say(self._encoder.called(tool, arguments, result, info))

    def _still(self) -> Heartbeat:
        return Heartbeat(self._request, self._every, lambda wait: STILL, media=self._encoder.media)

    async def _stop_signs(self) -> None:
        heart, self._heart = self._heart, None
        if heart is not None:
            await heart.stop()

    async def _told(self, events: AsyncIterator[Event]) -> AsyncIterator[Event]:
        """The events of a round, each told before it is passed on."""
        started: Event = Started(self._use.lease.provider.id, self._use.lease.instance.endpoint.model)
        begun = False
        async for event in events:
            if isinstance(event, Started):
                started = event
            elif isinstance(event, PromptProgress):
                if self._heart is not None and self._first_event_s is None:
                    self._heart.reading(event.fraction)
            else:
                if not begun:
                    begun = True
                    await self._begin(started)
                if isinstance(event, Finished):
                    self._finish = event
                    self._use.count(event.usage)
                await self.say(self._encoder.feed(event))
            yield event

    async def _begin(self, started: Event) -> None:
        if self._first_event_s is None:
            self._first_event_s = self._use.first_event()
        await self._stop_signs()
        await self.say(self._encoder.feed(started))

    async def _ended(self, result: ActResult, keep: KeepTurns | None) -> tuple[Answer, Facts]:
        lease = self._use.lease
        if result.stop not in ENDS:
            why = result.detail or f"it did not come to an end ({result.stop})"
            raise BrokenAnswer(lease.provider.id, why)
        turns, last = list(result.messages), Message("assistant", "")
        if turns and turns[-1].role == "assistant" and not turns[-1].tool_calls:
            last = turns.pop()
        usage, timings = result.state.usage, self._finish.timings
        turn = self._use.turn
        turn.prompt_tokens, turn.cached_tokens = usage.prompt_tokens, usage.cached_tokens
        turn.completion_tokens = usage.completion_tokens
        answer = Answer(last, replace(self._finish, usage=usage), lease.provider.id, lease.model.id)
        facts = Facts(
            model=lease.model,
            instance=lease.instance,
            name=lease.instance.endpoint.model or lease.model.id,
            load_s=lease.load_s,
            first_event_s=self._first_event_s or 0.0,
            total_s=self._use.seconds,
            tokens_per_s=timings.tokens_per_s if timings is not None else None,
        )
        if keep is not None:
            await keep(tuple(turns), answer, facts)
        return answer, facts


class _Told:
    """A box whose calls are told."""

    def __init__(self, wanted: Wanted, run: _Running) -> None:
        self.name, self.info = wanted.box.name, wanted.info
        self._box, self._run = wanted.box, run

    async def tools(self) -> Sequence[Tool]:
        """Those of the box."""
        return await self._box.tools()

    async def call(
        self, name: str, arguments: Mapping[str, object], progress: ToolProgress | None = None
    ) -> ToolResult:
        """Tell the call, carry it out, tell what came of it."""
        given = dict(arguments)
        await self._run.calling(name, given, self.info)
        try:
            result = await self._run.work(self._box.call(name, arguments, progress))
        except BridgeError as error:  # a box that is broken is told to the model, which may do without it
            result = ToolResult(str(error), is_error=True)
        await self._run.called(name, given, result, self.info)
        return result

    async def aclose(self) -> None:
        """The box belongs to somebody else."""
