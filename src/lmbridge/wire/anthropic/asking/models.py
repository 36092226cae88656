"""Which models an Anthropic server has, and what each can do: `GET /v1/models`, page by page.

(https://platform.claude.com/docs/en/api/models-list) Servers that merely speak the language tell less; where one
tells nothing, nothing is claimed.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from lmbridge.core.errors import BrokenAnswer

EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")


class Abilities(Struct, frozen=True):
    """What a model can do, as far as its server tells; None where it does not.

    Attributes:
        max_tokens: most tokens of an answer.
        efforts: levels of `output_config.effort` that it knows.
        adaptive, enabled, disabled: values of `thinking.type` that it takes.
        structured: whether its answers can be held to a schema.
    """

    max_tokens: int | None = None
    efforts: tuple[str, ...] | None = None
    adaptive: bool | None = None
    enabled: bool | None = None
    disabled: bool | None = None
    structured: bool | None = None


class ListedModel(Struct):
    """One entry of the list; of any type, as other servers fill it in, too.

    Attributes:
        max_input_tokens: its context. max_tokens: the longest answer.
        lifecycle: `active`, `deprecated` or `retired`.
        capabilities: an object for each, with `supported`.
    """

    id: str
    display_name: object = None
    max_input_tokens: object = None
    max_tokens: object = None
    lifecycle: object = None
    capabilities: object = None

    def can(self, *path: str) -> bool | None:
        """Whether it supports something, such as `thinking`, `types`, `adaptive`; None when that is not told."""
        found = self.capabilities
        for name in (*path, "supported"):
            found = found.get(name) if isinstance(found, dict) else None
        return found if isinstance(found, bool) else None

    @property
    def abilities(self) -> Abilities:
        """What it can do when it is asked."""
        told = {effort: self.can("effort", effort) for effort in EFFORTS}
        known = self.can("effort") is not None
        return Abilities(
            number(self.max_tokens),
            tuple(effort for effort in EFFORTS if told[effort]) if known else None,
            self.can("thinking", "types", "adaptive"),
            self.can("thinking", "types", "enabled"),
            self.can("thinking", "types", "disabled"),
            self.can("structured_outputs"),
        )


def number(value: object) -> int | None:
    """A number of tokens that can be believed; None for anything else."""
    good = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53
    return value if good and isinstance(value, int) else None


class ModelPage(Struct):
    """A page of the list.

    Attributes:
        last_id: what the next page comes after.
    """

    data: list[ListedModel]
    has_more: bool | None = None
    last_id: str | None = None


_decode: Final = msgspec.json.Decoder(ModelPage).decode


def decode_page(data: bytes, provider: str) -> ModelPage:
    """A page of `GET /v1/models`.

    Raises:
        BrokenAnswer: it is none.
    """
    try:
        return _decode(data)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, msgspec.DecodeError) else "not text that can be read"
        raise BrokenAnswer(provider, f"it is no list of models: {reason[:200]}") from error
