"""LM Studio as a provider: its models under the same leases as all others.

LM Studio keeps models in memory by itself, and other programs load and unload them beside us. So what is
loaded already is taken over as it is and never unloaded for being idle; what we loaded is unloaded when its
time is over, and at the end if nobody else would do it; and an error of a model that somebody else unloaded
says so, after which the next request loads it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from itertools import count
from time import monotonic
from typing import ClassVar, Final, Literal, assert_never

from msgspec.structs import replace

from lmbridge.clients.http.address import is_near
from lmbridge.clients.lmstudio import LMStudioClient, LMStudioSettings
from lmbridge.core.errors import (
    BridgeError,
    BrokenAnswer,
    ForeignServer,
    ModelGone,
    ModelNotFound,
    ProviderNeedsKey,
    ProviderUnavailable,
    UnsupportedParameter,
    WrongModel,
)
from lmbridge.core.events import Embeddings, Event
from lmbridge.core.models import Instance, LoadOptions, ModelInfo
from lmbridge.core.provider import DownloadProgress, Manifest, Progress, ProviderContext, ProviderState, Setting
from lmbridge.core.requests import ChatRequest, EmbedRequest
from lmbridge.core.tiers import names_of, tier_settings
from lmbridge.machine.lmstudio.home import Places
from lmbridge.providers.lmstudio.live import LiveClient
from lmbridge.providers.lmstudio.program import LMStudioProgram, LMStudioStatus
from lmbridge.wire.lmstudio.errors import explain
from lmbridge.wire.lmstudio.models import LMStudioModel, LoadedInstance
from lmbridge.wire.lmstudio.requests import prepare_chat, prepare_completion, prepare_embed

LISTED_FOR: Final = 3.0
"""Seconds for which a listing is believed, so that a burst of requests asks for it once."""
SURE_FOR: Final = 5.0
"""Seconds for which a model that was there is believed to be, and its address to be LM Studio's."""


class LMStudioProvider:
    """The LM Studio of this computer, or the one that the settings name."""

    manifest: ClassVar[Manifest] = Manifest(
        id="lmstudio",
        display_name="LM Studio",
        runs="server",
        description="Models of LM Studio: found on this computer by itself, or named by its URL.",
        settings=(
            Setting("url", "string", "Its address, with or without /v1; unset finds it on this computer.", ""),
            Setting("token", "secret", "Its API token, where it asks for one; better kept in $LM_API_TOKEN.", ""),
            Setting("native_api", "boolean", "Use its own API; unset finds out which it has."),
            *tier_settings(),
            Setting("autostart", "boolean", "Start LM Studio when it is needed and down.", False),
            Setting("auto_download", "boolean", "Download a model that is asked for and missing.", False),
            Setting("connect_timeout", "number", "Seconds until it must have accepted a connection.", 5.0),
            Setting("first_byte_timeout", "number", "Seconds until an answer must begin; unset waits."),
            Setting("idle_timeout", "number", "Seconds it may be silent within an answer; unset waits."),
            Setting("ask_timeout", "number", "Seconds for what needs no model: a list, a status.", 15.0),
            Setting("load_timeout", "number", "Seconds for loading one model; unset waits."),
            Setting("start_timeout", "number", "Seconds for starting LM Studio itself.", 75.0),
        ),
    )

    def __init__(
        self, settings: LMStudioSettings, context: ProviderContext, *, places: Places | None = None
    ) -> None:
        """Use `create`; *places* is where LM Studio is looked for on this computer, default this user's."""
        self.id = context.name
        self.fetches = settings.auto_download
        given = {"model": settings.model, "embedding_model": settings.embedding_model, **settings.tiers}
        self.names: Mapping[str, str] = names_of(given)
        self._settings = settings
        self.nearby = not settings.url or is_near(settings.url)
        self._program = LMStudioProgram(settings, home=context.home, places=places)
        self._live = LiveClient(self._program)
        self._listing = asyncio.Lock()
        self._listed: tuple[ModelInfo, ...] = ()
        self._loaded: tuple[Instance, ...] = ()
        self._listed_until = 0.0
        self._numbers = count(1)
        self._loans: dict[str, _Loan] = {}

    def __repr__(self) -> str:
        return f"LMStudioProvider({self.id!r}, {self._settings!r})"

    @classmethod
    def create(cls, settings: Mapping[str, object], context: ProviderContext) -> LMStudioProvider:
        """Build one from its table.

        Raises:
            ConfigInvalid: an unknown setting, a wrong type, a URL or a token that cannot be used.
        """
        return cls(LMStudioSettings.read(settings), context)

    # -- whether it is there ----------------------------------------------------------------------

    async def probe(self) -> ProviderState:
        """Look for it. Never raises, never wakes it."""
        status = await self._program.status(brief=True)
        return ProviderState(self.id, _state(status), status.detail, status.advice, status.version)

    async def _open(self, *, start: bool = False) -> LMStudioClient:
        """A client of an LM Studio that answers.

        Args:
            start: it is really needed: start it if it is down and the settings allow that.

        Raises:
            ProviderUnavailable, ProviderTimeout, ProviderNeedsKey, ForeignServer.
        """
        return await self._live.get(start=start and self._settings.autostart)

    # -- what it has ------------------------------------------------------------------------------

    def forget(self) -> None:
        """Look for it anew at the next use, and ask for its models."""
        self._live.forget()
        self._listed_until = 0.0

    async def models(self) -> Sequence[ModelInfo]:
        """What it has, in memory or on disk. While it is down: what it had, with the age of the list."""
        await self._list()
        return self._listed

    async def loaded(self) -> Sequence[Instance]:
        """What is in its memory, whoever loaded it."""
        await self._list()
        return self._loaded

    async def _list(self) -> None:
        async with self._listing:
            if monotonic() < self._listed_until:
                return
            try:
                client = await self._open()
                models = await client.fetch_models()
                self._loaded = tuple(self._instance(client, m, i) for m in models for i in m.loaded)
                self._listed_until = monotonic() + LISTED_FOR
            except BridgeError:  # the probe is there to tell why, and so is loading one of them
                models, self._loaded = self._program.cached_models(), ()
            self._listed = tuple(info for model in models if model.kind != "other" for info in self._infos(model))

    def _infos(self, model: LMStudioModel) -> Iterator[ModelInfo]:
        """A model, and its other quantizations, which are asked for by names of their own."""
        info = self._info(model)
        yield info
        for name in model.variants:
            if name != model.selected_variant:
                yield replace(info, id=name, quantization=name.partition("@")[2].upper())

    def _info(self, model: LMStudioModel) -> ModelInfo:
        return ModelInfo(
            id=model.key,
            provider=self.id,
            kind="embedding" if model.kind == "embedding" else "chat",
            display_name=model.display_name,
            size_bytes=model.size_bytes,
            architecture=model.architecture,
            quantization=model.quantization,
            context_length=model.max_context_length,
            tools=model.tools,
            vision=model.vision,
            reasoning=model.reasoning,
            stale_s=model.stale_s,
        )

    def _instance(
        self, client: LMStudioClient, model: LMStudioModel, loaded: LoadedInstance, ttl: float = 0.0
    ) -> Instance:
        return Instance(
            key=f"{self.id}:{loaded.id}#{next(self._numbers)}",
            model=self._info(model),
            endpoint=client.endpoint(loaded.id, (model.key, *model.variants)),
            # Its own queue is longer than what it answers at once: who waits there is seen by nobody.
            slots=loaded.parallel,
            context_length=loaded.context_length,
            options=LoadOptions(loaded.context_length, loaded.parallel, ttl=ttl),
        )

    async def estimate(self, model: ModelInfo, options: LoadOptions) -> int:
        """0: LM Studio judges by itself whether a model fits."""
        return 0

    async def room(self) -> int | None:
        """None: its memory is not ours to manage."""
        return None

    # -- loading ----------------------------------------------------------------------------------

    async def load(self, model: ModelInfo, options: LoadOptions, progress: Progress | None = None) -> Instance:
        """Take over an instance that suffices, or load one.

        Raises:
            ProviderUnavailable: it is down; with the command that starts it. UnsupportedParameter: an option
            that LM Studio keeps to itself. ModelNotFound, LoadFailed, NotEnoughMemory, CommandFailed.
        """
        _refuse(options)
        client = await self._open(start=True)
        # Where LM Studio itself can keep the time it stays loaded when we are gone; else `aclose` unloads it.
        ttl = int(options.ttl) if options.ttl and options.ttl >= 1 and client.has_command else None
        loaded = await client.load_model(
            model.id, context_length=options.context_length, parallel=options.parallel, ttl=ttl, progress=progress
        )
        self._listed_until = 0.0
        found = await client.resolve(loaded.model, model.kind)
        fresh = client.owns(loaded.id)
        instance = self._instance(client, found, loaded, (options.ttl or 0.0) if fresh else 0.0)
        instance = replace(instance, model=model)  # which may be one of its quantizations
        self._loans[instance.key] = _Loan(
            client, instance, must_unload=bool(fresh and options.ttl and ttl is None)
        )
        if progress is not None:
            progress(1.0)
        return instance

    async def unload(self, instance: Instance) -> None:
        """Unload it from LM Studio, whoever loaded it. One that is gone already is not an error."""
        self._loans.pop(instance.key, None)
        self._listed_until = 0.0
        client = await self._open()
        if instance.endpoint.model in {i.id for m in await client.fetch_models() for i in m.loaded}:
            await client.unload_model(instance.endpoint.model)

    async def gone(self, instance: Instance) -> BridgeError:
        """Wait until it turns out that somebody else unloaded it: LM Studio tells nobody, so errors do."""
        loan = self._loans.get(instance.key)
        return self._gone(instance) if loan is None else await asyncio.shield(loan.end)

    def sure_of(self, instance: Instance) -> bool:
        """Whether it was looked at a moment ago."""
        loan = self._loans.get(instance.key)
        return loan is not None and monotonic() < loan.sure_until

    async def confirm(self, instance: Instance) -> bool:
        """Make sure that LM Studio still answers at its address, and has it.

        Raises:
            ProviderUnavailable, ForeignServer: it does not. ProviderNeedsKey: the token was taken back.
        """
        loan = self._loans.get(instance.key)
        if loan is None:
            return False
        async with loan.asking:
            if monotonic() >= loan.sure_until:
                self._live.forget()
                reason = await self._reason(loan)
                if isinstance(reason, ProviderNeedsKey):
                    raise reason
                if reason is not None:
                    self._end(loan, reason)
                loan.sure_until = monotonic() + SURE_FOR
        if loan.end.done() and not isinstance(reason := loan.end.result(), ModelGone):
            raise reason
        return not loan.end.done()

    async def doubt(self, instance: Instance, error: BridgeError) -> BridgeError:
        """Whether an error means that the instance was unloaded by somebody else, or that LM Studio is down.

        What is neither is recognised where its words are LM Studio's, such as a prompt that is too long.
        """
        error = explain(error, instance.model.id)
        suspicious = isinstance(
            error, ProviderUnavailable | ForeignServer | BrokenAnswer | WrongModel | ModelNotFound
        )
        loan = self._loans.get(instance.key)
        if loan is None:  # somebody else met its end before
            return self._gone(instance) if suspicious else error
        self._live.forget()
        reason = await self._reason(loan)
        if reason is None or not (suspicious or isinstance(reason, ModelGone)):
            return error
        self._end(loan, reason)
        return reason

    async def _reason(self, loan: _Loan) -> BridgeError | None:
        """Why a model cannot be asked any more; None when it can, or nobody knows."""
        try:
            client = await self._open()
            models = await client.fetch_models()
        except (ProviderUnavailable, ForeignServer, ProviderNeedsKey) as found:
            return found
        except BridgeError:
            return None  # it is LM Studio, and busy
        name = loan.instance.endpoint.model
        there = not any(model.knows_loaded for model in models) or any(
            loaded.id == name for model in models for loaded in model.loaded
        )
        # It may have moved to another port, its models with it.
        return None if there and client.url == loan.client.url else self._gone(loan.instance)

    def _gone(self, instance: Instance) -> ModelGone:
        return ModelGone(self.id, instance.model.id)

    def _end(self, loan: _Loan, reason: BridgeError) -> None:
        self._loans.pop(loan.instance.key, None)
        if not loan.end.done():
            loan.end.set_result(reason)

    async def download(self, name: str, progress: DownloadProgress | None = None) -> str:
        """Let LM Studio download a model.

        Raises:
            ModelNotFound, DownloadFailed, NoSpace, CommandFailed; and as `load` when it is down.
        """
        client = await self._open(start=True)
        model = await client.get_model(name, on_progress=progress)
        self._listed_until = 0.0
        return model.key

    def _loan(self, instance: Instance) -> _Loan:
        """What was given to the hub.

        Raises:
            ModelGone: it was unloaded.
        """
        loan = self._loans.get(instance.key)
        if loan is None:
            raise self._gone(instance)
        return loan

    # -- asking -----------------------------------------------------------------------------------

    def prepare(self, instance: Instance, body: Mapping[str, object]) -> Mapping[str, object]:
        """The same body with what LM Studio would misunderstand put right."""
        name = instance.endpoint.model
        # Which route it is for shows in the one field that each must have.
        if "messages" in body:
            prepared = prepare_chat(body)
        elif "input" in body:
            prepared = prepare_embed(body)
        else:
            prepared = prepare_completion(body)
        return prepared if prepared.get("model") == name else {**prepared, "model": name}

    def chat(self, instance: Instance, request: ChatRequest) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Stream an answer. Leaving the `with` ends the work."""
        return self._loan(instance).client.chat_at(instance.endpoint, request)

    async def embed(self, instance: Instance, request: EmbedRequest) -> Embeddings:
        """Vectors for texts."""
        return await self._loan(instance).client.embed_at(instance.endpoint, request)

    async def aclose(self) -> None:
        """Unload what we loaded for a time and nobody else would unload, close every connection. Idempotent."""
        for loan in list(self._loans.values()):
            if loan.must_unload:
                with suppress(BridgeError):
                    await self.unload(loan.instance)
        await self._live.aclose()


class _Loan:
    """A model that the hub was given.

    Attributes:
        client: that asks it. end: the news that it is gone.
        must_unload: nobody else gives its memory back when we are gone.
        sure_until: until when it is believed to be there. asking: held by who finds out.
    """

    __slots__ = ("asking", "client", "end", "instance", "must_unload", "sure_until")

    def __init__(self, client: LMStudioClient, instance: Instance, *, must_unload: bool) -> None:
        self.client, self.instance, self.must_unload = client, instance, must_unload
        self.sure_until = monotonic() + SURE_FOR
        self.asking = asyncio.Lock()
        self.end: asyncio.Future[BridgeError] = asyncio.get_running_loop().create_future()


def _state(status: LMStudioStatus) -> Literal["ready", "unavailable", "needs_key", "foreign"]:
    match status.state:
        case "ready":
            return "ready"
        case "needs_token":
            return "needs_key"
        case "foreign":
            return "foreign"
        case "not_installed" | "not_bootstrapped" | "server_down":
            return "unavailable"
        case _:
            assert_never(status.state)


def _refuse(options: LoadOptions) -> None:
    """Refuse what LM Studio decides by its own settings for each model; its routes have no field for it.

    Raises:
        UnsupportedParameter: naming the option.
    """
    for name in ("gpu_layers", "threads", "kv_type"):
        if getattr(options, name) is not None:
            raise UnsupportedParameter(
                name,
                "LM Studio takes it from its own settings of the model.",
                hint="Set it there, and leave it out.",
            )
