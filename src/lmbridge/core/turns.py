"""One turn as it goes: what is being waited for, and what is known of the answer besides its words."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from lmbridge.core.models import Instance, ModelInfo


class Wait(Struct, frozen=True):
    """Why there is no answer yet.

    Attributes:
        phase: waiting for a turn, for the model to load, or for the prompt to be read.
        position: callers ahead in the queue.
        progress: 0 to 1, of the load or of reading the prompt.
    """

    phase: Literal["queued", "loading", "prompt"]
    position: int = 0
    progress: float = 0.0


class Facts(Struct, frozen=True, kw_only=True):
    """What is known of an answer besides its words.

    Attributes:
        name: what the instance is called, `key` or `key:2`.
        load_s: seconds of loading, if this request loaded the model.
        first_event_s: from the request to the first word. total_s: to the end.
        tokens_per_s: speed of generation alone, None when nothing measured it.
    """

    model: ModelInfo
    instance: Instance
    name: str
    load_s: float | None = None
    first_event_s: float
    total_s: float
    tokens_per_s: float | None = None
