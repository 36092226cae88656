"""LM Studio's lists of models: `GET /api/v1/models` and the older `GET /api/v0/models`.

Names, order and presence of the fields are those of recorded answers. What is not known of a model is null
where LM Studio allows that, and 0 where its clients insist on a number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from lmbridge.core.models import InstanceState, ModelInfo
from lmbridge.wire.lmstudio.serving.asked import REASONING

_encode: Final = msgspec.json.Encoder().encode
_BITS: Final = re.compile(r"\d{1,2}")


class Listed(Struct, frozen=True):
    """A model to be listed.

    Attributes:
        name: to ask for it. instances: those in memory, by their names.
    """

    name: str
    model: ModelInfo
    instances: tuple[tuple[str, InstanceState], ...] = ()


class InstanceConfig(Struct):
    """How an instance is loaded."""

    context_length: int
    parallel: int | UnsetType = UNSET


class NativeInstance(Struct):
    """A model in memory."""

    id: str
    config: InstanceConfig


class Quantization(Struct):
    """How its weights are stored."""

    name: str | None
    bits_per_weight: int | None


class ReasoningOptions(Struct):
    """How it may think."""

    allowed_options: tuple[str, ...] = REASONING
    default: str = "on"


class Capabilities(Struct):
    """What it can do."""

    vision: bool
    trained_for_tool_use: bool
    reasoning: ReasoningOptions | UnsetType = UNSET


class NativeModel(Struct):
    """An entry of the native list; embedding models have neither architecture nor capabilities."""

    type: Literal["llm", "embedding"]
    publisher: str
    key: str
    display_name: str
    architecture: str | UnsetType | None
    quantization: Quantization | None
    size_bytes: int
    params_string: str | None
    loaded_instances: list[NativeInstance]
    max_context_length: int
    format: str | None
    capabilities: Capabilities | UnsetType = UNSET
    description: str | UnsetType | None = UNSET


class OlderModel(Struct):
    """An entry of the older list."""

    id: str
    object: Literal["model"]
    type: Literal["llm", "vlm", "embeddings"]
    publisher: str
    arch: str
    compatibility_type: str
    quantization: str
    state: Literal["loaded", "not-loaded", "loading"]
    max_context_length: int
    loaded_context_length: int | UnsetType = UNSET
    capabilities: list[str] | UnsetType = UNSET


class NativeModels(Struct):
    """`GET /api/v1/models`"""

    models: list[NativeModel]


class OlderModels(Struct):
    """`GET /api/v0/models`"""

    data: list[OlderModel]
    object: Literal["list"] = "list"


def encode_models(listed: Sequence[Listed]) -> bytes:
    """`GET /api/v1/models`"""
    return _encode(NativeModels([_model(each) for each in listed]))


def encode_older_models(listed: Sequence[Listed]) -> bytes:
    """`GET /api/v0/models`"""
    return _encode(OlderModels([_older(each) for each in listed]))


def encode_older_model(listed: Listed) -> bytes:
    """`GET /api/v0/models/{id}`"""
    return _encode(_older(listed))


def _model(each: Listed) -> NativeModel:
    model, embedding = each.model, each.model.kind == "embedding"
    return NativeModel(
        type="embedding" if embedding else "llm",
        publisher=publisher(each),
        key=each.name,
        display_name=model.display_name or each.name.rpartition("/")[2],
        architecture=UNSET if embedding else model.architecture or None,
        quantization=_quantization(model.quantization),
        size_bytes=model.size_bytes or 0,
        params_string=params_string(model.parameters),
        loaded_instances=[_instance(name, state, model) for name, state in each.instances if _ready(state)],
        max_context_length=model.context_length or 0,
        format=format_of(model) or None,
        capabilities=UNSET if embedding else _capabilities(model),
        description=UNSET if embedding else None,
    )


def _instance(name: str, state: InstanceState, model: ModelInfo) -> NativeInstance:
    config = InstanceConfig(state.context_length or model.context_length or 0)
    if model.kind == "chat" and state.slots is not None:
        config.parallel = state.slots
    return NativeInstance(name, config)


def _capabilities(model: ModelInfo) -> Capabilities:
    told = Capabilities(bool(model.vision), bool(model.tools))
    if model.reasoning:
        told.reasoning = ReasoningOptions()
    return told


def _quantization(name: str) -> Quantization | None:
    if not name:
        return None
    found = _BITS.search(name)
    return Quantization(name, int(found[0]) if found else None)


def _older(each: Listed) -> OlderModel:
    model = each.model
    told = OlderModel(
        id=each.name,
        object="model",
        type="embeddings" if model.kind == "embedding" else "vlm" if model.vision else "llm",
        publisher=publisher(each),
        arch=model.architecture,
        # Here it is one of two words, and clients read no list with another: Zed is one.
        # https://github.com/zed-industries/zed/blob/main/crates/lmstudio/src/lmstudio.rs (`CompatibilityType`)
        compatibility_type=format_of(model) or "gguf",
        quantization=model.quantization,
        state=_state(each),
        max_context_length=model.context_length or 0,
    )
    if ready := [state for _, state in each.instances if _ready(state)]:
        told.loaded_context_length = ready[0].context_length or model.context_length or 0
    if model.kind == "chat":
        told.capabilities = ["tool_use"] if model.tools else []
    return told


def _state(each: Listed) -> Literal["loaded", "not-loaded", "loading"]:
    if any(_ready(state) for _, state in each.instances):
        return "loaded"
    return "loading" if any(state.state == "loading" for _, state in each.instances) else "not-loaded"


def _ready(state: InstanceState) -> bool:
    return state.state == "ready"


def publisher(each: Listed) -> str:
    """Who made it, as far as its name tells; else who has it here."""
    owner, slash, _ = each.model.id.partition("/")
    return owner if slash else each.model.provider


def format_of(model: ModelInfo) -> str:
    """The format of its file, "" where that is not known."""
    return "gguf" if model.path.lower().endswith(".gguf") else ""


def params_string(parameters: int | None) -> str | None:
    """A number of weights as people write it: `137M`, `1.7B`, `20B`."""
    if not parameters:
        return None
    for unit, size in (("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if parameters >= 0.9995 * size:
            value = parameters / size
            return f"{value:.0f}{unit}" if value >= 9.95 else f"{value:.1f}".removesuffix(".0") + unit
    return str(parameters)
