"""Models as Ollama's clients list and show them.

What they know of a model is what its file says, where it is one. A digest here names the model and not its bytes:
clients want one to tell models apart, and hashing gigabytes for it would serve nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from msgspec import UNSET, Struct, UnsetType

from lmbridge.core.models import InstanceState, ModelInfo
from lmbridge.wire.ollama.durations import LONGEST_S
from lmbridge.wire.ollama.shapes import rfc3339

_STEPS: Final = ((1_000_000_000, "B"), (1_000_000, "M"), (1_000, "K"))


class Details(Struct, frozen=True, kw_only=True):
    """What sort of model it is."""

    parent_model: str = ""
    format: str
    family: str
    families: Sequence[str]
    parameter_size: str
    quantization_level: str
    context_length: int | UnsetType = UNSET


class Listed(Struct, frozen=True, kw_only=True):
    """A model in the list of `GET /api/tags`."""

    name: str
    model: str
    modified_at: str
    size: int
    digest: str
    details: Details
    capabilities: Sequence[str]


class Tags(Struct, frozen=True):
    """The answer to `GET /api/tags`."""

    models: Sequence[Listed]


class Shown(Struct, frozen=True, kw_only=True):
    """The answer to `POST /api/show`.

    Attributes:
        parameters: in the words of a model file; the context a loaded model has, as `num_ctx`.
        model_info: keys as in a GGUF file.
    """

    license: str = ""
    modelfile: str
    parameters: str
    template: str = ""
    details: Details
    model_info: dict[str, str | int]
    capabilities: Sequence[str]
    modified_at: str


class RunningModel(Struct, frozen=True, kw_only=True):
    """A model in memory, in the list of `GET /api/ps`."""

    name: str
    model: str
    size: int
    digest: str
    details: Details
    expires_at: str
    size_vram: int = 0
    context_length: int | UnsetType = UNSET


class Running(Struct, frozen=True):
    """The answer to `GET /api/ps`."""

    models: Sequence[RunningModel]


class Version(Struct, frozen=True):
    """The answer to `GET /api/version`.

    Attributes:
        version: of the API, in Ollama's numbers: clients leave features out for older ones.
        lmbridge: what really answers.
    """

    version: str
    lmbridge: str


def digest(model: ModelInfo) -> str:
    """What tells a model apart from all others, for ever the same; in the form of a SHA-256."""
    return sha256(f"lmbridge model {model.qualified}".encode()).hexdigest()


def listed(model: ModelInfo, name: str, since_ns: int) -> Listed:
    """A model in the list.

    Args:
        name: to ask for it by. since_ns: since when it is known to be as it is.
    """
    return Listed(
        name=name,
        model=name,
        modified_at=rfc3339(since_ns),
        size=model.size_bytes or 0,
        digest=digest(model),
        details=_details(model),
        capabilities=_capabilities(model),
    )


def shown(model: ModelInfo, name: str, loaded: InstanceState | None, since_ns: int) -> Shown:
    """All that is known of a model.

    Args:
        name: to ask for it by. loaded: how it is in memory. since_ns: since when it is known to be as it is.
    """
    context = loaded.context_length if loaded is not None else None
    return Shown(
        modelfile=f"# A model of lmbridge; it was not made from a model file.\nFROM {name}\n",
        parameters=f"num_ctx                        {context}" if context else "",
        details=_details(model),
        model_info=_model_info(model),
        capabilities=_capabilities(model),
        modified_at=rfc3339(since_ns),
    )


def running(model: ModelInfo, name: str, state: InstanceState, now_ns: int) -> RunningModel:
    """A model in memory.

    Args:
        name: to ask for it by.
    """
    left = LONGEST_S  # as far away as Ollama puts the end of a model that is kept for ever
    if state.ttl and not state.kept:
        idle = 0.0 if state.leases else state.idle_s
        left = min(left, max(0.0, state.ttl - idle))
    return RunningModel(
        name=name,
        model=name,
        size=state.memory or model.size_bytes or 0,
        digest=digest(model),
        details=_details(model),
        expires_at=rfc3339(now_ns + round(left * 1e9)),
        context_length=state.context_length or UNSET,
    )


def _details(model: ModelInfo) -> Details:
    return Details(
        format="gguf" if model.path.lower().endswith(".gguf") else "",
        family=model.architecture,
        families=(model.architecture,) if model.architecture else (),
        parameter_size=_size(model.parameters or 0),
        quantization_level=model.quantization,
        context_length=model.context_length or UNSET,
    )


def _size(parameters: int) -> str:
    """A number of weights as people say it: `8.0B`, `137M`."""
    for step, letter in _STEPS:
        if parameters >= step:
            number = parameters / step
            return f"{number:.1f}{letter}" if number < 100 else f"{number:.0f}{letter}"
    return str(parameters) if parameters else ""


def _model_info(model: ModelInfo) -> dict[str, str | int]:
    family = model.architecture or "unknown"
    info: dict[str, str | int] = {"general.architecture": family}
    if model.display_name:
        info["general.basename"] = model.display_name
    if model.parameters:
        info["general.parameter_count"] = model.parameters
    if model.context_length:
        info[f"{family}.context_length"] = model.context_length
    return info


def _capabilities(model: ModelInfo) -> list[str]:
    """What it can do. Clients offer no tools to a model without that word, so it is there unless it is known not
    to take them; of sight and thought it is there only if they are known."""
    if model.kind == "embedding":
        return ["embedding"]
    able = {"tools": model.tools is not False, "vision": model.vision is True, "thinking": model.reasoning is True}
    return ["completion", *(word for word, can in able.items() if can)]
