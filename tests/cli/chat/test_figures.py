import pytest

from lmbridge.cli.chat.figures import Stopwatch, figures, speed
from lmbridge.core.events import Event, Finished, ReasoningDelta, Started, TextDelta, Timings, ToolCallDelta, Usage


def test_the_engines_own_measure_counts() -> None:
    assert speed(Finished("stop", Usage(1, 100), Timings(0.5, 10.5, 55.5))) == 55.5


def test_without_one_the_speed_is_that_of_the_words_after_the_first() -> None:
    assert speed(Finished("stop", Usage(1, 101), Timings(0.5, 10.5))) == 10.0


@pytest.mark.parametrize(
    "finished",
    [
        Finished("stop"),
        Finished("stop", Usage(1, 5)),
        Finished("stop", None, Timings(0.1, 1)),
        Finished("stop", Usage(1, 1), Timings(0.1, 1)),
        Finished("stop", Usage(1, 5), Timings(1, 1)),
    ],
)
def test_where_nothing_was_measured_no_speed_is_claimed(finished: Finished) -> None:
    assert speed(finished) is None


def test_the_line_tells_tokens_speed_and_times() -> None:
    watch = Stopwatch()
    watch.first_word_s, watch.total_s = 0.5, 10.5
    finished = Finished("length", Usage(12, 101, 4), Timings(0.1, 9.5, 9.64))
    assert figures(finished, watch) == (
        "12 tokens read (4 cached), 101 written, 9.6 tokens/s, first word 500 ms, 10.5 s in all, "
        "stopped at the longest allowed"
    )
    assert figures(Finished("stop"), Stopwatch()) == "nothing measured"
    assert figures(Finished("content_filter"), Stopwatch()) == "ended: content_filter"


@pytest.mark.parametrize("first", [TextDelta("x"), ReasoningDelta("x"), ToolCallDelta(0)])
def test_the_watch_stops_at_the_first_word_whatever_it_is(first: Event) -> None:
    watch = Stopwatch()
    watch.feed(Started("p", "m"))
    assert watch.first_word_s is None
    watch.feed(first)
    stopped = watch.first_word_s
    assert stopped is not None
    watch.feed(TextDelta("more"))
    assert watch.first_word_s == stopped
    assert watch.total_s is None
    watch.feed(Finished("stop"))
    assert watch.total_s is not None
    assert watch.total_s >= stopped
