from __future__ import annotations

import time
from datetime import UTC, datetime

import click
import pytest

from lmbridge.cli.moments import Moment


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("90m", 5400), ("1h", 3600), (" 30d ", 30 * 86400), ("2w", 14 * 86400)]
)
def test_a_span_counts_from_now_forward_or_back(text: str, seconds: int) -> None:
    before = time.time()
    ahead, ago = Moment(ahead=True).convert(text, None, None), Moment(ahead=False).convert(text, None, None)
    after = time.time()
    assert before + seconds <= ahead <= after + seconds
    assert before - seconds <= ago <= after - seconds


def test_a_day_begins_where_the_user_is() -> None:
    assert Moment(ahead=True).convert("2027-01-01", None, None) == datetime(2027, 1, 1).timestamp()
    utc = Moment(ahead=True).convert("2027-01-01T12:30Z", None, None)
    assert utc == datetime(2027, 1, 1, 12, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("text", ["", "soon", "30", "d", "-1d", "1.5h", "2027-13-01", "9999999d", "1h30m"])
def test_what_is_no_moment_is_refused_with_examples(text: str) -> None:
    with pytest.raises(click.BadParameter, match="30d"):
        Moment(ahead=True).convert(text, None, None)
