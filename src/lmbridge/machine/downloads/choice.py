"""Which files of a repository are the model that is wanted. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from posixpath import basename
from typing import Final

from msgspec import Struct

from lmbridge.machine.downloads.names import Wanted
from lmbridge.machine.file_names import (
    SUFFIX,
    is_projector,
    model_of_projector,
    part_of,
    projector_rank,
    quantization_of,
    without_suffixes,
)

PREFERRED: Final = (
    # Four bits lose little and are half the size of eight; of them the K-quants are the usual measure.
    "q4_k_m", "ud-q4_k_xl", "q4_k_l", "mxfp4", "mxfp4_moe", "q4_k_s", "iq4_nl", "iq4_xs", "q4_1", "q4_0", "q4_k",
    # Then rather more than less, as far as it fits.
    "q5_k_m", "ud-q5_k_xl", "q5_k_s", "q5_0", "q5_1", "q6_k", "ud-q6_k_xl", "q8_0", "ud-q8_k_xl",
    "q3_k_l", "ud-q3_k_xl", "q3_k_xl", "q3_k_m", "iq3_m", "iq3_s", "q3_k_s", "iq3_xs", "iq3_xxs", "ud-iq3_xxs",
    "ud-q2_k_xl", "q2_k_l", "q2_k", "iq2_m", "ud-iq2_m", "iq2_s", "q2_k_s", "iq2_xs", "iq2_xxs", "ud-iq2_xxs",
    "iq1_m", "ud-iq1_m", "iq1_s", "ud-iq1_s",
)  # fmt: skip
"""What is taken when nobody says, the best first."""

FLOATS: Final = frozenset({"f16", "fp16", "bf16", "f32", "fp32"})
"""Weights as they were trained, several times the size of all others: only for who asks for them."""

MAX_SHOWN: Final = 12


class RemoteFile(Struct, frozen=True):
    """A file of a repository.

    Attributes:
        size: in bytes.
        sha256: of its content; "" if the hub does not tell.
        blob: git's own hash of it, which is no hash of the content where `sha256` is known.
    """

    path: str
    size: int
    sha256: str = ""
    blob: str = ""

    @property
    def name(self) -> str:
        """Without the folders."""
        return basename(self.path)

    @property
    def stem(self) -> str:
        """The name without `.gguf`."""
        return self.name[: -len(SUFFIX)]


class Choice(Struct, frozen=True):
    """The files to download.

    Attributes:
        files: of the model, its parts in order.
        projector: what lets it take pictures, if there is one.
        quantization: "" where the names do not tell.
    """

    files: tuple[RemoteFile, ...]
    projector: RemoteFile | None = None
    quantization: str = ""

    @property
    def everything(self) -> tuple[RemoteFile, ...]:
        """In the order in which they are to appear: the first part last, as it is what makes a model be seen."""
        projector = () if self.projector is None else (self.projector,)
        return (*projector, *reversed(self.files))

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(file.size for file in self.everything)


class NotChosen(Exception):
    """Why there is nothing to choose, and what could be done about it."""

    def __init__(self, reason: str, hint: str = "") -> None:
        self.reason, self.hint = reason, hint
        super().__init__(reason)


class _Variant(Struct, frozen=True):
    """One way of having a model: the whole of it in one quantization."""

    stem: str
    files: tuple[RemoteFile, ...]

    @property
    def quantization(self) -> str:
        return quantization_of(self.stem)

    @property
    def model(self) -> str:
        return without_suffixes(self.stem)

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def named(self) -> str:
        return self.quantization or self.files[0].path


def memory_for(size: int) -> int:
    """Bytes of memory that files of *size* bytes take at least, when they are loaded with a short context."""
    return size + size // 10 + 512 * 2**20


def choose(files: Iterable[RemoteFile], wanted: Wanted, capacity: int | None = None) -> Choice:
    """The files to download for *wanted*.

    What is asked for is taken whatever it needs. Otherwise it is four bits, or what is next to it and fits.

    Arguments:
        files: everything that the repository holds.
        capacity: bytes of memory that a model may take; None where that does not matter.

    Raises:
        NotChosen: there is no such file, or no reason to take one rather than another.
    """
    usable = [file for file in files if _is_model(file)]
    if not usable:
        raise NotChosen("it has no GGUF file")
    projectors = [file for file in usable if is_projector(file.stem)]
    variants = _variants(file for file in usable if not is_projector(file.stem))
    if wanted.file:
        variant = _of_file(wanted.file, variants, projectors)
    else:
        variant = _best(_of_one_model(_narrowed(variants, wanted), wanted), wanted, capacity, projectors)
    return _with_projector(variant, projectors)


def _is_model(file: RemoteFile) -> bool:
    """Statistics for quantizing carry the same suffix as models."""
    return file.name.lower().endswith(SUFFIX) and "imatrix" not in file.name.lower() and file.size > 0


def _variants(files: Iterable[RemoteFile]) -> list[_Variant]:
    """The models that are there whole."""
    together: dict[str, list[RemoteFile]] = {}
    for file in sorted(files, key=lambda file: (file.path.count("/"), file.path)):
        folder = file.path[: -len(file.name)]
        together.setdefault(folder + part_of(file.stem).stem, []).append(file)
    found = []
    for place, members in together.items():
        parts = {part_of(file.stem).number: file for file in members}
        count = part_of(members[0].stem).count
        if set(parts) == set(range(1, count + 1)):
            found.append(_Variant(basename(place), tuple(parts[number] for number in sorted(parts))))
    return found


def _of_file(path: str, variants: Sequence[_Variant], projectors: Sequence[RemoteFile]) -> _Variant:
    for variant in variants:
        for file in variant.files:
            if path in (file.path, file.name):
                return variant
    if any(path in (file.path, file.name) for file in projectors):
        raise NotChosen(
            f"{path!r} is a vision projector, which is no model by itself",
            "Ask for the model: its projector comes with it.",
        )
    raise NotChosen(
        f"it has no file {path!r}", f"It has: {_shown(variant.files[0].path for variant in variants)}."
    )


def _narrowed(variants: Sequence[_Variant], wanted: Wanted) -> list[_Variant]:
    """Those in the folder and of the quantization that were asked for."""
    inside = [v for v in variants if not wanted.folder or v.files[0].path.startswith(f"{wanted.folder}/")]
    if not inside:
        raise NotChosen(
            f"it has no GGUF file in {wanted.folder!r}" if wanted.folder else "it has no whole model",
            f"It has: {_shown(variant.files[0].path for variant in variants)}." if variants else "",
        )
    if not wanted.quantization:
        return inside
    exact = [v for v in inside if v.quantization == wanted.quantization]
    found = exact or [v for v in inside if v.quantization.removeprefix("ud-") == wanted.quantization]
    if not found:
        raise NotChosen(f"it has no {wanted.quantization!r}", f"It has: {_shown(v.named for v in inside)}.")
    return found


def _of_one_model(variants: Sequence[_Variant], wanted: Wanted) -> Sequence[_Variant]:
    """Those of the model after which the repository is called, where it holds several."""
    models = {variant.model for variant in variants}
    if len(models) == 1:
        return variants
    called = without_suffixes(wanted.words)
    own = [variant for variant in variants if variant.model == called]
    if not own:
        files = _shown(variant.files[0].path for variant in variants)
        raise NotChosen(
            f"it holds {len(models)} different models",
            f"Name the file, as in `{wanted.repository}/{variants[0].files[0].path}`. There are: {files}.",
        )
    return own


def _best(
    variants: Sequence[_Variant], wanted: Wanted, capacity: int | None, projectors: Sequence[RemoteFile]
) -> _Variant:
    if wanted.quantization:
        return variants[0]
    moderate = [variant for variant in variants if variant.quantization not in FLOATS]
    if not moderate:
        smallest = min(variants, key=lambda variant: variant.size)
        raise NotChosen(
            f"its weights are there in full only ({smallest.named}, {_gb(smallest.size)})",
            f"Ask for them if you mean it: `{wanted.repository}@{smallest.named}`.",
        )
    beside = min((file.size for file in projectors), default=0)
    fitting = [v for v in moderate if capacity is None or memory_for(v.size + beside) <= capacity]
    if not fitting:
        smallest = min(moderate, key=lambda variant: variant.size)
        name = (smallest.quantization and f"@{smallest.quantization}") or f"/{smallest.files[0].path}"
        raise NotChosen(
            f"it needs at least {_gb(memory_for(smallest.size + beside))} of memory, "
            f"and models may take {_gb(capacity or 0)} on this computer",
            f"Choose a smaller model, or have it all the same with `{wanted.repository}{name}`.",
        )
    return min(fitting, key=_preference)


def _preference(variant: _Variant) -> tuple[int, int]:
    """A sort key. Formats that nobody has heard of come last, small ones first."""
    kind = variant.quantization
    return PREFERRED.index(kind) if kind in PREFERRED else len(PREFERRED), variant.size


def _with_projector(variant: _Variant, projectors: Sequence[RemoteFile]) -> Choice:
    """The model with its projector: the one that bears its name, else any that bears none or another."""
    named = [file for file in projectors if model_of_projector(file.stem) == variant.model]
    best = min(named or projectors, key=lambda file: projector_rank(file.stem), default=None)
    return Choice(variant.files, best, variant.quantization)


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


def _shown(names: Iterable[str]) -> str:
    every = list(dict.fromkeys(names))
    more = f" and {len(every) - MAX_SHOWN} more" if len(every) > MAX_SHOWN else ""
    return ", ".join(every[:MAX_SHOWN]) + more
