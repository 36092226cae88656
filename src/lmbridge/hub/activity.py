"""What happened since the start: plain counters that the hub and the doors feed.

They hold names, numbers and error codes, never a prompt or an answer. They belong to the one event loop
that the hub runs in, so they need no lock, and counting costs an addition. How they are shown (Prometheus,
a status page) is the business of whoever shows them.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of the histograms: from a tiny model on a fast machine to a long prompt on a slow one."""


class Histogram:
    """How often something took how long.

    Attributes:
        bounds: inclusive upper bounds in seconds, ascending.
        counts: observations in each bucket, one more than bounds: the last one is "longer".
        sum: seconds of all observations together.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds

    @property
    def count(self) -> int:
        """How many observations there were."""
        return sum(self.counts)


class Tally:
    """What one model did on one route.

    Attributes:
        route: what was asked for: `chat`, `completion`, `embedding`.
        requests: those that ended, however they ended. in_flight: those that have not.
        cancelled: requests whose caller went away. errors: how often each error code ended one.
        prompt_tokens, cached_tokens, completion_tokens: as the provider counted them.
        first_event: seconds from the request to the first byte of its answer.
        duration: seconds from the request to the end of its answer.
    """

    __slots__ = (
        "cached_tokens",
        "cancelled",
        "completion_tokens",
        "duration",
        "errors",
        "first_event",
        "in_flight",
        "model",
        "prompt_tokens",
        "provider",
        "requests",
        "route",
    )

    def __init__(self, provider: str, model: str, route: str) -> None:
        self.provider, self.model, self.route = provider, model, route
        self.requests = self.in_flight = self.cancelled = 0
        self.prompt_tokens = self.cached_tokens = self.completion_tokens = 0
        self.errors: Counter[str] = Counter()
        self.first_event = Histogram()
        self.duration = Histogram()


class Activity:
    """All that is counted.

    Attributes:
        started: `time.monotonic()` at the start.
        refused: requests that ended before a model was known, by error code.
        waits: seconds of the leases that had to wait for their turn or a load; the others are not here.
        loads: seconds of each model's successful loads, by (provider, model).
        load_errors: failed loads by (provider, model, error code).
        unloads: by (provider, model, reason): `asked`, `idle`, `evicted`, `crashed`.
    """

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.refused: Counter[str] = Counter()
        self.waits = Histogram()
        self.loads: dict[tuple[str, str], Histogram] = {}
        self.load_errors: Counter[tuple[str, str, str]] = Counter()
        self.unloads: Counter[tuple[str, str, str]] = Counter()
        self._tallies: dict[tuple[str, str, str], Tally] = {}

    @property
    def uptime_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def tallies(self) -> list[Tally]:
        """One for each model and route that was asked for."""
        return list(self._tallies.values())

    def tally(self, provider: str, model: str, route: str) -> Tally:
        """The counters of one model on one route, made on first use.

        Call it only with a model that a provider really has, so that callers cannot make up series.
        """
        key = (provider, model, route)
        found = self._tallies.get(key)
        if found is None:
            found = self._tallies[key] = Tally(provider, model, route)
        return found

    def waited(self, seconds: float) -> None:
        """A lease was given after so long."""
        self.waits.observe(seconds)

    def loaded(self, provider: str, model: str, seconds: float) -> None:
        """A model was loaded."""
        self.loads.setdefault((provider, model), Histogram()).observe(seconds)

    def load_failed(self, provider: str, model: str, code: str) -> None:
        """A load ended with the error of this code."""
        self.load_errors[provider, model, code] += 1

    def unloaded(self, provider: str, model: str, reason: str) -> None:
        """A model left memory: `asked`, `idle`, `evicted` or `crashed`."""
        self.unloads[provider, model, reason] += 1
