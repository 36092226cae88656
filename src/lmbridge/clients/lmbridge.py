"""Asking a running gateway of lmbridge: the hub of another process, with the same methods as our own.

Chat and embeddings go over the OpenAI routes, everything else over `/api/lmbridge`, whose bodies are
core structs as JSON.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from types import TracebackType
from typing import Final, Self, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Raw, Struct

from lmbridge.clients.http import HTTPClient, Response
from lmbridge.clients.openai import ChatStream, OpenAIClient, collect
from lmbridge.core.errors import (
    BrokenAnswer,
    InvalidRequest,
    ModelNotFound,
    NoModels,
    NotRunning,
    ProviderUnavailable,
)
from lmbridge.core.events import Answer, Embeddings, Event
from lmbridge.core.handle import ProviderHandle
from lmbridge.core.messages import Message, Tool
from lmbridge.core.model import Actor, Model
from lmbridge.core.models import Download, Endpoint, InstanceState, LoadOptions, ModelInfo, ModelKind
from lmbridge.core.provider import DownloadProgress, Progress, Provider, ProviderState
from lmbridge.core.requests import ChatRequest, EmbedRequest
from lmbridge.core.usage import TASK_HEADER, UsageBy, UsageReport, checked_task
from lmbridge.wire.openai.errors import decode_error, is_error
from lmbridge.wire.sse import SSEDecoder, SSEError

NAME: Final = "gateway"
"""How errors call the other side."""

MAX_ERROR: Final = 1024 * 1024

_T = TypeVar("_T")


class GatewayStatus(Struct):
    """The answer of `GET /api/lmbridge/status`.

    Attributes:
        uptime_s: seconds since it started.
    """

    version: str
    pid: int
    uptime_s: float
    providers: tuple[ProviderState, ...]
    instances: tuple[InstanceState, ...]


class _Models(Struct):
    models: tuple[ModelInfo, ...]


class _Nothing(Struct):
    pass


class _Yielded(Struct):
    yielded: bool


class _Resolve(Struct):
    model: str
    kind: ModelKind


class _Load(Struct):
    model: str
    options: LoadOptions


class _Count(Struct, omit_defaults=True):
    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()


class _Counted(Struct):
    tokens: int | None


class _Unload(Struct):
    model: str


class _Get(Struct):
    model: str
    provider: str


class _WorkEvent(Struct):
    """One event of a load or a download: how far it is, its result, or its error."""

    progress: float | None = None
    instance: InstanceState | None = None
    download: Download | None = None
    model: ModelInfo | None = None
    error: Raw = Raw()


class RemoteHub:
    """The hub behind a gateway. Satisfies `core.hub.AnyHub`.

    Args:
        url: of the gateway, such as `http://127.0.0.1:1235`.
        key: an API key, or the key of the user's own gateway file.
        http: sends the requests; None makes one that `aclose` closes.
        actor: runs models with tools, in this process; None for hubs that nobody asks for that.
    """

    def __init__(self, url: str, key: str, *, http: HTTPClient | None = None, actor: Actor | None = None) -> None:
        self._actor = actor
        self._url = url.rstrip("/")
        self._headers = (("authorization", f"Bearer {key}"),) if key else ()
        self._own = http is None
        self._http = http or HTTPClient()

    def __repr__(self) -> str:
        return f"RemoteHub({self._url!r})"

    @property
    def where(self) -> str:
        """The URL of the gateway."""
        return self._url

    async def status(self) -> GatewayStatus:
        """Version, process, providers and instances of the gateway.

        Raises:
            NotRunning: nothing answers there. Unauthorized: the key is not known there.
        """
        return await self._ask("GET", "status", GatewayStatus)

    async def probe(self) -> Sequence[ProviderState]:
        """The state of every provider of the gateway."""
        return (await self.status()).providers

    async def models(self) -> Sequence[ModelInfo]:
        """Every model of every provider of the gateway."""
        return (await self._ask("GET", "models", _Models)).models

    async def refresh(self, provider: str = "") -> Sequence[ModelInfo]:
        """The same: a gateway believes its lists for some seconds only, and asks anew for what is not in them."""
        return await self.models()

    def provider(self, id: str = "") -> ProviderHandle:
        """One provider of the gateway; see `AnyHub.provider`."""
        return ProviderHandle(self, id)

    async def default_provider(self) -> str:
        """Id of the provider that answers who names no model there; "" where the gateway chooses."""
        return next((state.provider for state in await self.probe() if state.default), "")

    def register(self, provider: Provider, *, before: str = "") -> None:
        """Not there: a gateway runs its own providers.

        Raises:
            InvalidRequest
        """
        raise _of_another_process()

    async def unregister(self, id: str) -> None:
        """Not there either.

        Raises:
            InvalidRequest
        """
        raise _of_another_process()

    async def resolve(self, name: str, kind: ModelKind = "chat") -> ModelInfo:
        """The model a name means there.

        Raises:
            ModelNotFound, NoModels, WrongModelKind.
        """
        return await self._ask("POST", "models/resolve", ModelInfo, _Resolve(name, kind))

    async def model(self, name: str = "", kind: ModelKind = "chat") -> Model:
        """One model of the gateway; see `AnyHub.model`. Its tools are called in this process."""
        return Model(self, await self.resolve(name, kind), self._actor)

    async def instances(self) -> Sequence[InstanceState]:
        """The models in the gateway's memory."""
        return (await self.status()).instances

    async def load(
        self, name: str, options: LoadOptions = LoadOptions(), progress: Progress | None = None
    ) -> InstanceState:
        """Load a model there; see `AnyHub.load`. Leaving early does not undo a load that others wait for.

        Raises:
            ModelNotFound, ModelBusy, NotEnoughMemory, BadModelFile, LoadFailed, EngineMissing.
        """
        async with aclosing(self._follow("models/load", _Load(name, options))) as events:
            async for event in events:
                if event.progress is not None and progress is not None:
                    progress(event.progress)
                if event.instance is not None:
                    return event.instance
        raise BrokenAnswer(NAME, "it stopped telling before the model was loaded")

    async def download(
        self, name: str, *, provider: str = "", progress: DownloadProgress | None = None
    ) -> ModelInfo:
        """Get a model there; see `AnyHub.download`."""
        async with aclosing(self._follow("models/download", _Get(name, provider))) as events:
            async for event in events:
                if event.download is not None and progress is not None:
                    progress(event.download)
                if event.model is not None:
                    return event.model
        raise BrokenAnswer(NAME, "it stopped telling before the model was there")

    async def _follow(self, route: str, ask: Struct) -> AsyncGenerator[_WorkEvent, None]:
        """What a route tells of work under way.

        Raises:
            BrokenAnswer: it is not what it should be; and the error that the work ended with.
        """
        decoder = SSEDecoder()
        async with await self._send("POST", route, ask) as response:
            try:
                async for data in response:
                    for event in decoder.feed(data):
                        yield _told(route, event.data)
                decoder.close()
            except SSEError as error:
                raise BrokenAnswer(NAME, str(error)) from error

    async def unload(self, name: str) -> InstanceState:
        """Give a model's memory back there.

        Raises:
            ModelNotFound: it is not loaded. ModelBusy: it is answering somebody.
        """
        return await self._ask("POST", "models/unload", InstanceState, _Unload(name))

    async def shutdown(self) -> None:
        """Ask the gateway to end. It does so after this returns; only its owner's key may.

        Raises:
            NotRunning: nothing answers there. Forbidden, Unauthorized: the key may not.
        """
        async with await self._send("POST", "shutdown", {}) as response:
            await response.read(MAX_ERROR)

    async def give_up_stand_in(self) -> bool:
        """Have the gateway listen no longer where LM Studio does; tells whether it did.

        Raises:
            NotRunning: nothing answers there. Forbidden, Unauthorized: the key may not.
        """
        return (await self._ask("POST", "stand-in/yield", _Yielded, _Nothing())).yielded

    @asynccontextmanager
    async def chat(self, request: ChatRequest) -> AsyncIterator[AsyncIterator[Event]]:
        """Stream an answer: `async with hub.chat(request) as events: async for event in events: ...`.

        Raises:
            BridgeError: what the gateway answered instead.
        """
        with _reachable():
            async with await self._stream(request) as events:
                yield events

    async def answer(self, request: ChatRequest) -> Answer:
        """The whole answer at once. Streamed on the way, so that leaving stops the engine within a token."""
        with _reachable():
            return await collect(await self._stream(request))

    async def count(self, chat: ChatRequest) -> int | None:
        """Tokens of a prompt, as its model counts them there; None where the provider does not tell."""
        ask = _Count(chat.model, chat.turns, chat.tools)
        return (await self._ask("POST", "models/count", _Counted, ask)).tokens

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Vectors for texts."""
        with _reachable():
            client, endpoint = await self._found(request.model, "embedding", request.task)
            return await client.embed(endpoint, request)

    async def usage(
        self, by: UsageBy = "model", *, since: float | None = None, until: float | None = None, model: str = ""
    ) -> UsageReport:
        """What the models were used for, by the gateway's ledger; see `AnyHub.usage`."""
        asked = {"by": by, "since": since, "until": until, "model": model or None}
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        return await self._ask("GET", f"usage?{query}", UsageReport)

    async def _stream(self, request: ChatRequest) -> ChatStream:
        client, endpoint = await self._found(request.model, "chat", request.task)
        return client.chat(endpoint, request, _trimmed if request.truncate else None)

    async def _found(self, name: str, kind: ModelKind, task: str) -> tuple[OpenAIClient, Endpoint]:
        """Whom to ask: a gateway's answers do not say which provider gave them, so it is asked before."""
        headers = self._headers
        if task:
            headers = (*headers, (TASK_HEADER, quote(checked_task(task), safe=" ")))
        try:
            model = await self.resolve(name, kind)
        except (ModelNotFound, NoModels):
            # It may be downloaded when it is really asked for; if not, that tells the same.
            return OpenAIClient(self._http, NAME), Endpoint(self._url + "/v1", headers, name)
        endpoint = Endpoint(self._url + "/v1", headers, model.qualified)
        return OpenAIClient(self._http, model.provider), endpoint

    async def _ask(self, method: str, route: str, shape: type[_T], body: Struct | None = None) -> _T:
        async with await self._send(method, route, body) as response:
            data = await response.read()
        try:
            return msgspec.json.decode(data, type=shape)
        except (ValueError, RecursionError) as error:
            raise BrokenAnswer(NAME, f"{route}: {error}") from error

    async def _send(self, method: str, route: str, body: Struct | dict[str, object] | None) -> Response:
        """Send a request to a management route; the answer with a good status, its body unread."""
        with _reachable():
            response = await self._http.request(
                method,
                f"{self._url}/api/lmbridge/{route}",
                headers=self._headers,
                body=b"" if body is None else msgspec.json.encode(body),
                provider=NAME,
            )
        if response.status < 300:
            return response
        async with response:
            raise decode_error(response.status, await response.read(MAX_ERROR), NAME, response.retry_after)

    async def aclose(self) -> None:
        """Close the connections; the gateway and its models stay. Idempotent."""
        if self._own:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _of_another_process() -> InvalidRequest:
    return InvalidRequest(
        "The models run in a gateway, which has providers of its own.",
        hint="Use `lmbridge.connect(gateway=False)`, or an extension that the gateway loads.",
    )


def _trimmed(body: dict[str, object]) -> dict[str, object]:
    """A request whose oldest turns the gateway may drop."""
    return {**body, "truncation": "auto"}


def _told(route: str, data: bytes) -> _WorkEvent:
    """One event of work under way; raises the error that it tells of."""
    try:
        event = msgspec.json.decode(data, type=_WorkEvent)
    except (ValueError, RecursionError) as error:
        raise BrokenAnswer(NAME, f"{route}: {error}") from error
    if is_error(event.error):
        raise decode_error(None, data, NAME)
    return event


@contextmanager
def _reachable() -> Iterator[None]:
    """A gateway that cannot be reached has an error of its own; one that it passed on keeps its own."""
    try:
        yield
    except ProviderUnavailable as error:
        if getattr(error, "provider", "") == NAME:
            raise NotRunning from error
        raise
