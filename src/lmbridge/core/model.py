"""One model of a hub, to talk with: `model = await hub.model("openai/gpt-oss-20b")`.

Everything goes through the hub, so that leases, queue and limits are those of all callers. Knows hubs by their
protocol alone, and so works over a running gateway too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol, TypeAlias, Unpack

from lmbridge.core.acting import ActOptions, ActResult, ActState, AnyTool
from lmbridge.core.chat import Chat, ever_shorter
from lmbridge.core.errors import ContextExceeded, InvalidRequest
from lmbridge.core.events import Answer, Embeddings, Event
from lmbridge.core.messages import Message, Tool
from lmbridge.core.models import ModelInfo
from lmbridge.core.requests import ChatRequest, EmbedRequest, Sampling, Schema

if TYPE_CHECKING:
    from lmbridge.core.hub import AnyHub

AnyChat: TypeAlias = Chat | str | Sequence[Message]
"""A conversation; a plain string is one user turn."""

AnySchema: TypeAlias = Schema | Mapping[str, object] | None
"""The shape of an answer; a dict is a JSON schema."""


class Actor(Protocol):
    """Runs a model with tools; `hub.act` does, `assembly` joins it with a gateway's hub."""

    async def __call__(
        self, hub: AnyHub, model: str, state: ActState, tools: Sequence[AnyTool], options: ActOptions
    ) -> ActResult:
        """Until it stops; see `Model.act`."""


class Model:
    """A model of a hub.

    Attributes:
        info: what is known of it.
    """

    def __init__(self, hub: AnyHub, info: ModelInfo, actor: Actor | None) -> None:
        self._hub, self._actor = hub, actor
        self.info = info

    def __repr__(self) -> str:
        return f"Model({self.info.qualified!r})"

    async def respond(
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
        """The next turn of a conversation, whole. The chat is left as it is: `chat.append(answer)`.

        Args:
            schema: the shape it must have.
            sampling, reasoning_effort, extra, truncate, task: as of `ChatRequest`.

        Raises:
            BridgeError: as `AnyHub.answer`.
        """
        request = ChatRequest(
            self.info.qualified,
            turns(chat),
            schema=schema_of(schema),
            sampling=sampling,
            reasoning_effort=reasoning_effort,
            extra=dict(extra),
            truncate=truncate,
            task=task,
        )
        return await self._hub.answer(request)

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
    ) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """The same as it comes: `async with model.stream(chat) as events: async for event in events: ...`."""
        request = ChatRequest(
            self.info.qualified,
            turns(chat),
            schema=schema_of(schema),
            sampling=sampling,
            reasoning_effort=reasoning_effort,
            extra=dict(extra),
            truncate=truncate,
            task=task,
        )
        return self._hub.chat(request)

    async def act(
        self, chat: AnyChat | ActState, tools: Sequence[AnyTool], **options: Unpack[ActOptions]
    ) -> ActResult:
        """Let the model work with tools, round by round, until it stops or a budget is used up.

        The chat is left as it is: `on_message=chat.append` makes it grow.

        Args:
            chat: the conversation; or the state of an earlier run, which goes on.
            tools: Python functions, and boxes of tools.
            options: callbacks, budgets, approval, the shape of the final answer: see `lmbridge.ActOptions`.

        Raises:
            InvalidRequest: a tool or an option that cannot be.
            BridgeError: the model could not be asked. And whatever a callback raises.
        """
        if self._actor is None:
            raise InvalidRequest("This hub carries no tool calls out.", hint="Use the hub of `lmbridge.connect`.")
        messages = () if isinstance(chat, ActState) else turns(chat)
        state = chat if isinstance(chat, ActState) else ActState(messages=messages, began=len(messages))
        return await self._actor(self._hub, self.info.qualified, state, tools, options)

    async def count(self, chat: AnyChat, tools: Sequence[Tool] = ()) -> int | None:
        """Tokens of a conversation, as the model counts them; None where its provider does not tell. Loads it."""
        return await self._hub.count(ChatRequest(self.info.qualified, turns(chat), tuple(tools)))

    async def trim(self, chat: Chat, limit: int) -> Chat:
        """A chat with as few of the oldest exchanges dropped as makes it fit; see `Chat.trimmed`.

        Args:
            limit: most tokens, as the model counts them.

        Raises:
            ContextExceeded: what must stay does not fit. InvalidRequest: its provider does not count tokens.
        """
        tokens: int | None = 0
        tokens = 0
        for left in ever_shorter(chat.messages):
            tokens = await self._tokens(left)
            if tokens <= limit:
                return Chat(messages=left)
        raise ContextExceeded(tokens, limit)

    async def _tokens(self, messages: Sequence[Message]) -> int:
        tokens = await self.count(messages)
        if tokens is None:
            raise InvalidRequest(
                f"The provider {self.info.provider!r} does not count tokens.",
                hint="Use `chat.trimmed(limit, count)` with a count of your own.",
            )
        return tokens

    async def embed(self, texts: str | Sequence[str], *, task: str = "") -> Embeddings:
        """Vectors for texts, one for each.

        Args:
            task: as of `ChatRequest`.

        Raises:
            WrongModelKind: it is no embedding model.
        """
        inputs = (texts,) if isinstance(texts, str) else tuple(texts)
        return await self._hub.embed(EmbedRequest(self.info.qualified, inputs, task=task))


def turns(chat: AnyChat) -> tuple[Message, ...]:
    """The messages of a conversation.

    Raises:
        InvalidRequest: it is none.
    """
    if isinstance(chat, str):
        return (Message("user", chat),)
    if isinstance(chat, Chat):
        return chat.messages
    held: object = chat  # whatever it is called
    if not isinstance(held, Sequence) or not all(isinstance(message, Message) for message in held):
        raise InvalidRequest(
            f"{held!r:.100} is no conversation.",
            hint="Give a Chat, a text, or messages; `Chat.from_messages` takes those of OpenAI's form.",
        )
    return tuple(held)


def schema_of(schema: AnySchema) -> Schema | None:
    """A schema, whichever way it was given.

    Raises:
        InvalidRequest: it is none.
    """
    if isinstance(schema, Schema) or schema is None:
        return schema
    if not isinstance(schema, Mapping):
        raise InvalidRequest(f"{schema!r:.100} is no JSON schema.", hint="Give it as a dict.", param="schema")
    return Schema(dict(schema))
