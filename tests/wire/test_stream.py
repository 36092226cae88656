from __future__ import annotations

import pytest

from lmbridge.core.errors import BrokenAnswer, EngineCrashed
from lmbridge.wire.stream import StreamDecoder


class Words(StreamDecoder[str]):
    """A language of words; `end` ends an answer, `crash` says that it failed."""

    may_lack_its_end = False

    def _take(self, data: bytes, name: str, events: list[str]) -> None:
        match data.decode():
            case "end":
                self._done = True
            case "crash":
                raise EngineCrashed("m", name or "no reason")
            case word:
                events.append(word)

    def _unmarked(self, events: list[str]) -> None:
        if not self.may_lack_its_end:
            super()._unmarked(events)
        events.append("over")


def test_events_come_as_they_complete_and_nothing_after_the_end() -> None:
    words = Words("p")
    assert words.feed(b"data: one\n\ndata: tw") == ["one"]
    assert words.feed(b"o\n\ndata: end\n\ndata: three\n\n") == ["two"]
    assert words.done
    assert words.feed(b"data: four\n\n") == []
    assert words.close() == []


def test_what_came_before_an_error_is_given_first() -> None:
    words = Words("p")
    assert words.feed(b"data: one\n\nevent: why\ndata: crash\n\n") == ["one"]
    assert words.done
    for late in (lambda: words.feed(b""), words.close):
        with pytest.raises(EngineCrashed, match="why"):
            late()


def test_an_error_alone_is_raised_at_once() -> None:
    with pytest.raises(EngineCrashed):
        Words("p").feed(b"data: crash\n\n")


def test_an_answer_that_is_cut_off_is_an_error() -> None:
    for cut in (b"data: one\n\n", b"", b"data: one\n\ndata: tw"):
        words = Words("p")
        words.feed(cut)
        with pytest.raises(BrokenAnswer, match="ended before the answer did"):
            words.close()


def test_the_last_event_may_lack_the_line_after_it() -> None:
    words = Words("p")
    assert words.feed(b"data: one\n\ndata: end") == ["one"]
    assert words.close() == []
    failed = Words("p")
    failed.feed(b"data: one\n\ndata: crash")
    with pytest.raises(EngineCrashed):
        failed.close()


def test_a_language_may_do_without_the_mark_of_the_end() -> None:
    words = Words("p")
    words.may_lack_its_end = True
    words.feed(b"data: one\n\n")
    assert words.close() == ["over"]


def test_what_is_no_event_stream_is_an_error() -> None:
    words = Words("p")
    with pytest.raises(BrokenAnswer):
        words.feed(b"data: " + b"x" * (17 * 2**20))


def test_a_language_has_to_say_what_its_events_mean() -> None:
    with pytest.raises(NotImplementedError):
        StreamDecoder[str]("p").feed(b"data: x\n\n")
