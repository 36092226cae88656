"""An answer of whatever provider, its events in one form: see `lmbridge.wire.tool_calls`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self

from lmbridge.core.errors import BridgeError
from lmbridge.core.events import Event
from lmbridge.core.models import Instance
from lmbridge.core.provider import Provider
from lmbridge.core.requests import ChatRequest
from lmbridge.hub.faults import asked, fault
from lmbridge.wire.tool_calls import NormalForm, wants_either, with_answer_tool


class Answering:
    """A stream of `Provider.chat`, used as that is: an `async with` around an `async for`."""

    __slots__ = ("_ended", "_events", "_form", "_provider", "_ready", "_stream")

    _events: AsyncIterator[Event]

    def __init__(self, provider: Provider, instance: Instance, request: ChatRequest) -> None:
        """Nothing is asked before it is entered."""
        answer_tool = ""
        if provider.manifest.schema_bars_tools and wants_either(request):
            request, answer_tool = with_answer_tool(request)
        self._form = NormalForm(request, answer_tool=answer_tool)
        self._provider = provider.id
        self._stream: AbstractAsyncContextManager[AsyncIterator[Event]] = provider.chat(instance, request)
        self._ready: list[Event] = []  # the next event last
        self._ended = False

    async def __aenter__(self) -> Self:
        self._events = await asked(self._provider, self._stream.__aenter__())
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """The next event.

        Raises:
            BrokenAnswer: a call that was ruled out, or none where one had to be. And as the provider.
        """
        while not self._ready:
            if self._ended:
                raise StopAsyncIteration
            try:
                event = await anext(self._events)
            except StopAsyncIteration:
                self._ended = True
                self._ready = self._form.close()
            except BridgeError:
                raise
            except Exception as error:
                raise fault(self._provider, error) from error
            else:
                self._ready = self._form.feed(event)
            self._ready.reverse()
        return self._ready.pop()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Leave it; the provider's work ends."""
        return await self._stream.__aexit__(kind, error, trace)
