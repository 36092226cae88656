"""The blocking twin of a hub's model: `model = hub.model("openai/gpt-oss-20b")`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TypeVar, Unpack

from anyio.from_thread import BlockingPortal

from lmbridge.core.acting import ActOptions, ActResult, ActState, AnyTool
from lmbridge.core.chat import Chat
from lmbridge.core.events import Answer, Embeddings, Event
from lmbridge.core.messages import Tool
from lmbridge.core.model import AnyChat, AnySchema, Model
from lmbridge.core.models import ModelInfo
from lmbridge.core.requests import Sampling

T = TypeVar("T")


class BlockingModel:
    """A model whose methods block. Each does what the method of the same name of `core.model.Model` does."""

    def __init__(self, model: Model, portal: BlockingPortal) -> None:
        self._model, self._portal = model, portal

    def __repr__(self) -> str:
        return repr(self._model)

    @property
    def info(self) -> ModelInfo:
        """What is known of it."""
        return self._model.info

    def respond(
        self,
        chat: AnyChat,
        *,
        schema: AnySchema = None,
        sampling: Sampling = Sampling(),
        reasoning_effort: str | None = None,
        extra: Mapping[str, object] = {},
        truncate: bool = False,
        task: str = "",
    ) -> Answer:
        """The next turn of a conversation, whole."""
        return self._call(
            partial(
                self._model.respond,
                chat,
                schema=schema,
                sampling=sampling,
                reasoning_effort=reasoning_effort,
                extra=extra,
                truncate=truncate,
                task=task,
            )
        )

    def stream(
        self,
        chat: AnyChat,
        *,
        schema: AnySchema = None,
        sampling: Sampling = Sampling(),
        reasoning_effort: str | None = None,
        extra: Mapping[str, object] = {},
        truncate: bool = False,
        task: str = "",
    ) -> AbstractContextManager[Iterator[Event]]:
        """The same as it comes: `with model.stream(chat) as events: for event in events: ...`."""

        @contextmanager
        def streaming() -> Iterator[Iterator[Event]]:
            asked = self._model.stream(
                chat,
                schema=schema,
                sampling=sampling,
                reasoning_effort=reasoning_effort,
                extra=extra,
                truncate=truncate,
                task=task,
            )
            with self._portal.wrap_async_context_manager(asked) as events:
                yield iter(partial(self._portal.call, _next, events), None)

        return streaming()

    def act(self, chat: AnyChat | ActState, tools: Sequence[AnyTool], **options: Unpack[ActOptions]) -> ActResult:
        """Let the model work with tools until it stops. Callbacks are called in the background thread."""
        return self._call(partial(self._model.act, chat, tools, **options))

    def count(self, chat: AnyChat, tools: Sequence[Tool] = ()) -> int | None:
        """Tokens of a conversation, as the model counts them."""
        return self._call(partial(self._model.count, chat, tools))

    def trim(self, chat: Chat, limit: int) -> Chat:
        """A chat with as few of the oldest exchanges dropped as makes it fit."""
        return self._call(partial(self._model.trim, chat, limit))

    def embed(self, texts: str | Sequence[str], *, task: str = "") -> Embeddings:
        """Vectors for texts, one for each."""
        return self._call(partial(self._model.embed, texts, task=task))

    def _call(self, work: Callable[[], Coroutine[object, object, T]]) -> T:
        """Await it in the loop. When the waiting is interrupted, as by Ctrl-C, it is cancelled there."""
        future = self._portal.start_task_soon(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise


async def _next(events: AsyncIterator[Event]) -> Event | None:
    return await anext(events, None)
