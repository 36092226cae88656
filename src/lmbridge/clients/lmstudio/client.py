"""The client of one LM Studio: its models, loading, downloading, and asking them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec.structs import replace

from lmbridge.clients.http import HTTPClient
from lmbridge.clients.lmstudio.answering import AnswerStream
from lmbridge.clients.lmstudio.asking import Asking
from lmbridge.clients.lmstudio.cache import ModelCache
from lmbridge.clients.lmstudio.catalogue import Catalogue
from lmbridge.clients.lmstudio.command import LmsCommand
from lmbridge.clients.lmstudio.downloading import Downloader
from lmbridge.clients.lmstudio.flights import Tasks
from lmbridge.clients.lmstudio.link import Habits, Link
from lmbridge.clients.lmstudio.loading import Loader
from lmbridge.clients.lmstudio.plans import Wish
from lmbridge.clients.lmstudio.readiness import Readiness
from lmbridge.clients.lmstudio.settings import LMStudioSettings
from lmbridge.core.errors import ModelNotFound
from lmbridge.core.events import Answer, Embeddings, Event
from lmbridge.core.messages import ImagePart, TextPart
from lmbridge.core.models import Download, Endpoint, ModelKind
from lmbridge.core.provider import DownloadProgress, Progress
from lmbridge.core.requests import ChatRequest, EmbedRequest, Sampling
from lmbridge.wire.lmstudio.chat import NativeEvent
from lmbridge.wire.lmstudio.models import Generation, LMStudioModel, LoadedInstance


class LMStudioClient:
    """Asks one LM Studio, of whichever generation. Belongs to one event loop; `aclose` it, or use `async with`.

    ```python
    async with await LMStudioClient.try_from_base_url("http://localhost:1234") as client:
        for model in await client.fetch_models():
            print(model)
        await client.load_model("openai/gpt-oss-20b", context_length=32768)
        async with client.chat(ChatRequest("openai/gpt-oss-20b", "Hello")) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    print(event.text, end="")
    ```

    Every method makes sure that it is LM Studio that answers before it tells a token or a prompt, and raises a
    `BridgeError`: `ProviderUnavailable` (down), `ForeignServer` (another program is there), `ProviderNeedsKey`,
    `ProviderTimeout`, `BrokenAnswer`, and what each method names.

    Args:
        settings: where it is, with which token, how patient to be. The environment is not read here.
        http: sends every request, by its own limits; it is not closed. None makes one.
        lms: LM Studio's command on this computer, for what its HTTP cannot do.
        provider: id named in errors and events.
        cache: folder in which lists of models are kept for when it is down, and the locks by which processes that
            load the same model take turns; None does neither.
        models_folder: where its models go, so that the room there is looked at before a download.
        habits: pauses and repetitions, for tests.

    Attributes:
        has_command: whether LM Studio's command is there for what takes it: a `ttl`, an `identifier`.
    """

    def __init__(
        self,
        settings: LMStudioSettings = LMStudioSettings(),
        *,
        http: HTTPClient | None = None,
        lms: LmsCommand | None = None,
        provider: str = "lmstudio",
        cache: Path | None = None,
        models_folder: Path | None = None,
        habits: Habits = Habits(),
    ) -> None:
        self.settings = settings
        self.has_command = lms is not None
        self._tasks = Tasks()
        self._link = Link(settings, provider, http, habits)
        self._cache = ModelCache(cache, self._link.url) if cache is not None else None
        self._catalogue = Catalogue(self._link, self._cache)
        self._loader = Loader(self._link, self._catalogue, lms, self._tasks, cache)
        self._downloader = Downloader(self._link, self._catalogue, lms, models_folder)
        self._asking = Asking(self._link, self._catalogue)

    @classmethod
    async def try_from_base_url(
        cls,
        url: str = "",
        *,
        token: str = "",
        lms: LmsCommand | None = None,
        settings: LMStudioSettings | None = None,
        cache: Path | None = None,
    ) -> Self:
        """A client of a server that has just answered well; fails fast, with a hint what to do.

        Args:
            url: with or without `/v1`; "" takes that of *settings*, else http://localhost:1234.
            token: "" takes that of *settings*.
            settings: None reads the environment alone (`LMSTUDIO_BASE_URL`, `LM_API_TOKEN`, …).

        Raises:
            ConfigInvalid: a URL that is none. As `check`.
        """
        settings = settings if settings is not None else LMStudioSettings.read({}, os.environ)
        settings = replace(settings, url=url or settings.url, token=token or settings.token)
        client = cls(settings, lms=lms, cache=cache)
        try:
            await client.check()
        except BaseException:
            await client.aclose()
            raise
        return client

    @property
    def url(self) -> str:
        """Its address, without a route."""
        return self._link.url

    @property
    def generation(self) -> Generation | None:
        """The newest of its APIs that it answers: `v1` (0.4.0), `v0` or `openai`; None before it was asked."""
        return self._catalogue.generation

    def __repr__(self) -> str:
        return f"LMStudioClient({self.url!r})"

    async def check(self) -> None:
        """Make sure that LM Studio answers and that the token suffices. Good news are believed for seconds.

        Raises:
            ProviderUnavailable, ProviderTimeout, ProviderNeedsKey, ForeignServer, BrokenAnswer.
        """
        await self._link.make_sure()
        await self._catalogue.recent()

    def forget(self) -> None:
        """Believe nothing that was found out earlier: who answers, which API it has, what it lists."""
        self._link.forget()
        self._catalogue.forget()
        self._catalogue.generation = None

    # -- models -----------------------------------------------------------------------------------

    async def fetch_models(self) -> list[LMStudioModel]:
        """Every model it has, in memory or on disk, as it is now. `print(model)` shows its key."""
        return await self._catalogue.fetch()

    def cached_models(self) -> list[LMStudioModel]:
        """What it had when it was asked last, each with its age (`stale_s`); [] without a `cache`, or before."""
        return self._cache.read() if self._cache is not None else []

    async def resolve(self, name: str, kind: ModelKind = "chat") -> LMStudioModel:
        """The model that a name means: an instance, a key, a key in another letter case, or the end of one key.

        "" is the model of the settings, else the only one in memory, else the only one there is; `fast`,
        `standard` and `premium` are those of the settings. An explicit name is never swapped for another.

        Raises:
            ModelNotFound: there is none, or it could be several. WrongModelKind: it is for something else.
            NoModels, InvalidRequest: none was named, and there is none, or several.
        """
        return (await self._catalogue.find(name, kind)).model

    async def load_model(
        self,
        name: str,
        *,
        context_length: int | None = None,
        parallel: int | None = None,
        flash_attention: bool | None = None,
        ttl: int | None = None,
        identifier: str = "",
        replace: bool = False,
        progress: Progress | None = None,
    ) -> LoadedInstance:
        """A loaded instance of a model, loaded if none that is there suffices. Two at once load it once.

        One that this client loaded is unloaded first where it does not suffice; somebody else's is left alone.

        Args:
            context_length: tokens it must have at least. parallel: answers at the same time, at least.
            flash_attention: for a fresh load.
            ttl: seconds it may stay idle, for a fresh load; takes LM Studio's command.
            identifier: a name for the instance; takes LM Studio's command.
            replace: unload somebody else's instance too, if it is in the way.
            progress: told 0 to 1 where LM Studio tells, which its HTTP does not.

        Raises:
            ModelNotFound, LoadFailed, WrongModel.
            InvalidRequest: somebody else's instance is in the way. UnsupportedParameter: nothing here can do it.
            ProviderTimeout: longer than `load_timeout`; LM Studio may go on. CommandFailed.
        """
        wish = Wish(context_length, parallel, flash_attention, ttl, identifier, replace)
        return await self._loader.load(name, wish, progress)

    def owns(self, instance_id: str) -> bool:
        """Whether this client loaded an instance; others belong to somebody else."""
        return self._loader.owns(instance_id)

    async def unload_model(self, name: str) -> tuple[str, ...]:
        """Unload one instance by its id, or every instance of a model; the ids. Not being loaded is no error.

        Raises:
            ModelNotFound: no such model. RuntimeMissing: before 0.4.0 it takes LM Studio's command.
        """
        return await self._loader.unload(name)

    async def download_model(
        self, name: str, *, quantization: str = "", on_progress: DownloadProgress | None = None
    ) -> Download:
        """Download a model into LM Studio and wait for it. One that is there already is a success.

        Cancelling stops the waiting; LM Studio's own download goes on, one by its command ends.

        Args:
            name: of its catalogue (`openai/gpt-oss-20b`), of a repository at Hugging Face, or an address there.
            quantization: such as `q4_k_m`; also as `name@q4_k_m`.
            on_progress: told now and then, and at the end.

        Raises:
            ModelNotFound: nobody has it. NoSpace: it would not fit. DownloadFailed: it failed or was paused.
            RuntimeMissing: before 0.4.0 it takes LM Studio's command. CommandFailed.
        """
        download, _ = await self._downloader.download(name, quantization, on_progress)
        return download

    async def get_model(
        self, name: str, *, quantization: str = "", on_progress: DownloadProgress | None = None
    ) -> LMStudioModel:
        """The same, and the model as LM Studio lists it then: its key may be another than the name asked for."""
        _, model = await self._downloader.download(name, quantization, on_progress)
        return model

    async def ensure_ready(
        self,
        name: str,
        *,
        download: bool | None = None,
        context_length: int | None = None,
        on_progress: DownloadProgress | None = None,
        progress: Progress | None = None,
    ) -> LoadedInstance:
        """A loaded instance of a model, downloaded first if it is missing.

        Args:
            download: whether that may be; None takes the setting `auto_download`.
            context_length, progress: as for `load_model`. on_progress: of the download.

        Raises:
            as `load_model` and `download_model`.
        """
        allowed = self.settings.auto_download if download is None else download
        try:
            return await self.load_model(name, context_length=context_length, progress=progress)
        except ModelNotFound:
            if not allowed or not name or name in self.settings.tiers:
                raise
        model = await self.get_model(name, on_progress=on_progress)
        return await self.load_model(model.key, context_length=context_length, progress=progress)

    def ensure_ready_in_background(
        self, name: str, *, download: bool | None = None, context_length: int | None = None
    ) -> Readiness:
        """Begin to make a model ready, and go on with something else; `await ….wait()` when it is needed."""
        readiness = Readiness(name, self._link.provider)

        def downloaded(state: Download) -> None:
            readiness.download = state

        def loaded(fraction: float) -> None:
            readiness.loading = fraction

        work = self.ensure_ready(
            name, download=download, context_length=context_length, on_progress=downloaded, progress=loaded
        )
        readiness.begin(self._tasks.start(work))
        return readiness

    # -- asking -----------------------------------------------------------------------------------

    def chat(self, request: ChatRequest) -> AnswerStream[Event]:
        """Stream the next turn of a conversation; `await client.chat(…).answer()` is all of it at once.

        A model that is not in memory is loaded by LM Studio where its just-in-time loading is on. `extra` may hold
        `ttl`, `draft_model` and `preset`.

        Raises (when it is entered or iterated):
            ContextExceeded, ModelNotFound, WrongModel, WrongModelKind, EngineCrashed, ModelGone.
            UnsupportedParameter: what LM Studio would ignore without a word. ProviderRefused: its other errors.
        """
        return self._asking.chat(request)

    def chat_at(self, endpoint: Endpoint, request: ChatRequest) -> AnswerStream[Event]:
        """The same of a model that is known already: its name is not looked up."""
        return self._asking.chat_at(endpoint, request)

    async def answer(self, request: ChatRequest) -> Answer:
        """The whole next turn of a conversation; see `chat`."""
        return await self.chat(request).answer()

    def complete(
        self,
        prompt: str,
        *,
        model: str = "",
        sampling: Sampling = Sampling(),
        extra: Mapping[str, object] | None = None,
    ) -> AnswerStream[Event]:
        """Continue a text, without a chat template; see `chat`."""
        return self._asking.complete(prompt, model, sampling, extra or {})

    def respond(
        self, request: ChatRequest, *, previous_response_id: str = "", store: bool | None = None
    ) -> AnswerStream[Event]:
        """Stream an answer of `/v1/responses`, which LM Studio remembers for 30 days unless *store* is False.

        Args:
            previous_response_id: `response_id` of an earlier answer, to go on from.

        Raises (when it is entered or iterated):
            InvalidRequest: an earlier answer that it does not know. As `chat`.
        """
        return self._asking.respond(request, previous_response_id, store)

    def native_chat(
        self,
        prompt: str | Sequence[TextPart | ImagePart],
        *,
        model: str = "",
        system: str = "",
        sampling: Sampling = Sampling(),
        reasoning: str | None = None,
        context_length: int | None = None,
        integrations: Sequence[str | Mapping[str, object]] = (),
        previous_response_id: str = "",
        store: bool | None = None,
    ) -> AnswerStream[NativeEvent]:
        """Stream an answer of LM Studio's own chat (0.4.0), which runs tools of MCP servers by itself.

        Besides the events of core there are `Loading`, `Reading`, `ToolRun` and `ToolFailed`.

        Args:
            reasoning: `off`, `low`, `medium`, `high` or `on`, where the model has it.
            context_length: for the case that this loads the model.
            integrations: MCP servers it may use, such as `mcp/files`.
            previous_response_id: `response_id` of an earlier answer, to go on from.

        Raises (when it is entered or iterated):
            RouteNotFound: it is older. As `respond`.
        """
        return self._asking.native_chat(
            prompt, model, system, sampling, reasoning, context_length, integrations, previous_response_id, store
        )

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Vectors for texts. LM Studio cuts a text beyond the context without a word, and counts no tokens.

        Raises:
            WrongModelKind: a chat model. UnsupportedParameter: `dimensions`. WrongModel, ModelNotFound.
        """
        return await self._asking.embed(request)

    async def embed_at(self, endpoint: Endpoint, request: EmbedRequest) -> Embeddings:
        """The same of a model that is known already."""
        return await self._asking.embed_at(endpoint, request)

    def endpoint(self, instance_id: str, also: Sequence[str] = ()) -> Endpoint:
        """Where an instance answers in OpenAI's language, for who relays.

        Args:
            also: further names by which its answers may call it, such as the key.
        """
        return self._link.endpoint(instance_id, (instance_id, *also))

    async def aclose(self) -> None:
        """End what runs in the background and close the connections; models stay loaded. Idempotent."""
        await self._tasks.aclose()
        await self._link.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
