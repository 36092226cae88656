"""The blocking twin of a provider's handle: `hub.provider("ollama").complete("Hello")`. No logic of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from functools import partial
from typing import TypeAlias

from anyio.from_thread import BlockingPortal

from lmbridge.core.events import Answer, Event
from lmbridge.core.handle import Capabilities, ProviderHandle
from lmbridge.core.messages import Message, Tool
from lmbridge.core.models import ModelInfo
from lmbridge.core.provider import ProviderState
from lmbridge.core.requests import NamedTool, Sampling, Schema, ToolChoice
from lmbridge.core.tiers import Tier

Stream: TypeAlias = AbstractAsyncContextManager[AsyncIterator[Event]]


class BlockingProvider:
    """A provider whose methods block. Each does what the method of the same name of `ProviderHandle` does."""

    def __init__(self, handle: ProviderHandle, portal: BlockingPortal) -> None:
        self._handle, self._portal = handle, portal
        self.id = handle.id

    def state(self) -> ProviderState:
        """Whether it is there, what it is called, and what would mend it."""
        return self._portal.call(self._handle.state)

    def is_configured(self) -> bool:
        """Whether it could answer a chat now. Never raises."""
        return self._portal.call(self._handle.is_configured)

    def models(self) -> Sequence[ModelInfo]:
        """Its models that can be talked with and asked now."""
        return self._portal.call(self._handle.models)

    def refresh_models(self) -> Sequence[ModelInfo]:
        """The same, asked anew."""
        return self._portal.call(self._handle.refresh_models)

    def reset_client(self) -> None:
        """Forget what was found before; the next use looks again."""
        self._portal.call(self._handle.reset_client)

    def capabilities(self) -> Capabilities:
        """What it can do, and with which models."""
        return self._portal.call(self._handle.capabilities)

    def complete(
        self,
        prompt: str,
        *,
        system: str = "",
        tier: Tier = "standard",
        model: str = "",
        sampling: Sampling = Sampling(),
        schema: Schema | None = None,
    ) -> Answer:
        """Answer one question."""
        ask = partial(self._handle.complete, prompt, system=system, tier=tier, model=model)
        return self._portal.call(partial(ask, sampling=sampling, schema=schema))

    def chat(
        self,
        messages: str | Iterable[Message],
        *,
        tier: Tier = "standard",
        model: str = "",
        sampling: Sampling = Sampling(),
        schema: Schema | None = None,
    ) -> Answer:
        """The next turn of a conversation."""
        ask = partial(self._handle.chat, messages, tier=tier, model=model)
        return self._portal.call(partial(ask, sampling=sampling, schema=schema))

    def stream(
        self,
        messages: str | Iterable[Message],
        *,
        tier: Tier = "standard",
        model: str = "",
        sampling: Sampling = Sampling(),
        schema: Schema | None = None,
    ) -> AbstractContextManager[Iterator[Event]]:
        """The same as it comes: `with provider.stream("Hello") as events: for event in events: ...`."""
        ask = partial(self._handle.stream, messages, tier=tier, model=model)
        return self._streamed(partial(ask, sampling=sampling, schema=schema))

    @contextmanager
    def _streamed(self, ask: Callable[[], Stream]) -> Iterator[Iterator[Event]]:
        with self._portal.wrap_async_context_manager(ask()) as events:
            yield iter(partial(self._portal.call, _next, events), None)

    def complete_with_tools(
        self,
        messages: str | Iterable[Message],
        tools: Sequence[Tool],
        *,
        tool_choice: ToolChoice | NamedTool = "auto",
        tier: Tier = "standard",
        model: str = "",
        sampling: Sampling = Sampling(),
    ) -> Answer:
        """One turn in which the model may call tools."""
        ask = partial(self._handle.complete_with_tools, messages, tools, tool_choice=tool_choice)
        return self._portal.call(partial(ask, tier=tier, model=model, sampling=sampling))


async def _next(events: AsyncIterator[Event]) -> Event | None:
    return await anext(events, None)
