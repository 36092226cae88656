"""Who is told what happens in a run, and the record of it that can be told again without a model."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Unpack, assert_never

from msgspec import Struct

from lmbridge.core.acting import (
    ActCallbacks,
    ActEvent,
    ActResult,
    ActState,
    CallAnswered,
    CallProgressed,
    CallRequested,
    FirstToken,
    Fragment,
    InvalidCall,
    PromptRead,
    RoundEnded,
    RoundStarted,
    Said,
    Told,
)
from lmbridge.core.messages import Message


class Callbacks(Struct, frozen=True, kw_only=True):
    """See `core.acting.ActCallbacks`."""

    on_message: Told[Message] | None = None
    on_prediction_fragment: Told[Fragment] | None = None
    on_first_token: Told[FirstToken] | None = None
    on_prompt_progress: Told[PromptRead] | None = None
    on_round_start: Told[RoundStarted] | None = None
    on_round_end: Told[RoundEnded] | None = None
    on_tool_call: Told[CallRequested] | None = None
    on_tool_progress: Told[CallProgressed] | None = None
    on_tool_result: Told[CallAnswered] | None = None
    on_state: Told[ActState] | None = None


class Teller:
    """Keeps what happens, and calls back.

    Attributes:
        events: all that was told.
    """

    def __init__(self, callbacks: Callbacks) -> None:
        self._to = callbacks
        self.events: list[ActEvent] = []

    @property
    def wants_progress(self) -> bool:
        """Whether somebody wants to know how far the prompt has been read."""
        return self._to.on_prompt_progress is not None

    async def tell(self, event: ActEvent) -> None:
        """Something happened. What a callback raises is raised."""
        self.events.append(event)
        match event:
            case Fragment():
                await _call(self._to.on_prediction_fragment, event)
            case Said(message):
                await _call(self._to.on_message, message)
            case RoundStarted():
                await _call(self._to.on_round_start, event)
            case RoundEnded():
                await _call(self._to.on_round_end, event)
            case FirstToken():
                await _call(self._to.on_first_token, event)
            case PromptRead():
                await _call(self._to.on_prompt_progress, event)
            case CallRequested():
                await _call(self._to.on_tool_call, event)
            case CallProgressed():
                await _call(self._to.on_tool_progress, event)
            case CallAnswered():
                await _call(self._to.on_tool_result, event)
            case InvalidCall():
                pass  # who decides about it is asked by `run`
            case _:
                assert_never(event)

    async def stands(self, state: ActState) -> None:
        """The run has come so far."""
        await _call(self._to.on_state, state)


async def _call(callback: Callable[..., object] | None, what: object) -> None:
    if callback is not None:
        returned = callback(what)
        if inspect.isawaitable(returned):
            await returned


async def replay(result: ActResult, **callbacks: Unpack[ActCallbacks]) -> ActResult:
    """Tell a run once more, without a model and without carrying anything out.

    Args:
        result: of `Model.act`, or `ActResult.from_json` of what was kept of it.
        callbacks: as of `Model.act`; they are called as they were then. `on_state` is called once, at the end.
    """
    teller = Teller(Callbacks(**callbacks))
    for event in result.events:
        await teller.tell(event)
    await teller.stands(result.state)
    return result
