"""Any server that speaks OpenAI's language: LM Studio, Ollama, vLLM, llama-server, a cloud.

Its models are those it lists; loading is its own affair, so an instance is ready at once and takes
none of this machine's memory that we could manage. What a listing tells differs from server to server;
where it tells nothing, nothing is claimed.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import count
from time import monotonic
from typing import Annotated, ClassVar, Final, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from lmbridge.clients.http import HTTPClient
from lmbridge.clients.http.address import is_near, wrong_url
from lmbridge.clients.openai import OpenAIClient
from lmbridge.core.errors import (
    BridgeError,
    ConfigInvalid,
    ProviderNeedsKey,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
    Unauthorized,
)
from lmbridge.core.events import Embeddings, Event
from lmbridge.core.models import Endpoint, Instance, LoadOptions, ModelInfo, ModelKind, Patience
from lmbridge.core.provider import Manifest, Progress, ProviderContext, ProviderState, Setting
from lmbridge.core.requests import ChatRequest, EmbedRequest
from lmbridge.core.tiers import names_of, tier_settings
from lmbridge.providers.openai.presets import PRESETS, PresetName, fitted
from lmbridge.providers.plain import WithoutLoading
from lmbridge.wire.openai.answers import ListedModel
from lmbridge.wire.openai.tools import with_plain_choice

LISTED_FOR: Final = 3.0
"""Seconds for which a listing is believed, so that a burst of requests asks for it once."""
PROBE_LIMIT: Final = 4.0
"""Seconds within which a probe answers, whatever the server does."""

_EMBEDDER: Final = re.compile(r"embed|(?:^|[/_.-])(?:bge|gte|e5|minilm)(?=[/_.:-]|$)", re.IGNORECASE)
_State: TypeAlias = Literal["ready", "unavailable", "needs_key", "foreign"]
_Seconds = Annotated[float, Meta(gt=0)]


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[openai.NAME]`; see `OpenAIProvider.manifest` for what each setting is."""

    url: Annotated[str, Meta(min_length=1)]
    preset: Literal["", PresetName] = ""
    key: str = ""
    key_env: str = ""
    display_name: str = ""
    models: str | tuple[str, ...] = ()
    embedding_models: str | tuple[str, ...] = ()
    model: str = ""
    fast: str = ""
    standard: str = ""
    premium: str = ""
    embedding_model: str = ""
    parallel: Annotated[int, Meta(ge=1, le=4096)] | None = None
    connect_timeout: _Seconds = 5.0
    first_byte_timeout: _Seconds | None = None
    idle_timeout: _Seconds | None = None


class OpenAIProvider(WithoutLoading):
    """One server that speaks OpenAI's language."""

    manifest: ClassVar[Manifest] = Manifest(
        id="openai",
        display_name="OpenAI-compatible server",
        runs="server",
        description="Models of another server: LM Studio, Ollama, vLLM, llama-server, or a cloud.",
        named=True,
        settings=(
            Setting("url", "string", "Its base URL, such as http://127.0.0.1:1234 (with or without /v1)."),
            Setting(
                "preset", "string", f"What it is: {', '.join(PRESETS)}. Gives the URL, and heeds its ways.", ""
            ),
            Setting("key", "secret", "Its API key; better kept in the environment, see key_env.", ""),
            Setting("key_env", "string", "Name of the environment variable that holds its API key.", ""),
            Setting("display_name", "string", "What people see instead of the name of the table.", ""),
            Setting("models", "list", "Offer only these of its models.", ()),
            Setting("embedding_models", "list", "Its embedding models, where their names do not tell.", ()),
            *tier_settings(),
            Setting("parallel", "integer", "Answers it gives at the same time; unset leaves the queue to it."),
            Setting("connect_timeout", "number", "Seconds until it must have accepted a connection.", 5.0),
            Setting("first_byte_timeout", "number", "Seconds until an answer must begin; unset waits."),
            Setting("idle_timeout", "number", "Seconds it may be silent within an answer; unset waits."),
        ),
    )

    def __init__(self, id: str, settings: Settings, key: str | None) -> None:
        """Use `create`; *key* is None where the environment variable that should hold it is not set."""
        self.id = id
        self._settings = settings
        self.names: Mapping[str, str] = names_of({f.name: getattr(settings, f.name) for f in tier_settings()})
        self._url = _base(settings.url)
        self.nearby = is_near(self._url)
        self._key = key
        self._headers = (("authorization", f"Bearer {key}"),) if key else ()
        self._http = HTTPClient(
            connect_timeout=settings.connect_timeout,
            first_byte_timeout=settings.first_byte_timeout,
            idle_timeout=settings.idle_timeout,
        )
        self._client = OpenAIClient(self._http, id)
        self._patience = Patience(settings.connect_timeout, settings.first_byte_timeout, settings.idle_timeout)
        self._only = frozenset(_names(settings.models))
        self._embedders = frozenset(_names(settings.embedding_models))
        self._listed: tuple[ModelInfo, ...] = ()
        self._listed_until = 0.0
        self._listing = asyncio.Lock()
        self._numbers = count(1)
        self._served: dict[str, int] = {}  # context length that the server gives to one answer, where it tells

    def __repr__(self) -> str:
        return f"OpenAIProvider({self.id!r}, {self._url!r})"

    @classmethod
    def create(cls, settings: Mapping[str, object], context: ProviderContext) -> OpenAIProvider:
        """Build one from its table.

        Raises:
            ConfigInvalid: no URL, an unknown setting, a wrong type, a key that no header can carry.
        """
        where = f"[openai.{context.name}]" if context.name != cls.manifest.id else "[openai]"
        preset = PRESETS.get(str(settings.get("preset", "")))
        if "url" not in settings and preset is None:
            known = f"or a preset: {', '.join(PRESETS)}"
            raise ConfigInvalid(
                where, "it has no `url`", hint=f'Give it one, such as url = "http://127.0.0.1:1234", {known}.'
            )
        told = settings if preset is None else {"url": preset.url, **settings}
        try:
            # The environment gives only strings, so that numbers in strings must do.
            checked = msgspec.convert(dict(told), Settings, strict=False)
        except msgspec.ValidationError as error:
            known = ", ".join(setting.name for setting in cls.manifest.settings)
            raise ConfigInvalid(where, str(error), hint=f"Its settings are: {known}.") from error
        if reason := wrong_url(checked.url):
            raise ConfigInvalid(where, reason)
        # The usual key is for the usual address alone: no other server gets it unless its table says so.
        if preset is not None and checked.url == preset.url and not (checked.key_env or checked.key):
            checked = replace(checked, key_env=preset.key_env)
        key = os.environ.get(checked.key_env) if checked.key_env else checked.key
        if key and not (key.isascii() and key.isprintable()):
            raise ConfigInvalid(where, "its key has characters that no header can carry")
        return cls(context.name, checked, key)

    async def probe(self) -> ProviderState:
        """Ask for its models. Never raises; takes at most some seconds."""
        try:
            async with asyncio.timeout(PROBE_LIMIT):
                listed = await self._client.models(self._endpoint(""))
        except TimeoutError:
            return self._state("unavailable", "It accepts connections but does not answer.")
        except BridgeError as error:
            return self._failed(error)
        self._infos(listed)
        return self._state("ready", f"at {self._url}")

    def _failed(self, error: BridgeError) -> ProviderState:
        """What an error while listing says about the server."""
        # Another lmbridge says it with its own code.
        if isinstance(error, Unauthorized | ProviderNeedsKey):
            if self._key is None:
                hint = f"Set it to the API key, or let `lmbridge providers set {self.id} key -` keep one."
                return self._state("needs_key", f"${self._settings.key_env} is not set.", hint)
            hint = "Put its API key into the setting `key_env` or `key`."
            return self._state("needs_key", "It refuses the key." if self._key else "It wants an API key.", hint)
        if isinstance(error, ProviderUnavailable | ProviderTimeout):
            return self._state("unavailable", error.message, error.hint)
        if isinstance(error, ProviderRefused) and (error.status or 0) >= 500:
            return self._state("unavailable", error.message)
        hint = "Correct the setting `url`; most servers want it to end in /v1."
        return self._state("foreign", f"Something answers, but not with a list of models. {error.message}", hint)

    def _state(self, state: _State, detail: str, hint: str = "") -> ProviderState:
        preset = PRESETS.get(self._settings.preset)
        name = self._settings.display_name or (preset.display_name if preset else "")
        return ProviderState(self.id, state, detail, hint, display_name=name)

    async def models(self) -> Sequence[ModelInfo]:
        """What it lists, in its order; [] when it cannot be asked. Asked again only after some seconds."""
        async with self._listing:
            if monotonic() < self._listed_until:
                return self._listed
            try:
                self._listed = self._infos(await self._client.models(self._endpoint("")))
            except BridgeError:  # the probe is there to tell why
                self._listed = ()
                return ()  # and a server that has just been started is found at once
            self._listed_until = monotonic() + LISTED_FOR
            return self._listed

    def forget(self) -> None:
        """Ask for its models anew at the next use."""
        self._listed_until = 0.0

    def _infos(self, listed: Sequence[ListedModel]) -> tuple[ModelInfo, ...]:
        infos: dict[str, ModelInfo] = {}
        self._served.clear()
        for model in listed:
            usable = 0 < len(model.id) <= 512 and model.id.isprintable()
            if usable and (not self._only or model.id in self._only):
                infos.setdefault(model.id, self._info(model))
        return tuple(infos.values())

    def _info(self, model: ListedModel) -> ModelInfo:
        meta = model.meta if isinstance(model.meta, dict) else {}
        can = model.abilities
        kind = self._kind(model)
        for told in (model.loaded_context_length, model.max_model_len, meta.get("n_ctx")):
            if length := _number(told):
                self._served.setdefault(model.id, length)
        return ModelInfo(
            id=model.id,
            provider=self.id,
            kind=kind,
            size_bytes=_number(meta.get("size")),
            parameters=_number(meta.get("n_params")),
            architecture=_short(model.arch),
            quantization=_short(model.quantization),
            context_length=_number(model.max_model_len)
            or _number(model.max_context_length)
            or _number(meta.get("n_ctx_train")),
            tools=True if can & {"tool_use", "tools"} else None,
            vision=_sees(model),
        )

    def _kind(self, model: ListedModel) -> ModelKind:
        if model.id in self._embedders or model.type in ("embeddings", "embedding"):
            return "embedding"
        if model.type in ("llm", "vlm") or model.abilities & {"completion", "chat"}:
            return "chat"
        if model.abilities & {"embedding", "embeddings"} or _EMBEDDER.search(model.id):
            return "embedding"
        return "chat"

    async def load(self, model: ModelInfo, options: LoadOptions, progress: Progress | None = None) -> Instance:
        """An instance at once: the server loads its models itself, and by its own settings.

        Raises:
            ProviderUnavailable: its key should come from a variable that is not set.
        """
        if self._key is None:
            raise ProviderUnavailable(
                self.id,
                f"its key should come from ${self._settings.key_env}, which is not set",
                hint="Set that variable to its API key.",
            )
        if progress is not None:
            progress(1.0)
        return Instance(
            key=f"{self.id}:{model.id}#{next(self._numbers)}",
            model=model,
            endpoint=self._endpoint(model.id),
            slots=self._settings.parallel,
            context_length=self._served.get(model.id),
            options=LoadOptions(parallel=self._settings.parallel, ttl=options.ttl),
        )

    def prepare(self, instance: Instance, body: Mapping[str, object]) -> Mapping[str, object]:
        """The same body, with the server's own name of the model, in words that it knows.

        Raises:
            UnsupportedParameter: the preset tells that it does not do this.
        """
        name, body = instance.endpoint.model, self._fitted(body)
        return body if body.get("model") == name else {**body, "model": name}

    def chat(self, instance: Instance, request: ChatRequest) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Stream an answer. Leaving the `with` ends the work."""
        return self._client.chat(instance.endpoint, request, self._fitted)

    def _fitted(self, body: Mapping[str, object]) -> Mapping[str, object]:
        return fitted(self._settings.preset, with_plain_choice(body))

    async def embed(self, instance: Instance, request: EmbedRequest) -> Embeddings:
        """Vectors for texts."""
        return await self._client.embed(instance.endpoint, request)

    async def aclose(self) -> None:
        """Close every connection. Idempotent."""
        await self._http.aclose()

    def _endpoint(self, model: str) -> Endpoint:
        return Endpoint(self._url, self._headers, model, patience=self._patience)


def _base(url: str) -> str:
    """The URL that routes are appended to: a bare address gets `/v1`, any other path is kept."""
    url = url.rstrip("/")
    return url if urlsplit(url).path else f"{url}/v1"


def _names(setting: str | Sequence[str]) -> Sequence[str]:
    """A list of names, or one string of them with commas, which is what the environment gives."""
    if isinstance(setting, str):
        return [name.strip() for name in setting.split(",") if name.strip()]
    return setting


def _sees(model: ListedModel) -> bool | None:
    """Whether a model takes pictures; None when the server does not tell."""
    if model.type == "vlm" or model.abilities & {"vision", "multimodal"}:
        return True
    shape = model.architecture
    takes = shape.get("input_modalities") if isinstance(shape, dict) else None
    return "image" in takes if isinstance(takes, list) else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63 else None


def _short(value: object) -> str:
    return value if isinstance(value, str) and len(value) <= 64 and value.isprintable() else ""
