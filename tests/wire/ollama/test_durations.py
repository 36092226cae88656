from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.errors import InvalidRequest
from lmbridge.wire.ollama.durations import LONGEST_S, keep_alive_seconds


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (0, 0),
        ("0", 0),
        (300, 300),
        (0.5, 0.5),
        ("300", 300),
        ("+2.5", 2.5),
        ("5m", 300),
        ("1h30m", 5400),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("+10s", 10),
        ("250ms", 0.25),
        ("8µs", 8e-6),
        (" 5m ", 300),
        (-1, None),
        ("-1", None),
        ("-5m", None),
        (1e300, None),
        ("100000000h", None),
        (LONGEST_S, None),
    ],
)
def test_durations_are_seconds_or_go_s_words_and_below_zero_is_for_ever(
    said: float | str, seconds: float | None
) -> None:
    assert keep_alive_seconds(said) == seconds


@pytest.mark.parametrize("said", ["", "soon", "5 m", "m", "1h-30m", "5mm", "0x10", "nan", "inf", "--1", "1e5"])
def test_other_words_are_refused_by_the_name_of_the_field(said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        keep_alive_seconds(said)
    assert caught.value.param == "keep_alive"
    assert "5m" in caught.value.hint


@given(st.text(max_size=40))
def test_any_text_is_a_duration_or_a_refusal(text: str) -> None:
    try:
        seconds = keep_alive_seconds(text)
    except InvalidRequest:
        return
    assert seconds is None or 0 <= seconds < LONGEST_S


@given(st.floats(allow_nan=False))
def test_any_number_is_a_duration(number: float) -> None:
    seconds = keep_alive_seconds(number)
    assert seconds is None or 0 <= seconds < LONGEST_S
