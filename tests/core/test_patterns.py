from __future__ import annotations

import pytest

from lmbridge.core.patterns import matches


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^[a-z]+$", "abc", True),
        ("^[a-z]+$", "abC", False),
        ("b", "abc", True),
        ("^$", "", True),
        (r"^\d{4}-\d{2}(-\d{2})?$", "2026-11", True),
        (r"^\d{4}-\d{2}(-\d{2})?$", "2026-1", False),
        (r"^(?:ab)*$", "ababa", False),
        (r"^(?P<pair>ab)+$", "abab", True),
        (r"^\(+[)*+]$", "(((]", False),
        ("^[^@]+@[^@]+$", "a@b" + "b" * 200, True),
        ("^[]a]+$", "b", False),
    ],
)
def test_a_pattern_is_tried(pattern: str, text: str, found: bool) -> None:
    assert matches(pattern, text) is found


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "(a*)*$",
        "^(a|aa)+$",
        "(?:a?){30}a{30}$",
        "((a)*)*$",
        "^(a|a?)+$",
        r"(a+)\1+$",
        "(?P<x>a+)(?P=x)+$",
    ],
)
def test_a_pattern_that_could_take_for_ever_is_not_tried(pattern: str) -> None:
    assert matches(pattern, "a" * 40 + "!") is None


def test_a_text_on_which_a_pattern_could_take_seconds_is_not_tried() -> None:
    assert matches("a*a*a*b", "a" * 40) is False
    assert matches("a*a*a*b", "a" * 10_000) is None
    assert matches("^[a-z]+$", "a" * 4_000 + "!") is False
