from lmbridge.hub.activity import Activity, Histogram


def test_an_observation_lands_in_the_bucket_whose_bound_includes_it() -> None:
    histogram = Histogram((1.0, 2.0))
    for seconds in (0.5, 1.0, 1.5, 2.0, 9.0):
        histogram.observe(seconds)
    assert histogram.counts == [2, 2, 1]
    assert histogram.sum == 14.0
    assert histogram.count == 5


def test_a_model_and_route_keep_one_tally() -> None:
    activity = Activity()
    activity.tally("embedded", "tiny", "chat").requests += 1
    activity.tally("embedded", "tiny", "chat").requests += 1
    activity.tally("embedded", "tiny", "embedding").errors["load_failed"] += 1
    assert [(t.model, t.route, t.requests, dict(t.errors)) for t in activity.tallies] == [
        ("tiny", "chat", 2, {}),
        ("tiny", "embedding", 0, {"load_failed": 1}),
    ]


def test_loads_and_waits_are_counted_by_model() -> None:
    activity = Activity()
    activity.loaded("embedded", "tiny", 0.2)
    activity.loaded("embedded", "tiny", 0.3)
    activity.load_failed("embedded", "huge", "not_enough_memory")
    activity.unloaded("embedded", "tiny", "idle")
    activity.waited(0.5)
    assert activity.loads["embedded", "tiny"].count == 2
    assert activity.load_errors == {("embedded", "huge", "not_enough_memory"): 1}
    assert activity.unloads == {("embedded", "tiny", "idle"): 1}
    assert activity.waits.count == 1


def test_uptime_counts_from_the_start() -> None:
    activity = Activity()
    activity.started -= 10
    assert activity.uptime_s >= 10
