from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.wire.sse import SSEDecoder, SSEError, SSEEvent

TRANSCRIPT = (
    b"\xef\xbb\xbf: a comment\n\n"
    b'data: {"a": 1}\n\n'
    b"event: note\r\nid: 7\r\nretry: 10\r\ndata:no space\r\ndata\r\ndata:  two\r\n\r\n"
    b"event: forgotten\n\n"
    b"unknown: field\rdata: \xc3\xa9\r\r"
    b"data: {}\n\n\n\n"
    b"data: [DONE]\n\n"
)
EVENTS = [
    SSEEvent(b'{"a": 1}'),
    SSEEvent(b"no space\n\n two", "note"),
    SSEEvent(b"\xc3\xa9"),
    SSEEvent(b"{}"),
    SSEEvent(b"[DONE]"),
]


def decode(data: bytes, cuts: list[int]) -> list[SSEEvent]:
    decoder, edges = SSEDecoder(), sorted({0, *cuts, len(data)})
    got = [event for a, b in pairwise(edges) for event in decoder.feed(data[a:b])]
    decoder.close()
    return got


@given(st.lists(st.integers(0, len(TRANSCRIPT))))
def test_any_split_of_the_bytes_gives_the_same_events(cuts: list[int]) -> None:
    assert decode(TRANSCRIPT, cuts) == EVENTS


def test_bytes_one_by_one_give_the_same_events() -> None:
    assert decode(TRANSCRIPT, list(range(len(TRANSCRIPT)))) == EVENTS


@given(
    st.lists(st.tuples(st.text(min_size=1), st.sampled_from(["\n", "\r\n", "\r"]))), st.lists(st.integers(0, 500))
)
def test_whatever_lines_are_sent_arrive(sent: list[tuple[str, str]], cuts: list[int]) -> None:
    data, expected = b"", []
    for text, end in sent:
        lines = text.replace("\r", "").split("\n")
        data += "".join(f"data: {line}{end}" for line in lines).encode() + end.encode()
        expected.append(SSEEvent("\n".join(lines).encode()))
    assert decode(data, [cut for cut in cuts if cut < len(data)]) == expected


@given(st.binary(), st.lists(st.integers(0, 200)))
def test_any_bytes_are_survived(data: bytes, cuts: list[int]) -> None:
    decoder = SSEDecoder()
    for a, b in pairwise(sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})):
        decoder.feed(data[a:b])
    with suppress(SSEError):
        decoder.close()


@pytest.mark.parametrize("cut", [b"data: x", b"data: x\n", b"da", b"data: x\n\ndata: y\n"])
def test_a_stream_that_ends_within_an_event_is_an_error(cut: bytes) -> None:
    decoder = SSEDecoder()
    decoder.feed(cut)
    with pytest.raises(SSEError, match="ended within an event"):
        decoder.close()


def test_a_stream_may_end_between_two_events_and_after_fields_without_data() -> None:
    for data in (b"", b"data: x\n\n", b": c\n", b"event: x\n"):
        decoder = SSEDecoder()
        decoder.feed(data)
        decoder.close()


def feed_often(piece: bytes) -> None:
    decoder = SSEDecoder(limit=1000)
    for _ in range(200):
        decoder.feed(piece)


@pytest.mark.parametrize("line", [b"data: ", b"event: ", b": ", b"data"])
def test_an_endless_event_is_given_up(line: bytes) -> None:
    with pytest.raises(SSEError, match="larger than 1,000 bytes"):
        feed_often(line + b"xxxxxxxxxx")


def test_an_event_of_endless_lines_is_given_up() -> None:
    with pytest.raises(SSEError):
        feed_often(b"data: xxxxxxxx\n")


def test_any_number_of_comments_is_no_event() -> None:
    decoder = SSEDecoder(limit=100)
    for _ in range(1000):
        assert decoder.feed(b": still here\n\n") == []
        assert decoder.feed(b"id: 5\n") == []
    decoder.close()


def test_a_large_event_is_put_together_from_many_pieces() -> None:
    decoder = SSEDecoder()
    decoder.feed(b"data: ")
    for _ in range(1000):
        assert decoder.feed(b"x" * 1000) == []
    assert decoder.feed(b"\n\n") == [SSEEvent(b"x" * 1_000_000)]


def test_a_byte_order_mark_counts_only_at_the_very_beginning() -> None:
    assert decode(b"\xef\xbb\xbfdata: x\n\n", []) == [SSEEvent(b"x")]
    assert decode(b"data: x\n\n\xef\xbb\xbfdata: y\n\n", []) == [SSEEvent(b"x")]
    assert decode(b"\xef\xbbdata: x\n\n", [1, 2, 3]) == []
    assert decode(b"", []) == []


def test_the_end_of_a_line_may_be_split_in_the_middle() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: x\r") == []
    assert decoder.feed(b"") == []
    assert decoder.feed(b"\n") == []
    assert decoder.feed(b"\r") == [SSEEvent(b"x")]
    assert decoder.feed(b"\n") == []
    assert decoder.feed(b"data: y\r\r") == [SSEEvent(b"y")]
    decoder.close()
