from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from tests.doors.gateway.asking import Running

from lmbridge.core.models import InstanceState
from lmbridge.doors.gateway.metrics import render
from lmbridge.hub.activity import Activity

HELLO = {"model": "fake-chat", "messages": [{"role": "user", "content": "secret words"}]}


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_what_was_asked_is_counted_and_shown_without_words(door: Running) -> None:
    await door.post("/v1/chat/completions", HELLO)
    await door.post("/v1/chat/completions", {**HELLO, "stream": True})
    await door.get("/nothing")
    got = await door.get("/metrics")
    assert got.headers["content-type"].startswith("text/plain")
    found = samples(got.body.decode())
    model = frozenset({("provider", "fake"), ("model", "fake-chat"), ("door", "openai"), ("route", "chat")})
    assert found["lmbridge_requests_total", model] == 2
    assert found["lmbridge_request_seconds_count", model] == 2
    assert found["lmbridge_first_event_seconds_count", model] == 1
    assert found["lmbridge_requests_in_flight", model] == 0
    assert found["lmbridge_queue_seconds_count", model] == 2
    assert found["lmbridge_queue_ahead_bucket", model | {("le", "0.0")}] == 2
    assert found["lmbridge_completion_tokens_total", model] > 0
    assert found["lmbridge_refused_requests_total", frozenset({("code", "route_not_found")})] == 1
    assert b"secret" not in got.body


def test_every_counter_is_shown() -> None:
    activity = Activity()
    tally = activity.tally("p", "m", "messages", "anthropic")
    tally.errors["broken_answer"] += 1
    tally.duration.observe(0.02)
    tally.ahead.observe(3)
    activity.loaded("p", "m", 0.3)
    activity.load_failed("p", "m", "load_failed")
    activity.unloaded("p", "m", "idle")
    activity.waited(400)
    activity.queued(5)
    found = samples(render(activity, [InstanceState("m", "p", "ready", leases=2, memory=7)], "1.2").decode())
    model = frozenset({("provider", "p"), ("model", "m")})
    route = model | {("door", "anthropic"), ("route", "messages")}
    assert found["lmbridge_info", frozenset({("version", "1.2")})] == 1
    assert found["lmbridge_request_errors_total", route | {("code", "broken_answer")}] == 1
    assert found["lmbridge_request_seconds_bucket", route | {("le", "0.01")}] == 0
    assert found["lmbridge_request_seconds_bucket", route | {("le", "0.025")}] == 1
    assert found["lmbridge_queue_ahead_bucket", route | {("le", "2.0")}] == 0
    assert found["lmbridge_queue_ahead_bucket", route | {("le", "4.0")}] == 1
    assert found["lmbridge_queue_length", frozenset()] == 5
    assert found["lmbridge_load_seconds_count", model] == 1
    assert found["lmbridge_load_errors_total", model | {("code", "load_failed")}] == 1
    assert found["lmbridge_unloads_total", model | {("reason", "idle")}] == 1
    assert found["lmbridge_wait_seconds_bucket", frozenset({("le", "300.0")})] == 0
    assert found["lmbridge_wait_seconds_bucket", frozenset({("le", "+Inf")})] == 1
    assert found["lmbridge_model_leases", model] == 2
    assert found["lmbridge_model_memory_bytes", model] == 7
