"""What a name means among the models that LM Studio has. Pure: no request is made here.

An explicit name is never swapped for another model. It is taken as an instance in memory, then as a key,
then as a key in another letter case, then as the end of one key alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from lmbridge.core.errors import InvalidRequest, ModelNotFound, NoModels, WrongModelKind
from lmbridge.core.models import ModelKind
from lmbridge.wire.lmstudio.errors import with_hint
from lmbridge.wire.lmstudio.models import LMStudioModel, LoadedInstance

GET_HINT: Final = (
    "`lmbridge get {}` downloads it, if LM Studio's catalogue has it; `lmbridge ls` lists what is here."
)
NONE_HINT: Final = "Download one with `lmbridge get NAME`, or in LM Studio itself."
MOST_SHOWN: Final = 8

_WANTED: Final = {"chat": "a chat", "embedding": "embeddings"}


class Found(Struct, frozen=True):
    """What a name means.

    Attributes:
        asked: how requests call it: the key, the key with a quantization, or the instance that was named.
        instance: in memory, where the name is that of one and not the key as well.
    """

    model: LMStudioModel
    asked: str
    instance: LoadedInstance | None = None

    @property
    def answers(self) -> frozenset[str]:
        """What an answer by it may be called, in small letters."""
        if self.instance is not None:
            return frozenset((self.instance.id.casefold(),))
        return self.model.names | {self.asked.casefold()}


def find(name: str, models: Sequence[LMStudioModel], kind: ModelKind | None = "chat") -> Found:
    """The model that *name* means.

    Args:
        kind: what it is for; None for any.

    Raises:
        ModelNotFound: there is none, or it could be several. WrongModelKind: there is one, for something else.
    """
    found = _of_instance(name, models) or _of_label(name, models, kind)
    if found is None:
        raise _not_found(name, [model.key for model in models if kind in (None, model.kind)])
    if kind is not None and found.model.kind != kind:
        raise WrongModelKind(found.model.key, found.model.kind, _WANTED[kind])
    return found


def only(models: Sequence[LMStudioModel], kind: ModelKind) -> Found:
    """The model for who names none: the only one in memory, else the only one there is.

    Raises:
        NoModels: there is none of that kind. InvalidRequest: there are several.
    """
    fit = [model for model in models if model.kind == kind]
    if not fit:
        error = NoModels()
        error.message = f"LM Studio has no model for {_WANTED[kind]}."
        raise with_hint(error, NONE_HINT)
    several = [model for model in fit if model.loaded] or fit
    if len(several) == 1:
        return Found(several[0], several[0].key)
    setting = "model" if kind == "chat" else "embedding_model"
    raise InvalidRequest(
        f"No model was named, and LM Studio has several for {_WANTED[kind]}: "
        f"{_shown([model.key for model in several])}.",
        hint=f"Name one, or set `{setting}` of [lmstudio] in lmbridge.toml.",
        param="model",
    )


def _of_instance(name: str, models: Sequence[LMStudioModel]) -> Found | None:
    """LM Studio itself looks here first, and minds the letter case."""
    for model in models:
        for instance in model.loaded:
            if instance.id == name:
                return Found(model, name, None if name == model.key else instance)
    return None


def _labels(models: Sequence[LMStudioModel]) -> Iterator[tuple[str, LMStudioModel]]:
    for model in models:
        yield model.key, model
        for variant in model.variants:
            yield variant, model


def _of_label(name: str, models: Sequence[LMStudioModel], kind: ModelKind | None) -> Found | None:
    labels = list(_labels(models))
    folded = name.casefold()
    for label, model in labels:
        if label == name:
            return Found(model, label)
    for label, model in labels:
        if label.casefold() == folded:
            return Found(model, label)
    ends = [(label, model) for label, model in labels if label.casefold().endswith(f"/{folded}")]
    # A model from a repository may be listed under its short name.
    ends += [(label, model) for label, model in labels if f"{model.publisher}/{label}".casefold() == folded]
    if len(ends) > 1:  # one that cannot do it does not make a name ambiguous
        ends = [(label, model) for label, model in ends if kind in (None, model.kind)] or ends
    if len({model.key for _, model in ends}) > 1:
        names = sorted({label for label, _ in ends})
        raise with_hint(ModelNotFound(name, names), f"It could be {_shown(names)}: name one whole.")
    return Found(ends[0][1], ends[0][0]) if ends else None


def _not_found(name: str, known: Sequence[str]) -> ModelNotFound:
    error = ModelNotFound(name, known)
    error.message = f"LM Studio has no model named {name!r} ({len(known)} known)."
    near = error.hint if error.hint.startswith("Did you mean") else ""
    return with_hint(error, f"{near} {GET_HINT.format(name)}".strip())


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    return ", ".join(names[:MOST_SHOWN]) + more
