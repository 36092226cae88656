from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.doors.mcp.lines import Lines, answer, decode, id_of, refusal

SAID = b'{"id":1}\n\n{"id":2}\r\n{"id":3}\n{"id":'
LINES = [b'{"id":1}', b"", b'{"id":2}\r', b'{"id":3}']


@given(st.lists(st.integers(0, len(SAID))))
def test_any_split_of_the_bytes_gives_the_same_lines(cuts: list[int]) -> None:
    lines, edges = Lines(), sorted({0, *cuts, len(SAID)})
    assert [line for a, b in pairwise(edges) for line in lines.feed(SAID[a:b])] == LINES


def test_a_line_that_is_too_long_is_thrown_away_and_the_next_is_read() -> None:
    lines = Lines(longest=10)
    assert lines.feed(b"x" * 8) == []
    assert lines.feed(b"x" * 8) == []
    assert lines.feed(b"x" * 8 + b"\n{}\n") == [None, b"{}"]
    assert lines.feed(b"y" * 11 + b"\n{}\n") == [None, b"{}"]


def test_a_message_is_decoded_and_an_empty_line_is_nothing() -> None:
    assert decode(b'{"id":2}\r') == {"id": 2}
    assert decode(b" \r") is None


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{", -32700),
        (b"\xff", -32700),
        (b"[" * 5000, -32700),
        (b"[]", -32600),
        (b'"x"', -32600),
        (None, -32600),
    ],
)
def test_what_is_no_message_is_answered_as_json_rpc_demands(line: bytes | None, code: int) -> None:
    said = decode(line)
    assert isinstance(said, bytes)
    assert said.endswith(b"\n")
    body = json.loads(said)
    assert (body["jsonrpc"], body["id"], body["error"]["code"]) == ("2.0", None, code)


@pytest.mark.parametrize(
    ("id", "found"), [(1, 1), ("a", "a"), (0, 0), (True, None), (1.5, None), (None, None), ([], None)]
)
def test_only_numbers_and_text_are_ids(id: object, found: object) -> None:
    assert id_of({"id": id}) == found


def test_answers_are_lines() -> None:
    assert answer(1, {}) == b'{"jsonrpc":"2.0","id":1,"result":{}}\n'
    assert json.loads(refusal(-32600, "No.", "a"))["id"] == "a"
