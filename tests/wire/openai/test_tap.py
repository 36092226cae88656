from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.openai_server import streamed_answer

from lmbridge.core.errors import ProviderRefused
from lmbridge.core.events import Usage
from lmbridge.wire.openai.tap import TAIL, UsageTap

ASKED: dict[str, object] = {
    "model": "m",
    "messages": [{"role": "user", "content": 'say "usage":{ and [DONE] and data: twice\n\ndata: x'}],
    "stream_options": {"include_usage": True},
}
CHUNKS = list(streamed_answer(ASKED))


def event(body: object) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


WHOLE = b": ping\n\n" + b"".join(map(event, CHUNKS)) + b"data: [DONE]\n\n"


def tapped(*pieces: bytes) -> UsageTap:
    tap = UsageTap("p")
    for piece in pieces:
        tap.feed(piece)
    tap.close()
    return tap


@given(st.lists(st.integers(0, len(WHOLE))))
def test_any_split_of_the_bytes_tells_the_same(cuts: list[int]) -> None:
    tap = tapped(*(WHOLE[a:b] for a, b in pairwise(sorted({0, *cuts, len(WHOLE)}))))
    assert (tap.done, tap.finished, tap.error, tap.events) == (True, True, None, len(CHUNKS))
    assert tap.usage is not None
    assert (tap.usage.cached_tokens, tap.tokens_per_s) == (2, 123.5)


def test_a_whole_end_in_one_piece_is_noticed_at_once() -> None:
    tap = UsageTap()
    tap.feed(WHOLE)
    assert tap.done
    tap.close()
    tap.close()
    assert tap.done


def test_a_stream_cut_off_is_not_done() -> None:
    tap = tapped(WHOLE[:-16])
    assert (tap.done, tap.finished) == (False, True)
    tap = tapped(*map(event, CHUNKS[:3]))
    assert (tap.done, tap.finished, tap.usage, tap.events) == (False, False, None, 3)
    tap = tapped()
    assert (tap.done, tap.events) == (False, 0)


def test_a_last_line_without_its_end_counts() -> None:
    assert tapped(WHOLE[:-2]).done
    assert tapped(WHOLE.replace(b"\n", b"\r\n")).done


def test_a_stream_longer_than_the_memory_of_the_tap_is_read_at_its_end() -> None:
    many = [event(CHUNKS[1])] * (4 * TAIL // len(event(CHUNKS[1])))
    tap = tapped(*many, WHOLE)
    assert tap.done
    assert tap.usage is not None
    assert tap.events == len(many) + len(CHUNKS)
    assert not tap._tail
    tap = tapped(b"data: " + b"x" * 3 * TAIL, WHOLE)
    assert tap.done


def test_an_error_in_the_stream_is_kept_and_nothing_is_done() -> None:
    bad = event({"error": {"code": 500, "message": "Compute error."}})
    for pieces in ((bad,), (bad, b"data: [DONE]\n\n"), (bad + WHOLE,)):
        tap = tapped(*pieces)
        assert isinstance(tap.error, ProviderRefused)
        assert tap.error.message == "Compute error."
        assert not tap.done


@pytest.mark.parametrize(
    "odd", [b'data: {"error": null}\n\n', b'data: "error"\n\n', b'data: {"usage": 5}\n\n', b'data: "usage"\n\n']
)
def test_what_only_looks_like_news_is_none(odd: bytes) -> None:
    tap = tapped(odd, WHOLE)
    assert (tap.error, tap.done) == (None, True)


def test_the_last_counts_count() -> None:
    def counted(tokens: int) -> bytes:
        return event({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": tokens}})

    assert tapped(counted(1), counted(2), event({"usage": None})).usage == Usage(1, 2)


def test_an_answer_that_was_not_streamed_is_read_at_once() -> None:
    tap = UsageTap()
    tap.whole(b'{"choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}')
    assert (tap.usage, tap.done, tap.finished) == (Usage(1, 2), True, True)
    tap = UsageTap("p")
    tap.whole(b'{"error": "bad"}')
    assert (tap.done, str(tap.error)) == (False, "bad")
    tap = UsageTap("p")
    tap.whole(b'{"data": []}')
    assert (tap.done, tap.usage) == (True, None)


@given(st.lists(st.binary()))
def test_any_bytes_are_survived(pieces: list[bytes]) -> None:
    tapped(*(b"data: " + piece for piece in pieces))
