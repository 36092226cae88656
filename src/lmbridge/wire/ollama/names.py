"""Names of models with tags, `name:tag`, in the words that models have here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

LATEST: Final = ":latest"
"""The tag of who says none (https://github.com/ollama/ollama/blob/main/docs/api.md#model-names)."""

_HUGGING_FACE: Final = re.compile(r"^(?:https?://)?(?:www\.)?(?:hf\.co|huggingface\.co)/", re.IGNORECASE)


def spellings(name: str) -> Iterator[str]:
    """The names that *name* may have here, the likeliest first.

    As it is (so `provider:id` keeps working), without `:latest` or with it, and with a tag as the variant of a
    model: `qwen3-8b:q4_k_m` is `qwen3-8b@q4_k_m`. A name of Hugging Face is one without the host before it.
    """
    name = _HUGGING_FACE.sub("", name)
    yield name
    if name.endswith(LATEST):
        yield name.removesuffix(LATEST)
    elif (found := split(name)) is not None:
        yield f"{found[0]}@{found[1]}"
    elif name:
        yield name + LATEST


def split(name: str) -> tuple[str, str] | None:
    """The name before a tag, and the tag; None for a name without one."""
    base, colon, tag = name.rpartition(":")
    return (base, tag) if colon and base and tag and "/" not in tag else None


def to_download(name: str) -> str:
    """The name under which a model is looked for in the catalogues of models: `owner/repository@quantization`."""
    name = _HUGGING_FACE.sub("", name).removesuffix(LATEST)
    found = split(name)
    return f"{found[0]}@{found[1]}" if found is not None and "/" in found[0] else name
