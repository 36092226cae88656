"""Any server that speaks Anthropic's language: Anthropic's own, a proxy before it, or another lmbridge.

Its models are those it lists; loading is its own affair, so an instance is ready at once. It continues no texts
and makes no embeddings. There is one only where the settings have a table for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import count
from time import monotonic
from typing import ClassVar, Final, Literal, TypeAlias

from msgspec.structs import replace

from lmbridge.clients.anthropic import AnthropicClient, headers
from lmbridge.clients.http import HTTPClient
from lmbridge.clients.http.address import is_near
from lmbridge.core.errors import (
    BridgeError,
    InvalidRequest,
    ProviderNeedsKey,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
)
from lmbridge.core.events import Embeddings, Event
from lmbridge.core.models import Endpoint, Instance, LoadOptions, ModelInfo, Patience
from lmbridge.core.provider import Manifest, Progress, ProviderContext, ProviderState
from lmbridge.core.requests import ChatRequest, EmbedRequest
from lmbridge.core.tiers import names_of
from lmbridge.providers.anthropic.settings import SETTINGS, TIERS, Settings, read_settings
from lmbridge.providers.plain import WithoutLoading
from lmbridge.wire.anthropic.asking.models import Abilities, ListedModel, number

LISTED_FOR: Final = 60.0
"""Seconds for which a listing is believed: the models of a cloud seldom change, and a look takes a while."""
PROBE_LIMIT: Final = 4.0
"""Seconds within which a probe answers, whatever the server does."""

_REMEMBER: Final = {"type": "ephemeral"}
"""With this at its top, all of a request is remembered
(https://platform.claude.com/docs/en/build-with-claude/prompt-caching)."""

_State: TypeAlias = Literal["ready", "unavailable", "needs_key", "foreign"]


class AnthropicProvider(WithoutLoading):
    """One server that speaks Anthropic's language."""

    manifest: ClassVar[Manifest] = Manifest(
        id="anthropic",
        display_name="Anthropic",
        runs="server",
        description="Models of Anthropic's API, or of another server that speaks its language.",
        named=True,
        settings=SETTINGS,
    )

    def __init__(self, id: str, settings: Settings) -> None:
        """Use `create`."""
        self.id = id
        self._settings = settings
        self.nearby = is_near(settings.base)
        self._key = settings.secret()
        self.names: Mapping[str, str] = names_of({each.name: getattr(settings, each.name) for each in TIERS})
        self._headers = headers(self._key)
        self._http = HTTPClient(
            connect_timeout=settings.connect_timeout,
            first_byte_timeout=settings.first_byte_timeout,
            idle_timeout=settings.idle_timeout,
        )
        self._client = AnthropicClient(self._http, id)
        self._patience = Patience(settings.connect_timeout, settings.first_byte_timeout, settings.idle_timeout)
        self._only = frozenset(settings.only)
        self._listed: tuple[ModelInfo, ...] = ()
        self._listed_until = 0.0
        self._listing = asyncio.Lock()
        self._numbers = count(1)
        self._abilities: dict[str, Abilities] = {}

    def __repr__(self) -> str:
        return f"AnthropicProvider({self.id!r}, {self._settings.base!r})"

    @classmethod
    def create(cls, settings: Mapping[str, object], context: ProviderContext) -> AnthropicProvider:
        """Build one from its table.

        Raises:
            ConfigInvalid: an unknown setting, a wrong type, a URL or a key that cannot be used.
        """
        where = f"[anthropic.{context.name}]" if context.name != cls.manifest.id else "[anthropic]"
        return cls(context.name, read_settings(settings, where))

    # -- whether and what -------------------------------------------------------------------------

    async def probe(self) -> ProviderState:
        """Ask for its models. Never raises; takes at most some seconds. Without its key nothing is asked."""
        if self._key is None:
            return self._keyless()
        try:
            async with asyncio.timeout(PROBE_LIMIT):
                listed = await self._client.models(self._endpoint(""))
        except TimeoutError:
            return self._state("unavailable", "It accepts connections but does not answer.")
        except BridgeError as error:
            return self._failed(error)
        self._infos(listed)
        return self._state("ready", f"at {self._settings.base}")

    def _failed(self, error: BridgeError) -> ProviderState:
        """What an error while listing says about the server."""
        if isinstance(error, ProviderNeedsKey):
            hint = "Put its API key into the setting `key_env` or `key`."
            return self._state("needs_key", "It refuses the key." if self._key else "It wants an API key.", hint)
        if isinstance(error, ProviderUnavailable | ProviderTimeout):
            return self._state("unavailable", error.message, error.hint)
        if isinstance(error, ProviderRefused) and ((error.status or 0) >= 500 or error.status == 429):
            return self._state("unavailable", error.message)
        hint = "Correct the setting `url`; it is given without /v1."
        return self._state("foreign", f"Something answers, but not with a list of models. {error.message}", hint)

    def _keyless(self) -> ProviderState:
        hint = f"Set it to the API key, or let `lmbridge providers set {self.id} key -` keep one."
        return self._state("needs_key", f"${self._settings.key_variable} is not set.", hint)

    def _state(self, state: _State, detail: str, hint: str = "") -> ProviderState:
        return ProviderState(self.id, state, detail, hint, display_name=self._settings.display_name)

    async def models(self) -> Sequence[ModelInfo]:
        """What it lists, in its order; [] when it cannot be asked. Asked again only after a while."""
        if self._key is None:
            return ()
        async with self._listing:
            if monotonic() < self._listed_until:
                return self._listed
            try:
                self._listed = self._infos(await self._client.models(self._endpoint("")))
            except BridgeError:  # the probe is there to tell why
                self._listed = ()
                return ()
            self._listed_until = monotonic() + LISTED_FOR
            return self._listed

    def forget(self) -> None:
        """Ask for its models anew at the next use."""
        self._listed_until = 0.0

    def _infos(self, listed: Sequence[ListedModel]) -> tuple[ModelInfo, ...]:
        infos: dict[str, ModelInfo] = {}
        for model in listed:
            usable = 0 < len(model.id) <= 512 and model.id.isprintable()
            if usable and (not self._only or model.id in self._only):
                infos.setdefault(model.id, self._info(model))
                self._abilities[model.id] = model.abilities
        return tuple(infos.values())

    def _info(self, model: ListedModel) -> ModelInfo:
        called = model.display_name
        retired = model.lifecycle == "retired"
        return ModelInfo(
            id=model.id,
            provider=self.id,
            display_name=called if isinstance(called, str) and len(called) <= 128 and called.isprintable() else "",
            context_length=number(model.max_input_tokens),
            # Whoever tells of capabilities is Anthropic, and all of its models call tools.
            tools=True if isinstance(model.capabilities, dict) else None,
            vision=model.can("image_input"),
            reasoning=model.can("thinking"),
            problem="Its provider has retired it." if retired else "",
        )

    # -- life of a model --------------------------------------------------------------------------

    async def load(self, model: ModelInfo, options: LoadOptions, progress: Progress | None = None) -> Instance:
        """An instance at once: there is nothing to load.

        Raises:
            ProviderNeedsKey: its key should come from a variable that is not set.
        """
        if self._key is None:
            raise ProviderNeedsKey(self.id, None, hint=f"Set ${self._settings.key_variable} to its API key.")
        if progress is not None:
            progress(1.0)
        return Instance(
            key=f"{self.id}:{model.id}#{next(self._numbers)}",
            model=model,
            endpoint=self._endpoint(model.id),
            slots=self._settings.parallel,
            context_length=model.context_length,
            options=LoadOptions(parallel=self._settings.parallel, ttl=options.ttl),
        )

    # -- asking -----------------------------------------------------------------------------------

    def prepare(self, instance: Instance, body: Mapping[str, object]) -> Mapping[str, object]:
        """The same body, with the server's own name of the model."""
        name = instance.endpoint.model
        return body if body.get("model") == name else {**body, "model": name}

    def chat(self, instance: Instance, request: ChatRequest) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Stream an answer. Leaving the `with` ends the work.

        Raises:
            UnsupportedParameter, InvalidRequest: what the API cannot be asked (`wire.anthropic.asking.fields`).
        """
        if self._settings.cache:
            request = replace(request, extra={"cache_control": _REMEMBER, **request.extra})
        return self._client.chat(instance.endpoint, request, self._can(instance), self._settings.max_tokens)

    async def count(self, instance: Instance, request: ChatRequest) -> int:
        """Tokens of the prompt, counted by the server."""
        return await self._client.count(instance.endpoint, request, self._can(instance))

    async def embed(self, instance: Instance, request: EmbedRequest) -> Embeddings:
        """Nothing.

        Raises:
            InvalidRequest: Anthropic's API makes no embeddings.
        """
        raise InvalidRequest(
            f"The provider {self.id!r} makes no embeddings: Anthropic's API has none.",
            hint="Ask an embedding model of another provider; `lmbridge ls` shows the kind of each model.",
            param="model",
        )

    async def aclose(self) -> None:
        """Close every connection. Idempotent."""
        await self._http.aclose()

    def _can(self, instance: Instance) -> Abilities:
        return self._abilities.get(instance.endpoint.model, Abilities())

    def _endpoint(self, model: str) -> Endpoint:
        return Endpoint(self._settings.base, self._headers, model, language="anthropic", patience=self._patience)
