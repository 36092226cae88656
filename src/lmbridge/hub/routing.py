"""Which model a name means. Pure functions over a list of models.

An explicit name is never swapped for another model: it is found or it is an error with a suggestion.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType

from lmbridge.core.errors import BadModelFile, ModelNotFound, NoModels, WrongModelKind
from lmbridge.core.models import ModelInfo, ModelKind

SERVES = {"chat": "chat", "embedding": "embeddings"}
NO_NAMES: Mapping[str, str] = MappingProxyType({})


def resolve(
    name: str, kind: ModelKind, models: Sequence[ModelInfo], names: Mapping[str, str] = NO_NAMES
) -> ModelInfo:
    """The model that *name* means, for work of *kind*.

    Raises:
        WrongModelKind: it cannot do this. BadModelFile: it is known to be unusable. And as `find`.
    """
    return usable(find(name, models, names), kind)


def find(name: str, models: Sequence[ModelInfo], names: Mapping[str, str] = NO_NAMES) -> ModelInfo:
    """The model that *name* means, whatever it can do.

    Tried in this order, the first step with a match decides: the qualified name (`provider:id`), the
    id or file, a name that settings gave (*names*), the id in another letter case, the last part of the
    id (`org/name` by `name`) when only one model has it, and so the last parts of its file, or of the
    folder that holds it alone (`publisher/repository`); and at last all of that among the models of a
    provider named before a colon. Providers earlier in the list win, over them what can be asked now.

    Args:
        names: names that settings gave to models, such as `fast`, with the qualified names they stand for.

    Raises:
        NoModels: the list is empty. ModelNotFound: no match.
    """
    if not models:
        raise NoModels
    found = _match(name, models, names)
    if found is None:
        raise ModelNotFound(name, [m.qualified if ":" in name else m.id for m in models])
    return found


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

    One in memory, else one of the first server that runs anyway, else one of the user's own: the smallest
    whose size is known, as it answers soonest and does not fill the machine by surprise. A built-in one only
    where there is no other, and never one of a list whose server cannot be asked now.

    Args:
        loaded: qualified names of the models in memory.
        servers: ids of the providers that are servers of their own.

    Raises:
        NoModels: there is none of this kind.
    """
    able = [m for m in models if m.kind == kind and not m.problem and not m.stale_s]
    if not able:
        raise NoModels
    if found := next((m for m in able if m.qualified in loaded), None):
        return found
    server = next((m.provider for m in able if m.provider in servers), None)
    return min(
        able if server is None else [m for m in able if m.provider == server],
        key=lambda m: (m.builtin, not m.size_bytes, m.size_bytes or 0),
    )


def _match(name: str, models: Sequence[ModelInfo], names: Mapping[str, str]) -> ModelInfo | None:
    for matches in _steps(name, models, names):
        if matches:
            return min(matches, key=lambda m: m.stale_s > 0)
    owner, _, rest = name.partition(":")
    mine = [m for m in models if m.provider.casefold() == owner.casefold()]
    if not rest or not mine:
        return None
    return _match(rest, mine, {word: meant for word, meant in names.items() if meant.startswith(f"{owner}:")})


def _steps(name: str, models: Sequence[ModelInfo], names: Mapping[str, str]) -> Iterator[list[ModelInfo]]:
    if not name:
        return
    folded = name.casefold()
    yield [m for m in models if m.qualified == name]
    yield [m for m in models if name in (m.id, m.path)]
    if name in names:
        yield [find(names[name], models)]
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
    now = [m for m in found if not m.stale_s] or found
    return now if len({m.qualified for m in now}) == 1 else []
