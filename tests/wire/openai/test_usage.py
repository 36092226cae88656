from __future__ import annotations

import msgspec
import pytest

from lmbridge.core.events import Usage
from lmbridge.wire.openai.usage import StatsFields, TimingFields, UsageFields, measure, to_usage


def told(**fields: object) -> UsageFields:
    return msgspec.convert(fields, UsageFields)


def test_tokens_are_counted_with_what_was_remembered_and_thought() -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 3}}
    assert to_usage(told(prompt_tokens=9, completion_tokens=5, **details), None) == Usage(9, 5, 4, 3)
    assert to_usage(told(prompt_tokens=9, completion_tokens=5), None) == Usage(9, 5)
    assert to_usage(told(prompt_tokens=9, completion_tokens_details={}), None) == Usage(9)


def test_timings_count_where_usage_does_not() -> None:
    assert to_usage(told(prompt_tokens=0), TimingFields(4, 5, 3, 20.0)) == Usage(9, 3, 4)
    assert to_usage(None, TimingFields(predicted_n=3)) == Usage(0, 3)


def test_zeros_alone_count_nothing() -> None:
    assert to_usage(None, None) is to_usage(told(prompt_tokens=0), None) is to_usage(None, TimingFields()) is None


@pytest.mark.parametrize(
    ("value", "found"), [(1, 1.0), (0.5, 0.5), (True, None), (-1, None), ("1", None), (2**53, None)]
)
def test_only_a_number_that_can_be_is_a_measure(value: object, found: float | None) -> None:
    assert measure(value) == found
    assert StatsFields(value).tokens_per_second is value
