"""What the name of a GGUF file says: how its weights are stored, which part it is, whether it is a projector.

Names are a habit, not a format: `MODEL-Q4_K_M.gguf`, `MODEL.f16.gguf`, `MODEL-Q8_0-00001-of-00003.gguf`,
`mmproj-MODEL-F16.gguf`. Whoever needs to be sure reads the header.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

SUFFIX: Final = ".gguf"

# `-Q4_K_M`, `.f16`, `-UD-IQ2_XXS`, `-MXFP4` at the end of a name: how its weights are stored.
_QUANTIZATION: Final = re.compile(
    r"[-._@](?P<quant>(?:ud-)?(?:i?q\d(?:_[a-z0-9]+)*|tq\d_\d|(?:bf|fp|f)(?:16|32)|(?:mx|nv)fp4(?:_[a-z]+)?))$",
    re.I,
)
_PART: Final = re.compile(r"-(?P<part>\d{5})-of-(?P<parts>\d{5})$")
_PROJECTOR: Final = re.compile(r"(?:^|[-._])mmproj(?:[-._]|$)", re.I)
# Where a choice is to be had, the projector that costs least for what it gives.
_PROJECTOR_ORDER: Final = ("f16", "bf16", "q8_0", "f32")


class Part(Struct, frozen=True):
    """A file of a split model.

    Attributes:
        stem: what all its parts are called. number: from 1. count: of all parts.
    """

    stem: str
    number: int = 1
    count: int = 1


def quantization_of(stem: str) -> str:
    """How the weights of the file are stored, in lower case, such as `q4_k_m`; "" where its name does not tell."""
    found = _QUANTIZATION.search(stem)
    return found["quant"].lower() if found else ""


def part_of(stem: str) -> Part:
    """Which part of a model a file is; the only one, where its name does not tell."""
    found = _PART.search(stem)
    return Part(stem[: found.start()], int(found["part"]), int(found["parts"])) if found else Part(stem)


def is_projector(stem: str) -> bool:
    """Whether it is a vision projector, which is no model by itself."""
    return bool(_PROJECTOR.search(stem))


def projector_rank(stem: str) -> tuple[int, str]:
    """A sort key: of several projectors of one model the first in this order is to be taken."""
    kind = quantization_of(stem)
    return _PROJECTOR_ORDER.index(kind) if kind in _PROJECTOR_ORDER else len(_PROJECTOR_ORDER), stem


def model_of_projector(stem: str) -> str:
    """The name of the model that a projector is named after, without suffixes; "" where it is after none."""
    return without_suffixes(_PROJECTOR.sub("-", stem).strip("-._"))


def without_suffixes(name: str) -> str:
    """*name* in lower case without `-GGUF` and quantization at its end."""
    name = re.sub(r"[-._]gguf$", "", name, flags=re.I)
    name = _QUANTIZATION.sub("", name)
    return re.sub(r"[-._]gguf$", "", name, flags=re.I).lower()
