"""Translating: the caller speaks another language than the model's endpoint, so both meet in `core`.

A door decodes a request into a `ChatRequest` and hands it over with an encoder of its language. Here the model
is leased, the events are passed through the encoder, and what goes wrong becomes an error: the same rules as
for what is relayed (`relay`), whatever the languages are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from lmbridge.core.errors import BrokenAnswer
from lmbridge.core.events import Answer, AnswerBuilder, Embeddings, Event, Finished, PromptProgress, Started
from lmbridge.core.models import LoadOptions
from lmbridge.core.requests import ChatRequest, EmbedRequest
from lmbridge.core.turns import Facts, Wait
from lmbridge.doors.gateway.asgi import JSON, NOSNIFF, Request
from lmbridge.doors.gateway.heartbeat import Heartbeat
from lmbridge.doors.gateway.using import Use
from lmbridge.hub.hub import Hub

Keep: TypeAlias = Callable[[Answer, Facts], Awaitable[None]]
"""Called with an answer before its end is sent, so that what it stores can be asked for at once."""


class AnswerEncoder(Protocol):
    """One answer in the caller's language; made for each request. Pure.

    Attributes:
        media: content type of the stream.
        eager: the stream begins before the model is there, and every `Wait` is written as it changes. Otherwise it
            begins with the first event, or after a while with signs of life.
    """

    media: bytes
    eager: bool

    def waiting(self, wait: Wait) -> bytes:
        """A sign of life in the language's own form, b"" for none."""

    def feed(self, event: Event) -> bytes:
        """The next bytes: `Started` comes first, `Finished` last; b"" when there is nothing to say yet."""

    def close(self, answer: Answer, facts: Facts) -> bytes:
        """The end of a stream that went well."""

    def whole(self, answer: Answer, facts: Facts) -> bytes:
        """The body of an answer that is not streamed."""


class Passing(Protocol):
    """A way to pass a request on as it is, where the endpoint speaks the caller's language itself."""

    def fits(self, use: Use) -> bool:
        """Whether the model that is held can be asked so."""

    async def tell(self, request: Request, use: Use, heart: Heartbeat | None) -> None:
        """Answer: as a stream where there is a heart, else whole."""


class Ask(Struct, frozen=True, kw_only=True):
    """What is asked, in core's words.

    Attributes:
        route: its name in the counters.
        options: used only if this request loads the model.
    """

    chat: ChatRequest
    route: str
    stream: bool
    options: LoadOptions = LoadOptions()


class Translator:
    """Answers requests that were decoded into core's words.

    Args:
        heartbeat_s: seconds of silence before a stream gets a sign of life.
    """

    def __init__(self, hub: Hub, heartbeat_s: float) -> None:
        self._hub, self._heartbeat_s = hub, heartbeat_s

    async def answer(
        self,
        request: Request,
        ask: Ask,
        encoder: AnswerEncoder,
        keep: Keep | None = None,
        passing: Passing | None = None,
    ) -> None:
        """Answer *request* in the language of *encoder*; or by *passing* it on, where that fits.

        Raises:
            BridgeError: what stood in the way; a stream may have begun by then.
        """
        if not ask.stream:
            async with self._use(request, ask) as use:
                if passing is not None and passing.fits(use):
                    await passing.tell(request, use, None)
                    return
                answer, facts = await Telling(self._hub, request, use).tell(ask.chat)
            if keep is not None:
                await keep(answer, facts)
            await request.reply(200, (JSON, NOSNIFF), encoder.whole(answer, facts))
            return
        signs = Heartbeat(request, self._heartbeat_s, encoder.waiting, eager=encoder.eager, media=encoder.media)
        async with signs as heart, self._use(request, ask, heart) as use:
            if passing is not None and passing.fits(use):
                await passing.tell(request, use, heart)
                return
            await Telling(self._hub, request, use, encoder, heart).tell(ask.chat, keep)

    async def collect(self, request: Request, ask: Ask) -> tuple[Answer, Facts]:
        """The whole answer, for a door that has more to do with it than to send it.

        Raises:
            BridgeError: as `answer`.
        """
        async with self._use(request, ask) as use:
            return await Telling(self._hub, request, use).tell(ask.chat)

    async def embed(self, request: Request, ask: EmbedRequest, route: str) -> Embeddings:
        """Vectors for texts.

        Raises:
            BridgeError: as `Hub.embed`.
        """
        async with Use(self._hub, request, route, ask.model, "embedding") as use:
            vectors = await use.lease.embed(ask)
            use.count(vectors.usage)
            return vectors

    def _use(self, request: Request, ask: Ask, heart: Heartbeat | None = None) -> Use:
        chat = ask.chat
        alone = chat.sampling.seed is not None
        return Use(self._hub, request, ask.route, chat.model, alone=alone, options=ask.options, heart=heart)


class Telling:
    """Passes one answer on: as a stream where there is an encoder, and collects it either way."""

    def __init__(
        self,
        hub: Hub,
        request: Request,
        use: Use,
        encoder: AnswerEncoder | None = None,
        heart: Heartbeat | None = None,
    ) -> None:
        self._hub, self._request, self._use, self._encoder, self._heart = hub, request, use, encoder, heart
        self._builder = AnswerBuilder()
        self._started = Started(use.lease.provider.id, use.lease.instance.endpoint.model)
        self._first_event_s: float | None = None

    async def tell(self, chat: ChatRequest, keep: Keep | None = None) -> tuple[Answer, Facts]:
        """Answer to the end.

        Raises:
            BrokenAnswer: the events stopped before the answer did. And as the provider.
        """
        if self._heart is not None:
            self._heart.reading()
            chat = replace(chat, progress=True)
        async with self._hub.ask(self._use.lease, chat, self._use.dropped) as events:
            await self._pass(events)
        answer, facts = self._close()
        if keep is not None:
            await keep(answer, facts)
        if self._encoder is not None:
            await self._request.send(self._encoder.close(answer, facts), more=False)
        return answer, facts

    async def _pass(self, events: AsyncIterator[Event]) -> None:
        async for event in events:
            self._builder.feed(event)
            match event:
                case Started():
                    self._started = event
                    continue
                case PromptProgress(done, total):
                    self._started = replace(self._started, prompt_tokens=total)
                    if self._heart is not None and self._first_event_s is None:
                        self._heart.reading(min(1.0, done / total) if total else 0.0)
                    continue
                case Finished():
                    self._use.count(event.usage)
            if self._first_event_s is None:
                await self._begin()
            if self._encoder is not None and (data := self._encoder.feed(event)):
                await self._request.send(data)

    async def _begin(self) -> None:
        """The first word is here: the waiting ends."""
        self._first_event_s = self._use.first_event()
        if self._encoder is None or self._heart is None:
            return
        await self._heart.stop()
        if not self._request.started:
            await self._request.start_events(self._encoder.media)
        if data := self._encoder.feed(self._started):
            await self._request.send(data)

    def _close(self) -> tuple[Answer, Facts]:
        if not self._builder.finished:
            raise BrokenAnswer(self._use.lease.provider.id, "the events stopped before the answer was finished")
        answer, lease = self._builder.close(), self._use.lease
        timings = answer.finish.timings
        facts = Facts(
            model=lease.model,
            instance=lease.instance,
            name=lease.instance.endpoint.model or lease.model.id,
            load_s=lease.load_s,
            first_event_s=self._first_event_s or 0.0,
            total_s=self._use.seconds,
            tokens_per_s=timings.tokens_per_s if timings is not None else None,
        )
        return answer, facts
