"""What happened since the start: plain counters that the hub and the doors feed, and news for who listens.

They hold names, numbers and error codes, never a prompt or an answer. They belong to the one event loop
that the hub runs in, so they need no lock, and counting costs an addition. How they are shown (Prometheus,
a log, a status page) is the business of whoever shows them.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from time import perf_counter
from typing import TypeAlias

from lmbridge.core.events import Usage
from lmbridge.core.models import ModelInfo
from lmbridge.hub.happenings import (
    Happening,
    ModelFailed,
    ModelLoaded,
    ModelLoading,
    ModelUnloaded,
    ProviderRegistered,
    ProviderUnregistered,
    QueueChanged,
    RequestEnded,
    RequestStarted,
)

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of the histograms: from a tiny model on a fast machine to a long prompt on a slow one."""
CALLERS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
"""Upper bounds where callers are counted."""

Listener: TypeAlias = Callable[[Happening], None]
"""Called at once with all that happens: it must be quick, and must not raise."""


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
    """What one model did on one route of one door.

    Attributes:
        route: what was asked for: `chat`, `completion`, `embedding`.
        door: in which language: `openai`, `anthropic`, `lmstudio`, `ollama`; `python` for the hub's own methods.
        asked: both, for people.
        requests: those that ended, however they ended. in_flight: those that have not.
        cancelled: requests whose caller went away. errors: how often each error code ended one.
        prompt_tokens, cached_tokens, completion_tokens: as the provider counted them.
        waits: seconds in the queue, loading included. ahead: how many callers were before it there.
        first_event: seconds from the request to the first byte of its answer.
        duration: seconds from the request to the end of its answer.
    """

    __slots__ = (
        "ahead",
        "asked",
        "cached_tokens",
        "cancelled",
        "completion_tokens",
        "door",
        "duration",
        "errors",
        "first_event",
        "in_flight",
        "model",
        "prompt_tokens",
        "provider",
        "requests",
        "route",
        "waits",
    )

    def __init__(self, provider: str, model: str, route: str, door: str) -> None:
        self.provider, self.model, self.route, self.door = provider, model, route, door
        self.asked = f"{door} {route.removeprefix(f'{door}-')}"
        self.requests = self.in_flight = self.cancelled = 0
        self.prompt_tokens = self.cached_tokens = self.completion_tokens = 0
        self.errors: Counter[str] = Counter()
        self.waits = Histogram()
        self.ahead = Histogram(CALLERS)
        self.first_event = Histogram()
        self.duration = Histogram()


class Turn:
    """One request to a model, from its lease to its end. `Activity.begin` makes it, `end` counts it.

    Attributes:
        number: since the start. tally: where it is counted. caller: name of the key that was shown.
        task: what its caller says that it is for, "" for nothing.
        waited_s, ahead: in the queue.
        prompt_tokens, cached_tokens, completion_tokens: as the provider counted them.
        first_event_s: seconds from the request to its first event, None before that. total_s: to its end.
        cancelled: the caller went away. error: the code of the error that ended it, "" for none.
    """

    __slots__ = (
        "_activity",
        "ahead",
        "began",
        "cached_tokens",
        "caller",
        "cancelled",
        "completion_tokens",
        "error",
        "first_event_s",
        "number",
        "prompt_tokens",
        "tally",
        "task",
        "total_s",
        "waited_s",
    )

    def __init__(
        self,
        activity: Activity,
        tally: Tally,
        number: int,
        began: float,
        caller: str,
        waited_s: float,
        ahead: int,
        task: str,
    ) -> None:
        self._activity, self.tally, self.number, self.began = activity, tally, number, began
        self.caller, self.waited_s, self.ahead, self.task = caller, waited_s, ahead, task
        self.prompt_tokens = self.cached_tokens = self.completion_tokens = 0
        self.first_event_s: float | None = None
        self.total_s = 0.0
        self.cancelled = False
        self.error = ""

    def first_event(self) -> float:
        """The answer begins; only the first time counts. Returns the seconds until then."""
        if self.first_event_s is None:
            self.first_event_s = perf_counter() - self.began
            self.tally.first_event.observe(self.first_event_s)
        return self.first_event_s

    def used(self, usage: Usage | None) -> None:
        """So many tokens were used; None where nobody tells."""
        if usage is None:
            return
        self.prompt_tokens, self.cached_tokens = usage.prompt_tokens, usage.cached_tokens
        self.completion_tokens = usage.completion_tokens
        tally = self.tally
        tally.prompt_tokens += usage.prompt_tokens
        tally.cached_tokens += usage.cached_tokens
        tally.completion_tokens += usage.completion_tokens

    def fail(self, code: str) -> None:
        """The error of this code ends it."""
        self.error = code
        self.tally.errors[code] += 1

    def cancel(self) -> None:
        """The caller went away."""
        self.cancelled = True
        self.tally.cancelled += 1

    def end(self) -> None:
        """It is over, one way or another."""
        self.total_s = perf_counter() - self.began
        tally = self.tally
        tally.in_flight -= 1
        tally.requests += 1
        tally.duration.observe(self.total_s)
        self._activity.ended(self)


Keeper: TypeAlias = Callable[[Turn], None]
"""Called with each turn that has ended: it must be quick, and must not raise."""


class Activity:
    """All that is counted.

    Attributes:
        started: `time.monotonic()` at the start.
        refused: requests that ended before a model was known, by error code.
        waits: seconds of the leases that had to wait for their turn or a load; the others are not here.
        waiting: callers in the queue now.
        loads: seconds of each model's successful loads, by (provider, model).
        load_errors: failed loads by (provider, model, error code).
        unloads: by (provider, model, reason): `asked`, `idle`, `evicted`, `crashed`.
    """

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.refused: Counter[str] = Counter()
        self.waits = Histogram()
        self.waiting = 0
        self.loads: dict[tuple[str, str], Histogram] = {}
        self.load_errors: Counter[tuple[str, str, str]] = Counter()
        self.unloads: Counter[tuple[str, str, str]] = Counter()
        self._tallies: dict[tuple[str, str, str, str], Tally] = {}
        self._turns: dict[int, Turn] = {}
        self._number = 0
        self._listeners: tuple[Listener, ...] = ()
        self._keeper: Keeper | None = None

    @property
    def uptime_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def tallies(self) -> list[Tally]:
        """One for each model, route and door that was asked for."""
        return list(self._tallies.values())

    @property
    def turns(self) -> list[Turn]:
        """The requests that are being answered, oldest first."""
        return list(self._turns.values())

    # -- requests ---------------------------------------------------------------------------------

    def begin(
        self,
        model: ModelInfo,
        route: str,
        door: str,
        began: float,
        *,
        caller: str = "",
        waited_s: float = 0.0,
        ahead: int = 0,
        task: str = "",
    ) -> Turn:
        """A request has its lease. Who calls this must `end` the turn, whatever happens.

        Call it only with a model that a provider really has, so that callers cannot make up series.

        Args:
            route, door: names of ours, never of the caller's.
            began: `time.perf_counter()` when the request came.
            caller: name of the key that was shown. waited_s, ahead: of the lease.
            task: what the caller says that it is for.
        """
        tally = self.tally(model.provider, model.id, route, door)
        tally.in_flight += 1
        tally.waits.observe(waited_s)
        tally.ahead.observe(ahead)
        self._number = number = self._number + 1
        turn = self._turns[number] = Turn(self, tally, number, began, caller, waited_s, ahead, task)
        if self._listeners:
            self._tell(started(turn))
        return turn

    def ended(self, turn: Turn) -> None:
        """A turn is over: it calls this itself."""
        del self._turns[turn.number]
        if self._keeper is not None:
            self._keeper(turn)
        if self._listeners:
            self._tell(_end_of(turn))

    def tally(self, provider: str, model: str, route: str, door: str) -> Tally:
        """The counters of one model on one route of one door, made on first use."""
        key = (provider, model, route, door)
        found = self._tallies.get(key)
        if found is None:
            found = self._tallies[key] = Tally(provider, model, route, door)
        return found

    # -- models -----------------------------------------------------------------------------------

    def waited(self, seconds: float) -> None:
        """A lease was given after so long."""
        self.waits.observe(seconds)

    def queued(self, waiting: int) -> None:
        """So many callers wait for a lease now."""
        if waiting != self.waiting:
            self.waiting = waiting
            self._tell(QueueChanged(waiting))

    def loading(self, provider: str, model: str) -> None:
        """A model begins to load."""
        self._tell(ModelLoading(provider, model))

    def loaded(self, provider: str, model: str, seconds: float) -> None:
        """A model was loaded."""
        self.loads.setdefault((provider, model), Histogram()).observe(seconds)
        self._tell(ModelLoaded(provider, model, seconds))

    def load_failed(self, provider: str, model: str, code: str) -> None:
        """A load ended with the error of this code."""
        self.load_errors[provider, model, code] += 1
        self._tell(ModelFailed(provider, model, code))

    def unloaded(self, provider: str, model: str, reason: str) -> None:
        """A model left memory: `asked`, `idle`, `evicted` or `crashed`."""
        self.unloads[provider, model, reason] += 1
        self._tell(ModelUnloaded(provider, model, reason))

    def registered(self, provider: str) -> None:
        """A provider has come."""
        self._tell(ProviderRegistered(provider))

    def unregistered(self, provider: str, default: str) -> None:
        """A provider has gone; *default* answers now who names no model."""
        self._tell(ProviderUnregistered(provider, default))

    # -- listening --------------------------------------------------------------------------------

    def listen(self, listener: Listener) -> None:
        """Tell *listener* of all that happens from now on."""
        self._listeners = (*self._listeners, listener)

    def forget(self, listener: Listener) -> None:
        """Tell *listener* no more; one that is not known is no error."""
        self._listeners = tuple(other for other in self._listeners if other != listener)

    def keep(self, keeper: Keeper) -> None:
        """Have *keeper* write down every turn that ends from now on. There is one at most: the ledger."""
        self._keeper = keeper

    def _tell(self, happening: Happening) -> None:
        for listener in self._listeners:
            listener(happening)


def started(turn: Turn) -> RequestStarted:
    """How a turn began, for those who listen."""
    tally = turn.tally
    return RequestStarted(
        number=turn.number,
        door=tally.door,
        route=tally.route,
        provider=tally.provider,
        model=tally.model,
        caller=turn.caller,
        waited_s=turn.waited_s,
        ahead=turn.ahead,
    )


def _end_of(turn: Turn) -> RequestEnded:
    tally = turn.tally
    return RequestEnded(
        number=turn.number,
        door=tally.door,
        route=tally.route,
        provider=tally.provider,
        model=tally.model,
        caller=turn.caller,
        prompt_tokens=turn.prompt_tokens,
        completion_tokens=turn.completion_tokens,
        first_event_s=turn.first_event_s,
        total_s=turn.total_s,
        cancelled=turn.cancelled,
        error=turn.error,
    )
