"""A provider as a program sees it that has one favourite: ask it, stream from it, see whether it is there.

Everything goes through the hub, so that leases, queue and limits are those of all callers. Knows hubs by their
protocol alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

from lmbridge.core.errors import BridgeError, ModelNotFound
from lmbridge.core.events import Answer, Event
from lmbridge.core.messages import Message, Tool
from lmbridge.core.models import ModelInfo
from lmbridge.core.provider import ProviderState
from lmbridge.core.requests import ChatRequest, NamedTool, Sampling, Schema, ToolChoice
from lmbridge.core.tiers import Tier

if TYPE_CHECKING:
    from lmbridge.core.hub import AnyHub


class Capabilities(Struct, frozen=True):
    """What a provider can do now.

    Attributes:
        tools, vision: whether one of its models can; None when nobody tells.
        models: ids of those that can be talked with; never an embedding model.
    """

    models: tuple[str, ...]
    tools: bool | None = None
    vision: bool | None = None
    streaming: bool = True


class ProviderHandle:
    """One provider of a hub, made by `hub.provider(id)`. Nothing is asked before a method is called.

    Args:
        id: "" stands for whichever answers who names no model.
    """

    def __init__(self, hub: AnyHub, id: str) -> None:
        self._hub = hub
        self.id = id

    def __repr__(self) -> str:
        return f"ProviderHandle({self.id!r})"

    # -- whether and what -------------------------------------------------------------------------

    async def state(self) -> ProviderState:
        """Whether it is there, what it is called, and what would mend it. Never raises."""
        try:
            states = await self._hub.probe()
            wanted = self.id or await self._hub.default_provider()
        except BridgeError as error:
            return ProviderState(self.id, "unavailable", error.message, error.hint)
        found = next((s for s in states if s.provider == wanted), None)
        if found is None and not self.id:
            found = next((s for s in states if s.state == "ready"), None)
        return found or ProviderState(self.id, "unavailable", "There is no such provider.")

    async def is_configured(self) -> bool:
        """Whether it could answer a chat now. Never raises: what is down, or gone, is not configured."""
        try:
            found = any(not model.problem for model in await self.refresh_models())
            if found and not self.id:
                await self._hub.resolve("")  # all of them may be a cloud's, which answers only who names it
            return found
        except BridgeError:
            return False

    async def models(self) -> Sequence[ModelInfo]:
        """Its models that can be talked with and asked now."""
        return self._mine(await self._hub.models())

    async def refresh_models(self) -> Sequence[ModelInfo]:
        """The same, asked anew: a server that was started just now is found."""
        return self._mine(await self._hub.refresh(self.id))

    async def reset_client(self) -> None:
        """Forget what was found before; the next use looks again."""
        await self._hub.refresh(self.id)

    async def capabilities(self) -> Capabilities:
        """What it can do, and with which models."""
        models = await self.models()
        return Capabilities(
            tuple(model.id for model in models), _any(m.tools for m in models), _any(m.vision for m in models)
        )

    def _mine(self, models: Sequence[ModelInfo]) -> list[ModelInfo]:
        return [m for m in models if self.id in ("", m.provider) and m.kind == "chat" and not m.stale_s]

    # -- asking -----------------------------------------------------------------------------------

    async def complete(
        self,
        prompt: str,
        *,
        system: str = "",
        tier: Tier = "standard",
        model: str = "",
        sampling: Sampling = Sampling(),
        schema: Schema | None = None,
    ) -> Answer:
        """Answer one question.

        Args:
            tier: which of the models that the settings name for it; without one, that of who names none.
            model: one by its name, over the tier.

        Raises:
            ModelNotFound, NoModels, ProviderUnavailable, and whatever `AnyHub.answer` raises.
        """
        messages = (*_instructed(system), Message("user", prompt))
        return await self.chat(messages, tier=tier, model=model, sampling=sampling, schema=schema)

    async def chat(
        self,
        messages: str | Iterable[Message],
        *,
        tier: Tier = "standard",
        model: str = "",
        sampling: Sampling = Sampling(),
        schema: Schema | None = None,
    ) -> Answer:
        """The next turn of a conversation. Arguments and errors as of `complete`."""
        name = await self._name(tier, model)
        return await self._hub.answer(ChatRequest(name, _turns(messages), sampling=sampling, schema=schema))

    def stream(
        self,
        messages: str | Iterable[Message],
        *,
        tier: Tier = "standard",
        model: str = "",
        sampling: Sampling = Sampling(),
        schema: Schema | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """The same as it comes: `async with provider.stream("Hello") as events: async for e in events: ...`."""
        return self._stream(_turns(messages), tier, model, sampling, schema)

    @asynccontextmanager
    async def _stream(
        self, messages: tuple[Message, ...], tier: Tier, model: str, sampling: Sampling, schema: Schema | None
    ) -> AsyncIterator[AsyncIterator[Event]]:
        name = await self._name(tier, model)
        async with self._hub.chat(ChatRequest(name, messages, sampling=sampling, schema=schema)) as events:
            yield events

    async def complete_with_tools(
        self,
        messages: str | Iterable[Message],
        tools: Sequence[Tool],
        *,
        tool_choice: ToolChoice | NamedTool = "auto",
        tier: Tier = "standard",
        model: str = "",
        sampling: Sampling = Sampling(),
    ) -> Answer:
        """One turn in which the model may call tools: its `stop_reason` is `tool_use` where it does.

        Results go back as messages of the role `tool`, after the answer's own `message`; `Model.act` does all of
        that by itself.
        """
        name = await self._name(tier, model)
        request = ChatRequest(name, _turns(messages), tuple(tools), tool_choice, sampling=sampling)
        return await self._hub.answer(request)

    async def _name(self, tier: Tier, model: str) -> str:
        """The name to ask the hub for."""
        mine = f"{self.id}:" if self.id else ""
        if model:
            return model if model.startswith(mine) else f"{mine}{model}"
        if tier != "standard":  # which is that of who names none
            try:
                return (await self._hub.resolve(f"{mine}{tier}")).qualified
            except ModelNotFound:
                pass  # the settings name none for it
        return mine


def _turns(messages: str | Iterable[Message]) -> tuple[Message, ...]:
    return (Message("user", messages),) if isinstance(messages, str) else tuple(messages)


def _instructed(system: str) -> tuple[Message, ...]:
    return (Message("system", system),) if system else ()


def _any(told: Iterable[bool | None]) -> bool | None:
    """True if one is, None if nobody tells, else False."""
    known = [each for each in told if each is not None]
    return any(known) if known else None
