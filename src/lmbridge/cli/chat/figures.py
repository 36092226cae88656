"""Tokens and times of an answer, for people."""

from __future__ import annotations

from time import monotonic

from lmbridge.cli.render import duration
from lmbridge.core.events import Event, Finished, ReasoningDelta, TextDelta, ToolCallDelta


class Stopwatch:
    """Measures what a person waits for: from the question on, loading of the model included.

    Attributes:
        first_word_s: seconds to the first word; None before there was one.
        total_s: seconds to the end; None before it.
    """

    def __init__(self) -> None:
        self._started = monotonic()
        self.first_word_s: float | None = None
        self.total_s: float | None = None

    def feed(self, event: Event) -> None:
        """Look at the next event."""
        if self.first_word_s is None and isinstance(event, TextDelta | ReasoningDelta | ToolCallDelta):
            self.first_word_s = monotonic() - self._started
        if isinstance(event, Finished):
            self.total_s = monotonic() - self._started


def speed(finished: Finished) -> float | None:
    """Tokens a second: as the engine measured it, else from the tokens and the time after the first."""
    times, usage = finished.timings, finished.usage
    if times is not None and times.tokens_per_s:
        return times.tokens_per_s
    if times is None or usage is None or usage.completion_tokens < 2:
        return None
    span = times.total_s - times.first_event_s
    return (usage.completion_tokens - 1) / span if span > 0 else None


def figures(finished: Finished, watch: Stopwatch) -> str:
    """One line: tokens of prompt and answer, speed, time to the first word and to the last."""
    parts = []
    if (usage := finished.usage) is not None:
        cached = f" ({usage.cached_tokens} cached)" if usage.cached_tokens else ""
        parts += [f"{usage.prompt_tokens} tokens read{cached}", f"{usage.completion_tokens} written"]
    if (rate := speed(finished)) is not None:
        parts.append(f"{rate:.0f} tokens/s" if rate >= 10 else f"{rate:.1f} tokens/s")
    if watch.first_word_s is not None:
        parts.append(f"first word {duration(watch.first_word_s)}")
    if watch.total_s is not None:
        parts.append(f"{duration(watch.total_s)} in all")
    if finished.reason not in ("stop", "tool_calls"):
        parts.append(
            {"length": "stopped at the longest allowed"}.get(finished.reason, f"ended: {finished.reason}")
        )
    return ", ".join(parts) or "nothing measured"
