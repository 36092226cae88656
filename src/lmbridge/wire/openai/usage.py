"""What an answer cost: OpenAI's `usage`, llama.cpp's `timings` and LM Studio's `stats`, wherever they stand."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from lmbridge.core.events import Usage

Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**53)]
"""A number of things, as far as one can be believed."""


class PromptDetails(Struct, gc=False):
    """`usage.prompt_tokens_details`."""

    cached_tokens: Count | None = None


class CompletionDetails(Struct, gc=False):
    """`usage.completion_tokens_details`."""

    reasoning_tokens: Count | None = None


class UsageFields(Struct):
    """`usage`."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


class TimingFields(Struct, gc=False):
    """`timings`: llama.cpp's own counts and speeds, in every last chunk. `prompt_n` leaves out what was cached."""

    cache_n: Count | None = None
    prompt_n: Count | None = None
    predicted_n: Count | None = None
    predicted_per_second: float | None = None


class StatsFields(Struct, gc=False):
    """`stats`: LM Studio's measures, on its older routes `/api/v0`; elsewhere an empty object. In seconds."""

    tokens_per_second: object = None
    time_to_first_token: object = None


def measure(value: object) -> float | None:
    """A number that can be a speed or a time; None for anything else."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53
    return float(value) if good and isinstance(value, int | float) else None


def to_usage(usage: UsageFields | None, timings: TimingFields | None) -> Usage | None:
    """The tokens that were counted; None when neither tells any.

    Zeros alone count nothing: LM Studio gives them with every vector, and nothing can be asked with no token.
    """
    if usage is not None and (usage.prompt_tokens or usage.completion_tokens):
        read, written = usage.prompt_tokens_details, usage.completion_tokens_details
        cached = read.cached_tokens if read is not None else None
        thought = written.reasoning_tokens if written is not None else None
        return Usage(usage.prompt_tokens or 0, usage.completion_tokens or 0, cached or 0, thought or 0)
    if timings is not None and timings.predicted_n is not None:
        cached = timings.cache_n or 0
        return Usage((timings.prompt_n or 0) + cached, timings.predicted_n, cached)
    return None
