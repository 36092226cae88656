"""Which model a name means. Pure functions over a list of models.

An explicit name is never swapped for another model: it is found or it is an error with a suggestion.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from lmbridge.core.errors import BadModelFile, ModelNotFound, NoModels, WrongModelKind
from lmbridge.core.models import ModelInfo, ModelKind

SERVES = {"chat": "chat", "embedding": "embeddings"}


def resolve(name: str, kind: ModelKind, models: Sequence[ModelInfo]) -> ModelInfo:
    """The model that *name* means, for work of *kind*.

    Raises:
        WrongModelKind: it cannot do this. BadModelFile: it is known to be unusable. And as `find`.
    """
    return usable(find(name, models), kind)


def find(name: str, models: Sequence[ModelInfo]) -> ModelInfo:
    """The model that *name* means, whatever it can do.

    Tried in this order, the first step with a match decides: the qualified name (`provider:id`), the
    id or file, the id in another letter case, the last part of the id (`org/name` by `name`) when only
    one model has it, and so the last parts of its file, or of the folder that holds it alone
    (`publisher/repository`). Providers earlier in the list win.

    Raises:
        NoModels: the list is empty. ModelNotFound: no match.
    """
    if not models:
        raise NoModels
    for matches in _steps(name, models):
        if matches:
            return matches[0]
    raise ModelNotFound(name, [m.id for m in models])


def usable(model: ModelInfo, kind: ModelKind) -> ModelInfo:
    """The model itself if it can do work of *kind*; raises what stands in the way."""
    if model.problem:
        raise BadModelFile(model.path or model.id, model.problem)
    if model.kind != kind:
        raise WrongModelKind(model.id, model.kind, SERVES[kind])
    return model


def choose(
    kind: ModelKind, models: Sequence[ModelInfo], loaded: Collection[str], servers: Collection[str]
) -> ModelInfo:
    """The model for a caller who names none and has set no default.

    One in memory, else the first of a server that runs anyway, else the smallest of the user's own: it
    answers soonest and does not fill the machine by surprise. A built-in one only where there is no other.

    Args:
        loaded: qualified names of the models in memory.
        servers: ids of the providers that are servers of their own.

    Raises:
        NoModels: there is none of this kind.
    """
    able = [m for m in models if m.kind == kind and not m.problem]
    first: list[Callable[[ModelInfo], bool]] = [lambda m: m.qualified in loaded, lambda m: m.provider in servers]
    for wanted in first:
        if found := next(filter(wanted, able), None):
            return found
    if not able:
        raise NoModels
    return min(able, key=lambda m: (m.builtin, m.size_bytes or 0))


def _steps(name: str, models: Sequence[ModelInfo]) -> Iterator[list[ModelInfo]]:
    if not name:
        return
    folded = name.casefold()
    yield [m for m in models if m.qualified == name]
    yield [m for m in models if name in (m.id, m.path)]
    yield [m for m in models if m.id.casefold() == folded or m.qualified.casefold() == folded]
    tails = [m for m in models if m.id.casefold().rpartition("/")[2] == folded]
    yield _single(tails)
    files = [(m, m.path.casefold().replace("\\", "/").removesuffix(".gguf")) for m in models if m.path]
    wanted = f"/{folded.removesuffix('.gguf')}"
    yield _single([m for m, file in files if file.endswith(wanted)])
    if "/" in folded:
        yield _single([m for m, file in files if file.rpartition("/")[0].endswith(wanted)])


def _single(found: list[ModelInfo]) -> list[ModelInfo]:
    """What was found if it is one model, else nothing: one of several would be a guess."""
    return found if len({m.qualified for m in found}) == 1 else []
