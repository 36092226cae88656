"""Runs over a provider that says what a test wrote down."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Unpack

from tests.fakes.provider import ScriptedTurns, called
from tests.hub.act.conftest import Box

from lmbridge.core.acting import ActOptions, ActResult, ActState
from lmbridge.core.chat import Chat
from lmbridge.core.events import Event
from lmbridge.core.messages import Message
from lmbridge.hub.hub import Hub

ONE = called(("add", '{"a": 1}'))
TWO = called(("add", '{"a": 1}'), ("wait", "{}"))


def whole(messages: Sequence[Message]) -> bool:
    """Whether every call has its result, right behind it."""
    wanted: list[str | None] = []
    for message in messages:
        if message.role == "tool":
            if not wanted or message.tool_call_id != wanted.pop(0):
                return False
        elif wanted:
            return False
        wanted = [*wanted, *(call.id for call in message.tool_calls)]
    return not wanted


class Acting:
    """A hub with a scripted provider, and what came of runs."""

    def __init__(self, hub: Hub, provider: ScriptedTurns, box: Box) -> None:
        self.hub, self.provider, self.box = hub, provider, box
        self.chat = Chat(messages=[Message("user", "hi")])

    async def run(self, chat: Chat | ActState | None = None, **options: Unpack[ActOptions]) -> ActResult:
        model = await self.hub.model("talker")
        return await model.act(chat or self.chat.copy(), [self.box], on_message=self.chat.append, **options)


@asynccontextmanager
async def acting(*turns: str | Sequence[Event] | Exception) -> AsyncIterator[Acting]:
    provider = ScriptedTurns(*turns)  # type: ignore[arg-type]
    async with Hub([provider]) as hub:
        yield Acting(hub, provider, Box())
