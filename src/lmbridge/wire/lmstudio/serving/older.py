"""What LM Studio's older API adds to OpenAI's answers (`/api/v0/chat/completions`, `/api/v0/completions`).

`stats`, `model_info` and `runtime`, in whole answers and in the last piece of a stream.
"""

from __future__ import annotations

from typing import Final

from lmbridge.core.events import Finished
from lmbridge.core.models import Instance
from lmbridge.wire.lmstudio.serving.lists import format_of

_REASONS: Final = {"stop": "eosFound", "tool_calls": "toolCalls", "length": "maxPredictedTokensReached"}


def ending(
    end: Finished, instance: Instance, *, limit: int | None, runtime: str, version: str
) -> dict[str, object]:
    """The fields that an answer ends with.

    Args:
        limit: tokens that the request allowed. runtime, version: what the model runs in.
    """
    model = instance.model
    format = format_of(model)
    return {
        "stats": _stats(end, limit),
        "model_info": {
            "arch": model.architecture,
            "quant": model.quantization,
            "format": format,
            "context_length": instance.context_length or model.context_length or 0,
        },
        "runtime": {"name": runtime, "version": version, "supported_formats": [format] if format else []},
    }


def _stats(end: Finished, limit: int | None) -> dict[str, object]:
    told: dict[str, object] = {"stop_reason": _reason(end, limit)}
    if end.timings is not None:
        told["tokens_per_second"] = end.timings.tokens_per_s or 0.0
        told["time_to_first_token"] = end.timings.first_event_s
        told["generation_time"] = max(0.0, end.timings.total_s - end.timings.first_event_s)
    return told


def _reason(end: Finished, limit: int | None) -> str:
    """OpenAI has one word for both limits: which one it was shows in what the request allowed."""
    if end.reason == "length" and (
        limit is None or (end.usage is not None and end.usage.completion_tokens < limit)
    ):
        return "contextLengthReached"
    return _REASONS.get(end.reason, "eosFound")
