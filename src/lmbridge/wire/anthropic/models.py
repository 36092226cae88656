"""Models in Anthropic's form: `GET /v1/models` for callers who send the header `anthropic-version`.

(https://platform.claude.com/docs/en/api/models-list)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from msgspec import Struct

from lmbridge.core.models import ModelInfo

UNKNOWN: Final = "1970-01-01T00:00:00Z"
"""Anthropic's own way to say that the date of a model is not known."""


class AnthropicModel(Struct, frozen=True, tag="model", kw_only=True):
    """A model that can be asked.

    Attributes:
        id: the name to ask for.
        max_input_tokens: of the loaded model, or the longest context it was made for; null where nobody knows.
    """

    id: str
    display_name: str
    created_at: str = UNKNOWN
    lifecycle: Literal["active"] = "active"
    max_input_tokens: int | None = None


class AnthropicModelList(Struct, frozen=True, kw_only=True):
    """All of them: there is one page."""

    data: Sequence[AnthropicModel]
    first_id: str | None
    last_id: str | None
    has_more: Literal[False] = False


def to_model(name: str, model: ModelInfo) -> AnthropicModel:
    """One model; *name* is what it is asked for by."""
    return AnthropicModel(id=name, display_name=model.display_name or name, max_input_tokens=model.context_length)


def to_models(models: Iterable[tuple[str, ModelInfo]]) -> AnthropicModelList:
    """The models that can answer messages, with their names; others are of no use to Anthropic's clients."""
    data = [to_model(name, model) for name, model in models if model.kind == "chat"]
    return AnthropicModelList(
        data=data, first_id=data[0].id if data else None, last_id=data[-1].id if data else None
    )
