"""The protocol every provider follows: a place where models run.

The hub knows providers by this protocol alone; they are joined in `assembly`. A provider is found
through the entry-point group `lmbridge.providers` and built by its `create(settings, context)`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

from msgspec import Struct

from lmbridge.core.errors import BridgeError
from lmbridge.core.events import Embeddings, Event
from lmbridge.core.models import Download, Instance, LoadOptions, ModelInfo
from lmbridge.core.requests import ChatRequest, EmbedRequest

Progress: TypeAlias = Callable[[float], None]
"""Called with 0.0 to 1.0 while a model loads."""

DownloadProgress: TypeAlias = Callable[[Download], None]
"""Called now and then while a model is downloaded."""

Category: TypeAlias = Literal["ai", "core", "integrations", "messaging"]
"""What sort of thing a provider or an extension is, for who lists them."""

SettingType: TypeAlias = Literal["string", "integer", "number", "boolean", "path", "secret", "list"]


class Setting(Struct, frozen=True):
    """One setting of a provider or an extension, enough to draw a form field from.

    Attributes:
        default: None when it may stay unset.
    """

    name: str
    type: SettingType
    description: str
    default: str | int | float | bool | tuple[str, ...] | None = None


class Manifest(Struct, frozen=True):
    """Who a provider is.

    Attributes:
        id: table name in lmbridge.toml and prefix of qualified model names.
        runs: where its models do: `local` on this machine, `server` elsewhere, reached over HTTP.
        category: what it is listed under; those that have models are `ai`.
        named: whether several may be set up, each in a table of its own (`[openai.NAME]`).
        seeds_need_solitude: equal seeds give equal answers only while nobody else is answered, so a
            seeded request is given a lease that tolerates no other.
        counts_one_choice: of several choices only one is counted in `usage`, unless they are streamed.
        copies: a model can be in memory more than once; `load` is given a `ModelInfo` with `copy_of` then.
        calls_in_form: what its endpoint answers holds tool calls and thoughts in the form alone that is usual for
            OpenAI's language, and obeys `tool_choice`.
        schema_bars_tools: with a shape of the answer, no tool is ever called.
        tells_reading: its endpoint understands `return_progress`, and then tells how far it has read the prompt.
    """

    id: str
    display_name: str
    runs: Literal["local", "server"]
    description: str
    settings: tuple[Setting, ...] = ()
    category: Category = "ai"
    named: bool = False
    seeds_need_solitude: bool = False
    counts_one_choice: bool = False
    copies: bool = False
    calls_in_form: bool = False
    schema_bars_tools: bool = False
    tells_reading: bool = False


class ProviderState(Struct, frozen=True, omit_defaults=True):
    """What a probe found. Never an exception: a provider that is down is a fact, not a fault.

    Attributes:
        state: `ready`; `unavailable` (not there or down); `needs_key`; `foreign` (something else answers).
        detail: one sentence for people. hint: the command or setting that mends it.
        version: of the runtime, if it tells.
        display_name: of the provider, filled in by the hub where it does not tell another than its manifest.
        default: it answers who names no model; filled in by the hub.
    """

    provider: str
    state: Literal["ready", "unavailable", "needs_key", "foreign"]
    detail: str = ""
    hint: str = ""
    version: str = ""
    display_name: str = ""
    default: bool = False


class ProviderContext(Struct, frozen=True):
    """What a provider is told about its surroundings.

    Attributes:
        home: lmbridge's own folder (models, logs, keys).
        name: instance name of a `named` provider, else its id.
    """

    home: Path
    name: str


class Provider(Protocol):
    """A place where models run. All methods may be called at the same time from one event loop."""

    manifest: ClassVar[Manifest]
    id: str
    """`manifest.id`, or the name given in the settings."""

    @classmethod
    def create(cls, settings: Mapping[str, object], context: ProviderContext) -> Provider:
        """Build one from its table in lmbridge.toml. No I/O.

        Raises:
            ConfigInvalid: an unknown setting or a wrong type.
        """

    async def probe(self) -> ProviderState:
        """Look whether it is there. Never raises; returns within a few seconds."""

    async def models(self) -> Sequence[ModelInfo]:
        """Every model it could answer with, loaded or not; [] when it is not there."""

    async def estimate(self, model: ModelInfo, options: LoadOptions) -> int:
        """Bytes of this machine's memory that loading takes; 0 when it runs elsewhere."""

    async def room(self) -> int | None:
        """Bytes of memory free for loading right now; None when memory is not ours to manage."""

    async def load(self, model: ModelInfo, options: LoadOptions, progress: Progress | None = None) -> Instance:
        """Make a model ready to answer. The hub calls this once for each instance it wants.

        Raises:
            BadModelFile, LoadFailed, EngineMissing, ProviderUnavailable, ModelNotFound.
        """

    async def unload(self, instance: Instance) -> None:
        """Give its memory back. Unloading what is gone already is not an error."""

    async def gone(self, instance: Instance) -> BridgeError:
        """Wait until the instance dies by itself and tell why. Cancelled when it is unloaded."""

    def prepare(self, instance: Instance, body: Mapping[str, object]) -> Mapping[str, object]:
        """The same request in a form that makes this runtime do what it says.

        Called by a door before it relays a request in the endpoint's language, with the decoded body.
        Returns *body* itself when nothing needs changing, so that the bytes can pass untouched.

        Raises:
            InvalidRequest: a request this runtime would misunderstand in silence.
        """

    def chat(self, instance: Instance, request: ChatRequest) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Stream an answer. Leaving the `with` ends the work."""

    async def embed(self, instance: Instance, request: EmbedRequest) -> Embeddings:
        """Vectors for texts."""

    async def aclose(self) -> None:
        """End every instance and connection. Idempotent."""


@runtime_checkable
class Downloader(Protocol):
    """A provider that can also get models that are not here yet."""

    id: str
    fetches: bool
    """Whether a model that is asked for and missing is downloaded without further asking (a setting)."""

    async def download(self, name: str, progress: DownloadProgress | None = None) -> str:
        """Get a model; returns the id that `models()` then lists. One that is here already is not an error.

        Cancelling stops the download where the runtime can; what is there is kept for the next time.

        Args:
            name: as the runtime's catalogue calls it, such as `openai/gpt-oss-20b` or `owner/repository@q4_k_m`.

        Raises:
            ModelNotFound: nobody has it. DownloadFailed, NoSpace, ProviderUnavailable.
        """


@runtime_checkable
class Counter(Protocol):
    """A provider that can say how many tokens a prompt has before it is asked."""

    async def count(self, instance: Instance, request: ChatRequest) -> int:
        """Tokens of the prompt: counted by the model's own template and vocabulary, its tools included.

        Raises:
            InvalidRequest: a request that this runtime would refuse, too. BrokenAnswer, ProviderUnavailable.
        """


@runtime_checkable
class Keeper(Protocol):
    """A provider whose runtime keeps models in memory by itself, whoever loaded them.

    Its `load` takes over an instance that is there already; such a one has a `ttl` of 0 in its options,
    so that nobody but its owner unloads it for being idle.
    """

    async def loaded(self) -> Sequence[Instance]:
        """What is in its memory now; [] when it cannot be asked."""

    def sure_of(self, instance: Instance) -> bool:
        """Whether an instance is known to be there still, and to be asked by nobody's address but its own."""

    async def confirm(self, instance: Instance) -> bool:
        """Find that out, before anybody sends a secret or a prompt there. False: somebody else unloaded it, and
        `gone` tells the same.

        Raises:
            ProviderUnavailable, ForeignServer: it cannot be asked, or another program has its address; `gone`
                tells the same. ProviderNeedsKey.
        """

    async def doubt(self, instance: Instance, error: BridgeError) -> BridgeError:
        """The reason behind an error met while asking an instance: that it was unloaded, which `gone` then tells
        too; else *error*, recognised as what it is where its words are the runtime's own.
        """


@runtime_checkable
class Namer(Protocol):
    """A provider whose settings give names of their own to some of its models."""

    id: str
    names: Mapping[str, str]
    """Name to model id, such as `fast`. The names `chat` and `embedding` are for callers who name none."""


@runtime_checkable
class Remembering(Protocol):
    """A provider that believes for a while what it once found."""

    def forget(self) -> None:
        """Ask anew at the next use: what it has, and where it is."""


@runtime_checkable
class Placed(Protocol):
    """A provider that knows where its server is."""

    nearby: bool
    """Whether that is this machine, or one of its own network."""


def nearby(provider: Provider) -> bool:
    """Whether a provider may answer who named neither it nor a model.

    One elsewhere, such as a cloud, may cost money and sees the prompt: it answers who chose it, and nobody else.
    So does a server that does not tell where it is.
    """
    return provider.manifest.runs == "local" or (isinstance(provider, Placed) and provider.nearby)
