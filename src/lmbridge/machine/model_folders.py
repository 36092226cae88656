"""Finds the GGUF model files of this machine: which there are, what they are called, what belongs together.

A model may be several files: parts of a split model, and a vision projector (`mmproj`) beside it. Broken files
are found too, with the reason, so that a person who looks for one learns what is wrong with it.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from lmbridge.core.errors import BadModelFile
from lmbridge.core.models import ModelInfo
from lmbridge.machine.file_names import (
    is_projector,
    model_of_projector,
    part_of,
    projector_rank,
    quantization_of,
    without_suffixes,
)
from lmbridge.machine.gguf import Header, read_header

MAX_DEPTH: Final = 4
"""Folders below a model folder that are searched: publisher, repository, and two more."""
MAX_FILES: Final = 10_000

BUILTIN: Final = Path(__file__).parent / "builtin"
"""The models that come with the package."""

# Encoders whose files do not always tell their pooling; they make vectors and cannot chat.
_ENCODERS: Final = re.compile(r"bert|^t5encoder$|^gemma-embedding$")


class FoundModel(Struct, frozen=True):
    """A model on this machine.

    Attributes:
        path: its file, the first one of a split model.
        mmproj: the vision projector that belongs to it.
        size_bytes: of all its files.
        header: what it says about itself; None when it cannot be read, and `problem` tells why.
        parameters: number of weights in all its files.
    """

    id: str
    path: Path
    size_bytes: int
    header: Header | None = None
    mmproj: Path | None = None
    parameters: int = 0
    problem: str = ""

    def info(self, provider: str) -> ModelInfo:
        """The model in everybody's words."""
        header = self.header
        if header is None:
            return ModelInfo(
                self.id, provider, path=str(self.path), size_bytes=self.size_bytes, problem=self.problem
            )
        embedding = header.embedding or bool(_ENCODERS.search(header.architecture))
        return ModelInfo(
            self.id,
            provider,
            kind="embedding" if embedding else "chat",
            display_name=header.name,
            path=str(self.path),
            size_bytes=self.size_bytes,
            parameters=self.parameters,
            architecture=header.architecture,
            quantization=header.quantization,
            context_length=header.context_length,
            tools=header.tools and not embedding,
            vision=self.mmproj is not None,
            problem=self.problem,
            builtin=self.path.parent == BUILTIN,
        )


class _Candidate(Struct):
    """A file, or the files of a split model, before it has a name."""

    path: Path
    folder: Path
    """The model folder it was found in."""
    stem: str
    """Name of the file without `.gguf` and without the number of the part."""
    parts: int = 1
    mmproj: Path | None = None
    id: str = ""

    @property
    def place(self) -> tuple[str, ...]:
        """The folders between the model folder and the file: publisher and repository, or none."""
        return self.path.relative_to(self.folder).parts[:-1] if self.path.is_relative_to(self.folder) else ()

    @property
    def quantization(self) -> str:
        return quantization_of(self.stem)


def find_models(folders: Sequence[Path], builtin: Path = BUILTIN) -> list[FoundModel]:
    """Every model in *folders* (an entry may be a file), then the built-in ones. Blocks: call it in a thread.

    A file that is reached twice counts where it was found first.
    """
    candidates = list(_distinct(each for folder in folders for each in _candidates(folder)))
    own = list(_candidates(builtin))
    for each in own:
        each.id = each.stem
    _name(candidates, taken={each.id for each in own})
    return [_inspect(each) for each in (*candidates, *own)]


def _candidates(folder: Path) -> Iterator[_Candidate]:
    """The models below *folder*, files that belong together put together."""
    if folder.is_file():
        yield from _in_one_folder([folder], folder.parent)
        return
    found: dict[Path, list[Path]] = {}
    for path in _files(folder):
        found.setdefault(path.parent, []).append(path)
    for place in sorted(found):
        yield from _in_one_folder(sorted(found[place]), folder)


def _files(folder: Path) -> Iterator[Path]:
    """GGUF files below *folder*, links followed, to a depth and a number that bound the work."""
    waiting, seen = [(folder, 0)], 0
    while waiting:
        place, depth = waiting.pop()
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError:
            continue  # not there, or not for us
        for entry in entries:
            seen += 1
            if seen > MAX_FILES:
                return
            if entry.name.startswith(".") or not _is_text(entry.path):
                continue
            if entry.name.lower().endswith(".gguf"):
                if entry.is_file():
                    yield Path(entry.path)
            elif depth < MAX_DEPTH and entry.is_dir():
                waiting.append((Path(entry.path), depth + 1))


def _is_text(path: str) -> bool:
    """Whether a path can be written in JSON; a file system may hold names that are no text."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _in_one_folder(paths: Sequence[Path], folder: Path) -> Iterator[_Candidate]:
    projectors = [path for path in paths if is_projector(path.stem)]
    models: dict[str, _Candidate] = {}
    for path in paths:
        if path in projectors:
            continue
        part = part_of(path.stem)
        known = models.setdefault(part.stem, _Candidate(path, folder, part.stem, part.count))
        known.path = min(known.path, path)
    alone = len({without_suffixes(stem) for stem in models}) == 1
    for each in models.values():
        each.mmproj = _projector_for(each.stem, projectors, alone)
        yield each


def _projector_for(stem: str, projectors: Sequence[Path], alone: bool) -> Path | None:
    """The projector that belongs to a model: any in a folder of one model, else the one that bears its name."""

    def belongs(projector: Path) -> bool:
        return alone or model_of_projector(projector.stem) == without_suffixes(stem)

    return min(filter(belongs, projectors), key=lambda path: projector_rank(path.stem), default=None)


def _distinct(candidates: Iterator[_Candidate]) -> Iterator[_Candidate]:
    seen = set()
    for each in candidates:
        real = os.path.realpath(each.path)
        if real not in seen:
            seen.add(real)
            yield each


def _short(model: _Candidate) -> str:
    """Repository or file, as LM Studio derives its model keys."""
    return without_suffixes(model.place[1] if len(model.place) >= 2 else model.stem)


def _with_publisher(model: _Candidate) -> str:
    return f"{model.place[0].lower()}/{_short(model)}" if len(model.place) >= 2 else _short(model)


def _with_quantization(form: Callable[[_Candidate], str]) -> Callable[[_Candidate], str]:
    return lambda model: f"{form(model)}@{model.quantization}" if model.quantization else form(model)


def _relative(model: _Candidate) -> str:
    return "/".join((*model.place, model.stem)).lower()


_FORMS: Final = (
    _short,
    _with_publisher,
    _with_quantization(_short),
    _with_quantization(_with_publisher),
    lambda model: without_suffixes(model.stem),
    lambda model: model.stem.lower(),
    _relative,
    lambda model: str(model.path),
)


def _name(models: Sequence[_Candidate], taken: set[str]) -> None:
    """Give each model the shortest name that only it has."""
    for form in _FORMS:
        nameless = [model for model in models if not model.id]
        wanted = Counter(form(model) for model in nameless)
        for model in nameless:
            name = form(model)
            if wanted[name] == 1 and name not in taken:
                model.id = name
                taken.add(name)


def _inspect(model: _Candidate) -> FoundModel:
    size = 0
    try:
        paths = _part_paths(model)
        size = sum(path.stat().st_size for path in paths if path.exists())
        headers = [read_header(path) for path in paths]
    except BadModelFile as error:
        return FoundModel(model.id, model.path, size, problem=_reason(error, model.path))
    except OSError as error:
        return FoundModel(model.id, model.path, size, problem=error.strerror or str(error))
    mmproj = model.mmproj
    if mmproj is not None:
        size += mmproj.stat().st_size
    parameters = sum(header.parameters for header in headers)
    found = FoundModel(model.id, model.path, size, headers[0], mmproj, parameters)
    problem = unsuitable(headers[0])
    return FoundModel(model.id, model.path, size, None, problem=problem) if problem else found


def _part_paths(model: _Candidate) -> list[Path]:
    """All files of the model; the first one's header decides whether there are more than one."""
    if model.parts == 1:
        return [model.path]
    return [
        model.path.with_name(f"{model.stem}-{part:05}-of-{model.parts:05}{model.path.suffix}")
        for part in range(1, min(model.parts, 1000) + 1)
    ]


def _reason(error: BadModelFile, path: Path) -> str:
    if error.path == str(path):
        return error.reason
    return f"its part {Path(error.path).name}: {error.reason}"


def unsuitable(header: Header) -> str:
    """Why a file that is in order is no model that could answer; "" for one that is."""
    if header.kind == "mmproj":
        return "a vision projector, which needs its model beside it"
    if header.kind not in ("", "model"):
        return f"not a model but of type {header.kind[:40]!r}"
    if not header.architecture:
        return "it does not say its architecture"
    if header.pooling == 4:
        return "a reranking model, which nothing here can use"
    return ""
