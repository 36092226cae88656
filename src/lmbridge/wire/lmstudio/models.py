"""LM Studio's lists of models, in the three forms that its generations have.

`GET /api/v1/models` (0.4.0 and newer) tells everything, `GET /api/v0/models` most, `GET /v1/models` only
names. Unknown keys are skipped and a value of the wrong type is taken for one that was not told: its own
versions disagree on many. An entry without a name is skipped; a list that is none is an error.
"""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Raw, Struct

from lmbridge.core.errors import BrokenAnswer
from lmbridge.wire.lmstudio.errors import decode_failure
from lmbridge.wire.openai.errors import is_error

_T = TypeVar("_T")

Generation: TypeAlias = Literal["v1", "v0", "openai"]
"""Which of its APIs an LM Studio has: the newest that it answers. `openai` means: no API of its own."""

Kind: TypeAlias = Literal["chat", "embedding", "other"]
"""`other`: a kind of model that we cannot use, such as one for pictures."""

ROUTES: Final[dict[Generation, str]] = {
    "v1": "/api/v1/models",
    "v0": "/api/v0/models",
    "openai": "/v1/models",
}

_KINDS: Final[dict[object, Kind]] = {
    "llm": "chat",
    "vlm": "chat",
    "embedding": "embedding",
    "embeddings": "embedding",
}
EMBEDDING_PREFIX: Final = "text-embedding-"
"""What the names of embedding models begin with: all that `/v1/models` tells of a model's kind."""

# The second and every further instance of a model, unless somebody named it otherwise.
_COUNTED: Final = re.compile(r"(.+):\d{1,4}")


class LoadedInstance(Struct, frozen=True, omit_defaults=True):
    """A model in LM Studio's memory.

    Attributes:
        id: what requests call it and how answers name it: the key, the key with `:2`, or a name of its own.
        model: key of the model.
        context_length: tokens it was loaded with; None where LM Studio does not tell.
        parallel: answers it gives at the same time; None where LM Studio does not tell.
    """

    id: str
    model: str
    context_length: int | None = None
    parallel: int | None = None

    def __str__(self) -> str:
        return self.id


class LMStudioModel(Struct, frozen=True, omit_defaults=True):
    """A model that LM Studio has, in memory or only on disk. `str(model)` is its key.

    Attributes:
        key: the name to ask for.
        loaded: its instances in memory, the one that requests by key go to first.
        loading: it is being loaded right now (told by 0.3 only).
        knows_loaded: whether `loaded` says anything: the OpenAI list does not tell what is in memory.
        parameters: as people write it, such as `20B`. format: `gguf`, `mlx` or another.
        size_bytes: of its files.
        max_context_length: what it was made for; an instance may have less.
        tools, vision, reasoning: what it can do; None where LM Studio does not tell.
        reasoning_options: the efforts it accepts, such as `low`.
        variants: names of its quantizations, `key@quantization`.
        stale_s: age in seconds of a list that was kept, 0 for one that was just asked for.
    """

    key: str
    kind: Kind = "chat"
    display_name: str = ""
    publisher: str = ""
    architecture: str = ""
    quantization: str = ""
    bits_per_weight: float | None = None
    parameters: str = ""
    format: str = ""
    description: str = ""
    size_bytes: int | None = None
    max_context_length: int | None = None
    loaded: tuple[LoadedInstance, ...] = ()
    loading: bool = False
    knows_loaded: bool = True
    tools: bool | None = None
    vision: bool | None = None
    reasoning: bool | None = None
    reasoning_options: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    selected_variant: str = ""
    stale_s: float = 0.0

    def __str__(self) -> str:
        return self.key

    @property
    def names(self) -> frozenset[str]:
        """Everything that means this model in a request or an answer, in small letters."""
        ids = (instance.id for instance in self.loaded)
        return frozenset(name.casefold() for name in (self.key, *self.variants, *ids))


class _Config(Struct):
    context_length: object = None
    parallel: object = None


class _Instance(Struct):
    id: str
    config: _Config | None = None


class _Reasoning(Struct):
    allowed_options: object = None


class _Capabilities(Struct):
    vision: object = None
    trained_for_tool_use: object = None
    reasoning: _Reasoning | bool | None = None


class _Quantization(Struct):
    name: object = None
    bits_per_weight: object = None


class _Entry(Struct):
    """A model in any of the lists; every field of any type, as versions disagree."""

    key: object = None  # v1
    id: object = None  # v0 and OpenAI
    type: object = None
    display_name: object = None
    publisher: object = None
    architecture: object = None
    arch: object = None
    quantization: Raw = Raw()
    params_string: object = None
    format: object = None
    compatibility_type: object = None
    description: object = None
    size_bytes: object = None
    max_context_length: object = None
    loaded_context_length: object = None
    loaded_instances: Raw = Raw()
    state: object = None
    capabilities: Raw = Raw()
    variants: object = None
    selected_variant: object = None


class _Listing(Struct):
    models: Raw = Raw()
    data: Raw = Raw()
    error: Raw = Raw()


def decode_list(data: bytes, provider: str, generation: Generation) -> list[LMStudioModel]:
    """The models of a list, each key once.

    Args:
        generation: which list it is. provider: id named in errors.

    Raises:
        RouteNotFound: this LM Studio has no such list.
        BrokenAnswer: it is no list of that form.
        BridgeError: the error it reports instead.
    """
    try:
        listing = msgspec.json.decode(data, type=_Listing)
    except (ValueError, RecursionError) as error:
        raise BrokenAnswer(provider, "its list of models is not JSON, or no object") from error
    if listing.error and is_error(listing.error):
        raise decode_failure(None, data, provider)
    entries = _entries(listing.models if generation == "v1" else listing.data)
    if entries is None:
        key = "models" if generation == "v1" else "data"
        raise BrokenAnswer(provider, f"its list of models has no `{key}`")
    models: dict[str, LMStudioModel] = {}
    for entry in entries:
        model = _MODEL_OF[generation](entry)
        if model is not None:
            models[model.key] = _joined(models.get(model.key), model)
    return _without_counted(models) if generation == "v0" else list(models.values())


def _entries(given: Raw) -> list[_Entry] | None:
    try:
        raws = msgspec.json.decode(given, type=list[Raw])
    except (ValueError, RecursionError):
        return None
    return [entry for raw in raws if (entry := _lenient(raw, _Entry)) is not None]


def _of_v1(entry: _Entry) -> LMStudioModel | None:
    key = _name(entry.key)
    if not key:
        return None
    abilities = _lenient(entry.capabilities, _Capabilities)
    can = abilities or _Capabilities()
    bits = _lenient(entry.quantization, _Quantization) or _Quantization()
    efforts = _texts(can.reasoning.allowed_options) if isinstance(can.reasoning, _Reasoning) else ()
    kind = _KINDS.get(entry.type, "other") if isinstance(entry.type, str) else "chat"
    told = kind == "chat" and abilities is not None
    return LMStudioModel(
        key=key,
        kind=kind,
        display_name=_text(entry.display_name),
        publisher=_text(entry.publisher),
        architecture=_text(entry.architecture),
        quantization=_text(bits.name),
        bits_per_weight=_number(bits.bits_per_weight),
        parameters=_text(entry.params_string),
        format=_text(entry.format),
        description=_text(entry.description),
        size_bytes=_whole(entry.size_bytes),
        max_context_length=_whole(entry.max_context_length),
        loaded=_instances(entry.loaded_instances, key),
        tools=_flag(can.trained_for_tool_use),
        vision=_flag(can.vision),
        reasoning=(can.reasoning not in (None, False)) if told else None,
        reasoning_options=efforts,
        variants=_texts(entry.variants),
        selected_variant=_text(entry.selected_variant),
    )


def _instances(given: Raw, key: str) -> tuple[LoadedInstance, ...]:
    found = []
    for raw in _lenient(given, list[Raw]) or ():
        instance = _lenient(raw, _Instance)
        if instance is not None and _name(instance.id):
            config = instance.config or _Config()
            found.append(LoadedInstance(instance.id, key, _whole(config.context_length), _whole(config.parallel)))
    return tuple(found)


def _of_v0(entry: _Entry) -> LMStudioModel | None:
    key = _name(entry.id)
    if not key:
        return None
    kind = _KINDS.get(entry.type, "other") if isinstance(entry.type, str) else _kind_by_name(key)
    words = frozenset(_texts(_lenient(entry.capabilities, list[str])))
    in_memory = entry.state == "loaded"
    return LMStudioModel(
        key=key,
        kind=kind,
        publisher=_text(entry.publisher),
        architecture=_text(entry.arch),
        quantization=_text(_lenient(entry.quantization, str)),
        format=_text(entry.compatibility_type),
        max_context_length=_whole(entry.max_context_length),
        loaded=(LoadedInstance(key, key, _whole(entry.loaded_context_length)),) if in_memory else (),
        loading=entry.state == "loading",
        # Told since 0.3.16, and then only of those that can.
        tools=True if "tool_use" in words else None,
        vision=entry.type == "vlm" if kind == "chat" else None,
    )


def _of_openai(entry: _Entry) -> LMStudioModel | None:
    key = _name(entry.id)
    return LMStudioModel(key, _kind_by_name(key), knows_loaded=False) if key else None


_MODEL_OF: Final = {"v1": _of_v1, "v0": _of_v0, "openai": _of_openai}


def _kind_by_name(key: str) -> Kind:
    return "embedding" if key.casefold().startswith(EMBEDDING_PREFIX) else "chat"


def _joined(before: LMStudioModel | None, model: LMStudioModel) -> LMStudioModel:
    """A key that is listed twice: one model with the instances of both."""
    if before is None:
        return model
    known = {instance.id for instance in before.loaded}
    more = tuple(instance for instance in model.loaded if instance.id not in known)
    return msgspec.structs.replace(before, loaded=before.loaded + more)


def _without_counted(models: dict[str, LMStudioModel]) -> list[LMStudioModel]:
    """Older versions list a second instance as if it were a model of its own: it belongs to the first."""
    for key in list(models):
        found = _COUNTED.fullmatch(key)
        if found and (owner := models.get(found[1])) is not None:
            extra = models.pop(key)
            mine = tuple(msgspec.structs.replace(instance, model=owner.key) for instance in extra.loaded)
            models[owner.key] = msgspec.structs.replace(owner, loaded=owner.loaded + mine)
    return list(models.values())


# ---- values of any type, taken only where they make sense


def _lenient(raw: Raw, shape: type[_T]) -> _T | None:
    if not raw:
        return None
    try:
        return msgspec.json.decode(raw, type=shape)
    except (ValueError, RecursionError):
        return None


def _text(value: object) -> str:
    return value if isinstance(value, str) and len(value) <= 4096 else ""


def _name(value: object) -> str:
    """What can be asked for and shown in a terminal."""
    return value if isinstance(value, str) and len(value) <= 512 and value.isprintable() else ""


def _texts(value: object) -> tuple[str, ...]:
    return tuple(word for word in value if isinstance(word, str)) if isinstance(value, list) else ()


def _number(value: object) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 2**63
    return float(value) if good and isinstance(value, int | float) else None


def _whole(value: object) -> int | None:
    number = _number(value)
    return None if number is None else value if isinstance(value, int) else int(number)


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None
