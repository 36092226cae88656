"""Tokens and times of an answer, for people."""

from __future__ import annotations

from lmbridge.cli.render import duration
from lmbridge.core.events import Finished


def speed(finished: Finished) -> float | None:
    """Tokens a second: as the engine measured it, else from the tokens and the time after the first."""
    times, usage = finished.timings, finished.usage
    if times is not None and times.tokens_per_s:
        return times.tokens_per_s
    if times is None or usage is None or usage.completion_tokens < 2:
        return None
    span = times.total_s - times.first_event_s
    return (usage.completion_tokens - 1) / span if span > 0 else None


def figures(finished: Finished) -> str:
    """One line: tokens of prompt and answer, speed, time to the first word and to the last."""
    parts = []
    if (usage := finished.usage) is not None:
        cached = f" ({usage.cached_tokens} from the cache)" if usage.cached_tokens else ""
        parts += [f"{usage.prompt_tokens} tokens read{cached}", f"{usage.completion_tokens} written"]
    if (rate := speed(finished)) is not None:
        parts.append(f"{rate:.0f} tokens/s" if rate >= 10 else f"{rate:.1f} tokens/s")
    if (times := finished.timings) is not None:
        parts += [f"first word after {duration(times.first_event_s)}", f"{duration(times.total_s)} in all"]
    if finished.reason not in ("stop", "tool_calls"):
        parts.append(
            {"length": "stopped at the longest allowed"}.get(finished.reason, f"ended: {finished.reason}")
        )
    return ", ".join(parts) or "nothing measured"
