"""The hub's counters in Prometheus' words. They are read when somebody asks, so a request costs none of this."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from lmbridge.core.models import InstanceState
from lmbridge.hub.activity import Activity, Histogram

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

MODEL = ("provider", "model")
ROUTE = (*MODEL, "door", "route")


def render(activity: Activity, instances: Sequence[InstanceState], version: str) -> bytes:
    """All metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(activity, instances, version))
    return generate_latest(registry)


class _Snapshot(Collector):
    def __init__(self, activity: Activity, instances: Sequence[InstanceState], version: str) -> None:
        self._activity, self._instances, self._version = activity, instances, version

    def collect(self) -> Iterator[Metric]:
        yield from self._gateway()
        yield from self._answers()
        yield from self._loads()
        yield from self._memory()

    def _gateway(self) -> Iterator[Metric]:
        yield _gauge("lmbridge_info", "Which lmbridge this is.", ("version",), [((self._version,), 1)])
        yield _gauge("lmbridge_uptime_seconds", "Seconds since the start.", (), [((), self._activity.uptime_s)])
        yield _counter(
            "lmbridge_refused_requests",
            "Requests that ended with an error before a model was used, by error code.",
            ("code",),
            [((code,), number) for code, number in self._activity.refused.items()],
        )

    def _answers(self) -> Iterator[Metric]:
        tallies = [((t.provider, t.model, t.door, t.route), t) for t in self._activity.tallies]
        yield _counter("lmbridge_requests", "Requests that ended.", ROUTE, [(k, t.requests) for k, t in tallies])
        yield _gauge(
            "lmbridge_requests_in_flight",
            "Requests being answered.",
            ROUTE,
            [(k, t.in_flight) for k, t in tallies],
        )
        yield _counter(
            "lmbridge_requests_cancelled",
            "Requests whose caller went away.",
            ROUTE,
            [(k, t.cancelled) for k, t in tallies],
        )
        yield _counter(
            "lmbridge_request_errors",
            "Requests that ended with an error, by error code.",
            (*ROUTE, "code"),
            [((*k, code), number) for k, t in tallies for code, number in t.errors.items()],
        )
        yield _counter(
            "lmbridge_prompt_tokens", "Tokens of prompts.", ROUTE, [(k, t.prompt_tokens) for k, t in tallies]
        )
        yield _counter(
            "lmbridge_cached_tokens",
            "Tokens of prompts that were still known.",
            ROUTE,
            [(k, t.cached_tokens) for k, t in tallies],
        )
        yield _counter(
            "lmbridge_completion_tokens",
            "Tokens of answers.",
            ROUTE,
            [(k, t.completion_tokens) for k, t in tallies],
        )
        yield _histogram(
            "lmbridge_queue_seconds",
            "From the request to its model, a load included; 0 for most.",
            ROUTE,
            [(k, t.waits) for k, t in tallies],
        )
        yield _histogram(
            "lmbridge_queue_ahead",
            "Callers who were in the queue before the request.",
            ROUTE,
            [(k, t.ahead) for k, t in tallies],
        )
        yield _histogram(
            "lmbridge_first_event_seconds",
            "From the request to the first byte of its answer.",
            ROUTE,
            [(k, t.first_event) for k, t in tallies],
        )
        yield _histogram(
            "lmbridge_request_seconds",
            "From the request to the end of its answer.",
            ROUTE,
            [(k, t.duration) for k, t in tallies],
        )

    def _loads(self) -> Iterator[Metric]:
        activity = self._activity
        yield _histogram("lmbridge_load_seconds", "Loads of models.", MODEL, activity.loads.items())
        yield _counter(
            "lmbridge_load_errors", "Failed loads, by error code.", (*MODEL, "code"), activity.load_errors.items()
        )
        yield _counter(
            "lmbridge_unloads", "Models that left memory, by reason.", (*MODEL, "reason"), activity.unloads.items()
        )
        yield _histogram(
            "lmbridge_wait_seconds", "Waiting for a model, its loading included.", (), [((), activity.waits)]
        )
        yield _gauge("lmbridge_queue_length", "Callers who wait for a model now.", (), [((), activity.waiting)])

    def _memory(self) -> Iterator[Metric]:
        states = [((s.provider, s.model), s) for s in self._instances]
        yield _gauge(
            "lmbridge_model_leases",
            "Answers being given by a model in memory.",
            MODEL,
            [(k, s.leases) for k, s in states],
        )
        yield _gauge(
            "lmbridge_model_waiting",
            "Callers in the queue for a model.",
            MODEL,
            [(k, s.waiting) for k, s in states],
        )
        yield _gauge(
            "lmbridge_model_memory_bytes",
            "Memory a model holds on this machine.",
            MODEL,
            [(k, s.memory) for k, s in states],
        )


Values = Iterable[tuple[tuple[str, ...], float]]


def _counter(name: str, text: str, labels: Sequence[str], values: Values) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family


def _gauge(name: str, text: str, labels: Sequence[str], values: Values) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family


def _histogram(
    name: str, text: str, labels: Sequence[str], values: Iterable[tuple[tuple[str, ...], Histogram]]
) -> Metric:
    family = HistogramMetricFamily(name, text, labels=labels)
    for key, histogram in values:
        total, buckets = 0, []
        for bound, number in zip((*map(str, histogram.bounds), "+Inf"), histogram.counts, strict=True):
            total += number
            buckets.append((bound, float(total)))
        family.add_metric(key, buckets, histogram.sum)
    return family
