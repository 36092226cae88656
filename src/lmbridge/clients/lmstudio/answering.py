"""Answers: streamed events of whichever route, by the model that was asked and no other.

What the routes have in common is here: thoughts taken apart from the answer, errors told as what they are,
the name of the one who answers compared, and the few cases in which a prompt is sent a second time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from lmbridge.clients.event_stream import EventStream
from lmbridge.clients.lmstudio.catalogue import Catalogue
from lmbridge.clients.lmstudio.link import Link
from lmbridge.clients.lmstudio.names import Found
from lmbridge.core.errors import EngineCrashed, InvalidRequest, ModelGone, ModelNotFound, WrongModel
from lmbridge.core.events import (
    Answer,
    AnswerBuilder,
    Event,
    Finished,
    PromptProgress,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
)
from lmbridge.wire.lmstudio.chat import NativeChatDecoder, NativeEvent
from lmbridge.wire.openai.responses import ResponseDecoder
from lmbridge.wire.thoughts import Thoughts

E = TypeVar("E", bound=NativeEvent)

_CORE: Final = (Started, PromptProgress, TextDelta, ReasoningDelta, ToolCallDelta, Finished)


class Asked(Generic[E]):
    """A prompt that is ready to be sent.

    Attributes:
        stream: sends it. found: who has to answer; None where the stream compares by itself.
        model: what it is asked of, named in errors.
    """

    def __init__(self, stream: Callable[[], EventStream[E]], model: str, found: Found | None = None) -> None:
        self.stream, self.model, self.found = stream, model, found


class AnswerStream(Generic[E]):
    """One answer: `async with client.chat(…) as events: async for event in events: …`, or `await ….answer()`.

    Nothing is sent before it is entered; leaving it before the end stops the engine.
    """

    def __init__(
        self,
        link: Link,
        catalogue: Catalogue,
        prepare: Callable[[], Awaitable[Asked[E]]],
        *,
        structured: bool = False,
    ) -> None:
        """Use the methods of the client.

        Args:
            prepare: finds out whom to ask and what. structured: the answer has to be JSON.
        """
        self._link, self._catalogue, self._prepare = link, catalogue, prepare
        self._structured = structured
        self._thoughts = Thoughts(link.provider, structured=structured)
        self._asked: Asked[E] | None = None
        self._events: EventStream[E] | None = None
        self._ready: deque[E] = deque()
        self._decoder: object = None

    @property
    def response_id(self) -> str:
        """To go on from this answer (`respond`, `native_chat`); "" before its end, and where nothing is stored."""
        decoder = self._decoder
        return decoder.response_id if isinstance(decoder, ResponseDecoder | NativeChatDecoder) else ""

    async def answer(self) -> Answer:
        """The whole answer at once. Streamed on the way, so that leaving stops the engine within a token.

        Raises:
            as iterating over it does.
        """
        builder = AnswerBuilder()
        async with self as events:
            async for event in events:
                if isinstance(event, _CORE):
                    builder.feed(event)
        return builder.close()

    async def __aenter__(self) -> Self:
        """Send the prompt and wait for the head of the answer.

        Raises:
            BridgeError: see `LMStudioClient.chat`.
        """
        await self._link.make_sure()
        self._thoughts = Thoughts(self._link.provider, structured=self._structured)
        asked = self._asked = await self._prepare()
        try:
            await self._send(asked)
        except EngineCrashed:
            if not await self._still_there(asked):
                raise
            await self._send(asked)
        except InvalidRequest as error:
            if error.param != "previous_response_id":
                raise
            # Some versions know the id of a streamed answer only a moment after its end.
            await asyncio.sleep(self._link.habits.delay)
            await self._send(asked)
        return self

    async def _send(self, asked: Asked[E]) -> None:
        events = asked.stream()
        with self._explained(asked):
            await events.__aenter__()
        self._events, self._decoder = events, events.decoder

    @contextmanager
    def _explained(self, asked: Asked[E]) -> Iterator[None]:
        try:
            with self._link.explained(asked.model):
                yield
        except (ModelNotFound, ModelGone, WrongModel, EngineCrashed):
            self._catalogue.forget()
            raise

    async def _still_there(self, asked: Asked[E]) -> bool:
        """Whether a model that crashed is in memory again, or still: then it can be asked once more."""
        if asked.found is None:
            return False
        models = await self._catalogue.fetch()
        return any(model.key == asked.found.model.key and model.loaded for model in models)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        """The next event.

        Raises:
            BrokenAnswer, ProviderTimeout, WrongModel, ContextExceeded, EngineCrashed, ModelGone, ProviderRefused.
        """
        while not self._ready:
            if self._events is None or self._asked is None:
                raise StopAsyncIteration
            with self._explained(self._asked):
                await self._take(await anext(self._events), self._asked)
        return self._ready.popleft()

    async def _take(self, event: E, asked: Asked[E]) -> None:
        if isinstance(event, Started) and event.model:
            await self._check(event.model, asked)
        if isinstance(event, Finished) and isinstance(self._decoder, ResponseDecoder) and self._decoder.model:
            await self._check(self._decoder.model, asked)  # some tell it at the end alone
        if isinstance(event, _CORE):
            self._ready.extend(self._sorted(event))
        else:
            self._ready.append(event)

    def _sorted(self, event: Event) -> list[E]:
        return self._thoughts.feed(event)  # type: ignore[return-value]  # what is core stays core

    async def _check(self, answered: str, asked: Asked[E]) -> None:
        """LM Studio answers by whatever is loaded when it does not know a name: that is never what was asked."""
        found = asked.found
        if found is None or answered.casefold() in found.answers:
            return
        if found.instance is None:
            # It may have been loaded for this request, under a name that nobody could foresee.
            for model in await self._catalogue.fetch():
                if model.key == found.model.key and answered.casefold() in model.names:
                    return
        raise WrongModel(self._link.provider, found.asked, answered)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        events, self._events = self._events, None
        self._ready.clear()
        if events is not None:
            await events.__aexit__(kind, error, trace)
