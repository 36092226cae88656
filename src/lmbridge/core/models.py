"""What can answer: models, how they are loaded, and instances of them in memory."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from lmbridge.core.errors import InvalidRequest, WrongModel

ModelKind: TypeAlias = Literal["chat", "embedding"]
KvType: TypeAlias = Literal["f16", "q8_0", "q4_0"]

# As llama.cpp is built: more make it fail, or hang, without a word (LLAMA_MAX_SEQ, GGML_MAX_N_THREADS).
MAX_PARALLEL: Final = 256
MAX_THREADS: Final = 512


class LoadOptions(Struct, frozen=True, omit_defaults=True):
    """How a model is loaded. None leaves the choice to the provider and the machine.

    Attributes:
        context_length: tokens of context for each parallel answer.
        parallel: answers given at the same time.
        gpu_layers: layers put on the GPU; 0 none, -1 all.
        threads: CPU threads for generation.
        kv_type: number format of the key/value cache.
        ttl: seconds an idle model stays loaded; 0 for ever.
    """

    context_length: Annotated[int, Meta(ge=1)] | None = None
    parallel: Annotated[int, Meta(ge=1, le=MAX_PARALLEL)] | None = None
    gpu_layers: Annotated[int, Meta(ge=-1)] | None = None
    threads: Annotated[int, Meta(ge=1, le=MAX_THREADS)] | None = None
    kv_type: KvType | None = None
    ttl: Annotated[float, Meta(ge=0)] | None = None

    def over(self, defaults: LoadOptions) -> LoadOptions:
        """These options, the unset ones taken from *defaults*."""
        mine = msgspec.structs.asdict(self)
        return LoadOptions(**{k: getattr(defaults, k) if v is None else v for k, v in mine.items()})

    def check(self) -> None:
        """Make sure that every number is one that can be: only decoding checks them by itself.

        Raises:
            InvalidRequest: naming the option.
        """
        try:
            msgspec.convert(msgspec.structs.asdict(self), LoadOptions)
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"A load option is out of range: {error}.") from error


class ModelInfo(Struct, frozen=True, omit_defaults=True):
    """A model that a provider can offer, loaded or not.

    Attributes:
        id: name to ask for; unique within its provider.
        provider: id of the provider that has it.
        path: file on this machine, if it is one.
        size_bytes: of its files.
        parameters: number of weights.
        context_length: longest context the model was made for, in tokens.
        tools, vision, reasoning: what it can do; None when nobody knows.
        problem: why it cannot be used, "" if it can.
        builtin: it comes with lmbridge, for demonstration: the last choice for who names no model.
        stale_s: age in seconds of the list that tells of it, when its server cannot be asked now; else 0.
        copy_of: id of the model that this is loaded once more of (`key` of `key:2`), "" for the model itself.
    """

    id: str
    provider: str
    kind: ModelKind = "chat"
    display_name: str = ""
    path: str = ""
    size_bytes: int | None = None
    parameters: int | None = None
    architecture: str = ""
    quantization: str = ""
    context_length: int | None = None
    tools: bool | None = None
    vision: bool | None = None
    reasoning: bool | None = None
    problem: str = ""
    builtin: bool = False
    stale_s: float = 0.0
    copy_of: str = ""

    @property
    def qualified(self) -> str:
        """The name that is unambiguous over all providers: `provider:id`."""
        return f"{self.provider}:{self.id}"

    def copy(self, number: int) -> ModelInfo:
        """What the model is called when it is in memory for the *number*th time: `key`, `key:2`, `key:3`."""
        if number == 1:
            return self
        return msgspec.structs.replace(self, id=f"{self.id}:{number}", copy_of=self.id)


class Download(Struct, frozen=True, omit_defaults=True):
    """How far a download is.

    Attributes:
        done_bytes, total_bytes: None while they are not known.
        bytes_per_s: its speed now; None when nobody measured it.
    """

    state: Literal["downloading", "paused", "completed", "failed", "already_downloaded"]
    done_bytes: int | None = None
    total_bytes: int | None = None
    bytes_per_s: float | None = None

    @property
    def fraction(self) -> float | None:
        """0 to 1; None while it is not known."""
        if self.state in ("completed", "already_downloaded"):
            return 1.0
        if self.done_bytes is None or not self.total_bytes:
            return None
        return min(1.0, max(0.0, self.done_bytes / self.total_bytes))

    @property
    def seconds_left(self) -> float | None:
        """At the speed of now; None while it is not known."""
        if not self.bytes_per_s or self.done_bytes is None or not self.total_bytes or self.bytes_per_s <= 0:
            return None
        return max(0.0, (self.total_bytes - self.done_bytes) / self.bytes_per_s)


class Patience(Struct, frozen=True):
    """How long a runtime may be silent, in seconds. None: as long as it likes, as a slow machine is not broken.

    Attributes:
        connect: until it has accepted a connection.
        first_byte: from the request until its answer begins. idle: within an answer.
    """

    connect: float | None = 5.0
    first_byte: float | None = None
    idle: float | None = None


PATIENT = Patience()


class Endpoint(Struct, frozen=True):
    """Where an instance answers HTTP, and in which language.

    Attributes:
        url: base URL that the routes are appended to (`/chat/completions`), without a final slash.
        headers: sent with every request; may hold a secret, so never shown.
        model: the name the runtime itself uses for the model.
        also: further names by which its answers may call the model. Where there are any, an answer that
            calls it by none of them is by another model, and an error.
        language: the protocol spoken there; a door that speaks it too may relay bytes. `none`: nothing answers
            there, and the provider is asked through its methods alone.
        keep_alive: whether idle connections may be used again.
        patience: how long who asks there waits.
    """

    url: str
    headers: tuple[tuple[str, str], ...]
    model: str
    also: tuple[str, ...] = ()
    language: Literal["openai", "anthropic", "none"] = "openai"
    keep_alive: bool = True
    patience: Patience = PATIENT

    def __repr__(self) -> str:
        return f"Endpoint(url={self.url!r}, model={self.model!r})"

    def check_answerer(self, provider: str, model: object) -> None:
        """Make sure that an answer is by the model that was asked, where that can be known (`also`).

        Args:
            model: what the answer says; one that does not say is believed.

        Raises:
            WrongModel.
        """
        if self.also and isinstance(model, str) and model and model != self.model and model not in self.also:
            raise WrongModel(provider, self.model, model)


class Instance(Struct, frozen=True):
    """A model that is ready to answer.

    Attributes:
        key: unique for the life of the hub; a model loaded again gets another.
        slots: answers it can give at the same time; None for no limit that we know.
        context_length: tokens of context for one answer; None when the provider does not tell.
        memory: bytes it holds on this machine; 0 when it runs elsewhere.
        options: what it was loaded with, every choice filled in.
    """

    key: str
    model: ModelInfo
    endpoint: Endpoint
    slots: int | None = None
    context_length: int | None = None
    memory: int = 0
    options: LoadOptions = LoadOptions()


class InstanceState(Struct, frozen=True, omit_defaults=True):
    """What `lmbridge ps` shows of a model in memory.

    Attributes:
        state: `loading`, `ready` or `unloading`.
        leases: answers being given now. waiting: callers in the queue for it.
        idle_s: seconds since its last lease ended. ttl: seconds it may stay idle, 0 for ever.
        progress: 0 to 1 while loading.
        name: what the runtime calls the instance, where that is not the model's id (`key:2`).
        kept: its runtime holds it by itself; what it is used for by others is not known here.
    """

    model: str
    provider: str
    state: Literal["loading", "ready", "unloading"]
    leases: int = 0
    waiting: int = 0
    slots: int | None = None
    context_length: int | None = None
    memory: int = 0
    idle_s: float = 0.0
    ttl: float = 0.0
    progress: float = 0.0
    name: str = ""
    kept: bool = False
