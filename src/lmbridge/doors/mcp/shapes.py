"""What the tools of the MCP server take, and what they give back.

The JSON schemas that hosts see are made from these structs. An argument that none of them has is refused by its
name; `null` means what leaving it out means, because some hosts fill in every argument there is.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct

from lmbridge.core.events import Usage
from lmbridge.core.models import MAX_PARALLEL, InstanceState, LoadOptions, ModelInfo, ModelKind
from lmbridge.core.provider import ProviderState
from lmbridge.core.requests import Sampling

Name: TypeAlias = Annotated[
    str, Meta(max_length=512, description="A model as `list_models` names it; left out: the default one.")
]


class TextPiece(Struct, tag="text", forbid_unknown_fields=True):
    """Text within a message."""

    text: str


class ImagePiece(Struct, tag="image", forbid_unknown_fields=True, rename="camel"):
    """A picture within a message, in the form that MCP has for pictures."""

    data: Annotated[str, Meta(description="The picture in base64.")]
    mime_type: Annotated[str, Meta(description="Such as image/png.", pattern=r"^image/[a-z0-9.+-]+$")]


class Turn(Struct, forbid_unknown_fields=True):
    """One turn of the conversation."""

    role: Literal["system", "user", "assistant"]
    content: str | list[TextPiece | ImagePiece]


class Asking(Struct, kw_only=True, forbid_unknown_fields=True):
    """What everything that makes text takes."""

    model: Name = ""
    system: Annotated[str, Meta(description="What the model is told to be or to do.")] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2, description="0 is the likeliest answer.")] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=1, description="Most tokens of the answer.")] | None = None
    stop: Annotated[list[str], Meta(max_length=64, description="Texts that end the answer.")] | None = None
    seed: Annotated[int, Meta(description="Equal seeds give equal answers.")] | None = None

    def sampling(self) -> Sampling:
        """How the next words are chosen."""
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            max_tokens=self.max_tokens,
            stop=tuple(self.stop or ()),
            seed=self.seed,
        )


class Chat(Asking, kw_only=True):
    """A conversation that wants its next turn."""

    prompt: Annotated[str, Meta(description="What is asked; the last turn where `messages` are given.")] | None = (
        None
    )
    messages: Annotated[list[Turn], Meta(description="The conversation so far.")] | None = None
    schema: (
        Annotated[dict[str, Any], Meta(description="A JSON schema that the answer is made to follow.")] | None
    ) = None
    truncate: Annotated[bool, Meta(description="Drop the oldest turns if they do not fit.")] = False


class Complete(Asking, kw_only=True):
    """One prompt."""

    prompt: Annotated[str, Meta(description="What is asked.")]


class Embed(Struct, forbid_unknown_fields=True):
    """Texts that want vectors."""

    texts: Annotated[list[str], Meta(min_length=1, max_length=2048, description="One vector for each.")]
    model: Name = ""
    dimensions: Annotated[int, Meta(ge=1, description="Keep only so many leading values.")] | None = None


class List(Struct, forbid_unknown_fields=True):
    """Which models."""

    kind: Annotated[ModelKind, Meta(description="Left out: both.")] | None = None


class Load(Struct, forbid_unknown_fields=True):
    """A model, and how it is loaded."""

    model: Annotated[str, Meta(min_length=1, max_length=512, description="As `list_models` names it.")]
    context_length: Annotated[int, Meta(ge=1, description="Tokens of context for one answer.")] | None = None
    parallel: Annotated[int, Meta(ge=1, le=MAX_PARALLEL, description="Answers at the same time.")] | None = None
    ttl: Annotated[float, Meta(ge=0, description="Seconds it may stay idle; 0: for ever.")] | None = None

    def options(self) -> LoadOptions:
        """How it is loaded."""
        return LoadOptions(context_length=self.context_length, parallel=self.parallel, ttl=self.ttl)


class Unload(Struct, forbid_unknown_fields=True):
    """A model in memory."""

    model: Annotated[str, Meta(min_length=1, max_length=512, description="As `status` names it.")]


class Nothing(Struct, forbid_unknown_fields=True):
    """No arguments."""


# ---- what comes back


class Chatted(Struct, omit_defaults=True):
    """An answer.

    Attributes:
        value: the answer as the JSON value it is, where a schema was given.
        usage: tokens, where they were counted.
    """

    text: str
    model: str
    provider: str
    finish_reason: str
    reasoning: str = ""
    value: Any = UNSET
    usage: Usage | None = None
    tokens_per_s: float | None = None


class Completed(Struct, omit_defaults=True):
    """A text."""

    text: str
    model: str
    provider: str
    finish_reason: str
    usage: Usage | None = None


class Embedded(Struct):
    """Vectors, one for each text in their order."""

    model: str
    provider: str
    dimensions: int
    vectors: tuple[tuple[float, ...], ...]


class Listed(Struct, omit_defaults=True):
    """A model. What is not known of it is left out.

    Attributes:
        context_length: the longest it was made for. size_bytes: of its files.
        loaded: whether it is in memory. problem: why it cannot be used.
    """

    name: str
    provider: str
    kind: ModelKind
    loaded: bool
    display_name: str = ""
    size_bytes: int | None = None
    parameters: int | None = None
    quantization: str = ""
    context_length: int | None = None
    tools: bool | None = None
    vision: bool | None = None
    reasoning: bool | None = None
    problem: str = ""

    @classmethod
    def of(cls, model: ModelInfo, *, loaded: bool) -> Listed:
        """What a host is told of a model; not where its files are."""
        return cls(
            model.id,
            model.provider,
            model.kind,
            loaded,
            model.display_name,
            model.size_bytes,
            model.parameters,
            model.quantization,
            model.context_length,
            model.tools,
            model.vision,
            model.reasoning,
            model.problem,
        )


class Models(Struct):
    """The models there are."""

    models: tuple[Listed, ...]


class InMemory(Struct, omit_defaults=True):
    """A model in memory.

    Attributes:
        leases: answers being given now. waiting: callers in the queue for it.
        context_length: tokens of context for one answer. memory: bytes it holds on this machine.
    """

    model: str
    provider: str
    state: Literal["loading", "ready", "unloading"]
    leases: int = 0
    waiting: int = 0
    context_length: int | None = None
    memory: int = 0

    @classmethod
    def of(cls, state: InstanceState) -> InMemory:
        """What a host is told of it."""
        return cls(
            state.name or state.model,
            state.provider,
            state.state,
            state.leases,
            state.waiting,
            state.context_length,
            state.memory,
        )


class Place(Struct, omit_defaults=True):
    """A provider: a place where models run."""

    provider: str
    state: Literal["ready", "unavailable", "needs_key", "foreign"]
    detail: str = ""
    hint: str = ""

    @classmethod
    def of(cls, state: ProviderState) -> Place:
        """What a host is told of it."""
        return cls(state.provider, state.state, state.detail, state.hint)


class Status(Struct):
    """What works now.

    Attributes:
        where: who has the models: a gateway's URL, or the server's own process.
    """

    version: str
    where: str
    providers: tuple[Place, ...]
    in_memory: tuple[InMemory, ...]


Arguments: TypeAlias = Chat | Complete | Embed | List | Load | Unload | Nothing
Result: TypeAlias = Chatted | Completed | Embedded | Models | InMemory | Status
