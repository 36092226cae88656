"""The provider: finds model files, loads each into an engine of its own, and asks it over HTTP."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import count
from pathlib import Path
from typing import ClassVar, Self

import msgspec
from msgspec import Struct

from lmbridge.clients.http import HTTPClient
from lmbridge.clients.openai import OpenAIClient
from lmbridge.core.errors import (
    BadModelFile,
    BridgeError,
    ConfigInvalid,
    DownloadFailed,
    EngineMissing,
    LoadFailed,
    ModelNotFound,
)
from lmbridge.core.events import Embeddings, Event
from lmbridge.core.models import Endpoint, Instance, LoadOptions, ModelInfo
from lmbridge.core.provider import DownloadProgress, Manifest, Progress, ProviderContext, ProviderState, Setting
from lmbridge.core.requests import ChatRequest, EmbedRequest
from lmbridge.core.tiers import names_of, tier_settings
from lmbridge.machine.downloads import Account, Order, download
from lmbridge.machine.engine.requirements import engine_version, missing
from lmbridge.machine.engine.supervisor import Engine, EngineSettings
from lmbridge.machine.home import models_folder
from lmbridge.machine.lmstudio.home import models_folder as lmstudio_models_folder
from lmbridge.machine.memory import cores, held, memory
from lmbridge.machine.model_folders import FoundModel, find_models
from lmbridge.providers.embedded.options import CACHE_MIB, Machine, Size, estimate, filled_in
from lmbridge.providers.embedded.requests import prepare
from lmbridge.providers.embedded.traits import Traits, ask_traits

RESERVE = 512 * 2**20
"""Memory that loading leaves to everybody else, but never more than a tenth of the machine."""


class EmbeddedSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Table `[embedded]` of lmbridge.toml.

    Attributes:
        folders: where to look for GGUF files besides the usual places; an entry may be a file.
        lmstudio_models: whether to offer the models that LM Studio has downloaded.
        llama_server: a `llama-server` to use in place of the engine's package.
        check_memory: whether a model that does not fit is refused before it is loaded. Switch it off when
            models go into the memory of a graphics card.
        auto_download: whether a model of the Hugging Face hub that is asked for and not here is downloaded.
        download_folder: where downloads go, as `owner/repository/file`; "" for `models` in lmbridge's folder.
    """

    folders: tuple[str, ...] = ()
    lmstudio_models: bool = True
    llama_server: str = ""
    check_memory: bool = True
    auto_download: bool = False
    download_folder: str = ""
    model: str = ""
    fast: str = ""
    standard: str = ""
    premium: str = ""
    embedding_model: str = ""


class EmbeddedProvider:
    """Models in files on this machine: a `Provider`, `Downloader` and `Counter` of `lmbridge.core.provider`."""

    manifest: ClassVar[Manifest] = Manifest(
        id="embedded",
        display_name="Embedded engine",
        runs="local",
        description="GGUF files on this machine, answered by llama.cpp in processes of its own.",
        settings=(
            Setting("folders", "list", "Folders or GGUF files to offer besides the usual places.", ()),
            Setting("lmstudio_models", "boolean", "Offer the models that LM Studio has downloaded.", True),
            Setting("llama_server", "path", "A llama-server program to use in place of the engine's package."),
            Setting("check_memory", "boolean", "Refuse a model that does not fit into memory.", True),
            Setting(
                "auto_download", "boolean", "Download a model of the Hugging Face hub when it is asked for.", False
            ),
            Setting("download_folder", "path", "Where downloaded models go, in place of lmbridge's own folder."),
            *tier_settings(),
        ),
        seeds_need_solitude=True,
        counts_one_choice=True,
        copies=True,
        calls_in_form=True,
        schema_bars_tools=True,
        tells_reading=True,
    )

    def __init__(self, settings: EmbeddedSettings, context: ProviderContext) -> None:
        self.id, self.fetches = context.name, settings.auto_download
        self.names: Mapping[str, str] = names_of({f.name: getattr(settings, f.name) for f in tier_settings()})
        self._settings, self._context = settings, context
        self._engines: dict[str, Engine] = {}
        self._traits: dict[str, Traits] = {}
        self._keys = count(1)
        self._found: dict[str, FoundModel] = {}
        self._http = HTTPClient()
        self._client = OpenAIClient(self._http, self.id)

    @classmethod
    def create(cls, settings: Mapping[str, object], context: ProviderContext) -> Self:
        """Build one from the table `[embedded]`.

        Raises:
            ConfigInvalid: an unknown setting or a wrong type.
        """
        folders = settings.get("folders")
        if isinstance(folders, str):  # from the environment
            settings = {**settings, "folders": tuple(filter(None, folders.split(os.pathsep)))}
        try:
            return cls(msgspec.convert(settings, EmbeddedSettings, strict=False), context)
        except msgspec.ValidationError as error:
            known = ", ".join(setting.name for setting in cls.manifest.settings)
            raise ConfigInvalid(f"[{context.name}]", str(error), hint=f"Its settings are: {known}.") from error

    # -- what there is ----------------------------------------------------------------------------

    async def probe(self) -> ProviderState:
        """Whether the engine can run on this machine."""
        try:
            server = self._llama_server()
        except EngineMissing as error:
            return ProviderState(self.id, "unavailable", error.message, error.hint, engine_version())
        absent = [each for each in self._named_folders() if not await asyncio.to_thread(each.exists)]
        hint = f"`folders` in lmbridge.toml names {absent[0]}, which is not there." if absent else ""
        if server is not None:
            return ProviderState(self.id, "ready", f"llama.cpp through {server}", hint)
        return ProviderState(self.id, "ready", "llama.cpp in processes of its own", hint, engine_version())

    async def models(self) -> Sequence[ModelInfo]:
        """The model files in the folders of the settings, of lmbridge and of LM Studio, and the built-in ones."""
        found = await asyncio.to_thread(find_models, self._folders())
        self._found = {each.id: each for each in found}
        return [each.info(self.id) for each in found]

    def _folders(self) -> list[Path]:
        lmstudio = lmstudio_models_folder() if self._settings.lmstudio_models else None
        own = [self._download_folder(), models_folder(self._context.home)]
        return list(dict.fromkeys([*self._named_folders(), *own, *([lmstudio] if lmstudio else [])]))

    def _download_folder(self) -> Path:
        named = self._settings.download_folder
        return Path(named).expanduser().absolute() if named else models_folder(self._context.home)

    def _named_folders(self) -> list[Path]:
        return [Path(each).expanduser().absolute() for each in self._settings.folders]

    def _llama_server(self) -> Path | None:
        """The program that takes the place of the engine's package: the one in the settings, or, where the
        package cannot run, the one on PATH.

        Raises:
            EngineMissing: there is neither.
        """
        if self._settings.llama_server:
            named = shutil.which(os.path.expanduser(self._settings.llama_server))
            if named is None:
                raise EngineMissing(
                    f"{self._settings.llama_server} is not a program",
                    hint="Correct `llama_server` in the table [embedded] of lmbridge.toml.",
                )
            return Path(named)
        problem = missing()
        if problem is None:
            return None
        on_path = shutil.which("llama-server")
        if on_path is None:
            raise problem
        return Path(on_path)

    async def _find(self, model: ModelInfo) -> tuple[FoundModel, Size]:
        name = model.copy_of or model.id
        if name not in self._found:
            await self.models()
        found = self._found.get(name)
        if found is None:
            raise ModelNotFound(model.id, list(self._found))
        if found.header is None:
            raise BadModelFile(str(found.path), found.problem)
        embedding = model.kind == "embedding"
        return found, Size(found.header, found.size_bytes, found.parameters, embedding)

    # -- getting more -----------------------------------------------------------------------------

    async def download(self, name: str, progress: DownloadProgress | None = None) -> str:
        """Get a model of the Hugging Face hub, named as `machine.downloads.names` tells; returns its id.

        Who does not say in which quantization it is wanted gets four bits, or what is next to it and fits the
        memory. Cancelling stops at once; what has come is kept out of sight for the next time.

        Raises:
            ModelNotFound, DownloadFailed, NoSpace, ProviderUnavailable, BadModelFile, ConfigInvalid.
        """
        own = self._download_folder()
        order = Order(
            name,
            str(own),
            Account.read(),
            self._capacity(),
            tuple(str(folder) for folder in self._folders() if folder != own),
        )
        path = await download(order, progress)
        for model in await self.models():
            if _same(model.path, path):
                return model.id
        raise DownloadFailed(name, f"{path} is there, but not among the models", hint="`lmbridge ls` shows them.")

    def _capacity(self) -> int | None:
        """Bytes that a model may ever take here, which is what a download is chosen by: not what is free now."""
        total = memory().total
        if not self._settings.check_memory or not total:
            return None
        return total - min(RESERVE, total // 10)

    # -- memory -----------------------------------------------------------------------------------

    async def estimate(self, model: ModelInfo, options: LoadOptions) -> int:
        """Bytes of memory that loading takes."""
        _, size = await self._find(model)
        return estimate(size, filled_in(options, size, self._machine()))

    async def room(self) -> int | None:
        """Bytes of memory that a model may take right now."""
        return self._room()

    def _room(self) -> int | None:
        now = memory()
        if not self._settings.check_memory or not now.total:
            return None
        # The system counts a mapped file as available, because it could be read again; but that would make
        # the loaded models crawl.
        mapped = sum(held(engine.pid).files for engine in self._engines.values())
        return max(0, now.available - mapped - min(RESERVE, now.total // 10))

    def _machine(self) -> Machine:
        room = self._room()
        taken = sum(engine.memory for engine in self._engines.values())
        return Machine(cores(), None if room is None else room + taken)

    # -- loading ----------------------------------------------------------------------------------

    async def load(self, model: ModelInfo, options: LoadOptions, progress: Progress | None = None) -> Instance:
        """Load a model into an engine of its own. Cancelling ends the engine.

        Raises:
            EngineMissing, ModelNotFound, BadModelFile, LoadFailed.
        """
        server = self._llama_server()
        found, size = await self._find(model)
        chosen = filled_in(options, size, self._machine())
        settings = EngineSettings(
            model=str(found.path),
            alias=model.id,
            context_length=chosen.context_length or 0,
            parallel=chosen.parallel or 1,
            threads=chosen.threads or 1,
            gpu_layers=-1 if chosen.gpu_layers is None else chosen.gpu_layers,
            kv_type=chosen.kv_type or "f16",
            mmproj=str(found.mmproj or ""),
            embedding=size.embedding,
            size_bytes=found.size_bytes,
            cache_mib=CACHE_MIB,
        )
        engine = await Engine.start(model.id, settings, llama_server=server, progress=progress)
        engine.memory = estimate(size, chosen)
        try:
            traits, context = await self._ask(engine, model, size)
        except BaseException:
            await engine.stop()
            raise
        if progress:
            progress(1.0)
        key = f"{model.id}#{next(self._keys)}"
        self._engines[key], self._traits[key] = engine, traits
        return self._instance(key, model, engine, LoadOptions(context, traits.slots).over(chosen))

    async def _ask(self, engine: Engine, model: ModelInfo, size: Size) -> tuple[Traits, int]:
        tools, dimensions = bool(model.tools), size.header.embedding_length if size.embedding else None
        return await ask_traits(self._http, engine, tools=tools, dimensions=dimensions)

    def _instance(self, key: str, model: ModelInfo, engine: Engine, loaded: LoadOptions) -> Instance:
        return Instance(
            key,
            model,
            Endpoint(
                f"{engine.url}/v1",
                (("Authorization", f"Bearer {engine.key}"),),
                model.id,
                keep_alive=False,
            ),
            slots=loaded.parallel,
            context_length=loaded.context_length,
            memory=engine.memory,
            options=loaded,
        )

    async def unload(self, instance: Instance) -> None:
        """End the engine; its memory is free when this returns."""
        engine = self._engines.get(instance.key)
        if engine is None:
            return
        try:
            await engine.stop()
        finally:
            self._forget(instance)

    def _forget(self, instance: Instance) -> None:
        self._engines.pop(instance.key, None)
        self._traits.pop(instance.key, None)

    async def gone(self, instance: Instance) -> BridgeError:
        """Wait until the engine ends by itself."""
        engine = self._engines.get(instance.key)
        if engine is None:
            return LoadFailed(instance.model.id, "it was unloaded")
        error = await engine.ended()
        self._forget(instance)
        return error

    def pid(self, instance: Instance) -> int | None:
        """Process of the engine, or of its lifeline; None when it is gone."""
        engine = self._engines.get(instance.key)
        return engine.pid if engine is not None else None

    # -- asking -----------------------------------------------------------------------------------

    def prepare(self, instance: Instance, body: Mapping[str, object]) -> Mapping[str, object]:
        """The request in a form that makes the engine do what it says; see `requests`."""
        traits = self._traits.get(instance.key)
        return body if traits is None else prepare(traits, body)  # None: it has just crashed

    def chat(self, instance: Instance, request: ChatRequest) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Stream an answer. Leaving the `with` stops the engine."""

        def prepared(body: dict[str, object]) -> Mapping[str, object]:
            if request.progress:
                body["return_progress"] = True
            return self.prepare(instance, body)

        return self._client.chat(instance.endpoint, request, prepared)

    async def count(self, instance: Instance, request: ChatRequest) -> int:
        """Tokens of a prompt, counted by the engine without reading it."""
        return await self._client.count(instance.endpoint, request, lambda body: self.prepare(instance, body))

    async def embed(self, instance: Instance, request: EmbedRequest) -> Embeddings:
        """Vectors for texts."""
        return await self._client.embed(instance.endpoint, request, lambda body: self.prepare(instance, body))

    async def aclose(self) -> None:
        """End every engine and connection. Idempotent."""
        engines = list(self._engines.values())
        self._engines.clear()
        self._traits.clear()
        await asyncio.gather(*(engine.stop() for engine in engines))
        await self._http.aclose()


def _same(path: str, other: Path) -> bool:
    """Whether two paths lead to one file, by whatever links."""
    return os.path.realpath(path) == os.path.realpath(other)
