"""How a stream is passed on is tried whole in `test_relay`; here are the pieces that touch its bytes."""

from __future__ import annotations

import pytest

from lmbridge.doors.gateway.passing import answerer, with_role


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b'data: {"choices":[{"delta":{"role":"assistant"}}]}\n\n', None),
        (
            b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: {"choices":[]}\n\n',
            b'data: {"choices":[{"delta":{"role":"assistant","content":"a"}}]}\n\ndata: {"choices":[]}\n\n',
        ),
        (
            b': comment\n\ndata:{"choices":[{"delta":{}}]}\n\n',
            b': comment\n\ndata: {"choices":[{"delta":{"role":"assistant"}}]}\n\n',
        ),
        (b"data: [DONE]\n\n", None),
        (b"data: {}\n\n", None),
        (b"data: nonsense\n\n", None),
    ],
)
def test_the_first_event_says_who_speaks(given: bytes, expected: bytes | None) -> None:
    assert with_role(given) == (given if expected is None else expected)


@pytest.mark.parametrize(
    ("given", "model"),
    [
        (b'data: {"model":"m"}\n\n', "m"),
        (b': comment\n\ndata:{"model":"m","choices":[]}\n\ndata: {"model":"n"}\n\n', "m"),
        (b'data: {"choices":[]}\n\n', None),
        (b"data: [DONE]\n\n", None),
    ],
)
def test_the_first_event_says_who_answers(given: bytes, model: str | None) -> None:
    assert answerer(given) == model
