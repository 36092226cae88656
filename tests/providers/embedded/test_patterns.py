"""Regular expressions in the engine's language."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.providers.embedded.patterns import Unsupported, translated


@pytest.mark.parametrize(
    ("pattern", "ours"),
    [
        (r"^\d{3}$", "^[0-9]{3}$"),
        (r"^(?:ab)+$", "^(ab)+$"),
        (r"^a\/b$", r"^a\x2Fb$"),
        ("^$", "^$"),
        (r"^A$", "^A$"),
        ("^ä+$", "^[ä]+$"),
        (r"^\"$", r'^(\\")$'),
        (r"^\\$", r"^(\\\\)$"),
        (r"^\t$", r"^(\\t)$"),
        ("^[ -~]$", r"^[\x20-\x21\x23-\x5B\x5D-\x7E]$"),
        (r"^[\d.-]$", r"^[0-9\x2E\x2D]$"),
    ],
)
def test_patterns_are_written_in_full(pattern: str, ours: str) -> None:
    assert translated(pattern) == ours


@pytest.mark.parametrize(
    "pattern", [".", "^.$", "[^a]", r"^\S+$", r"^\D$", "x", "^x", "x$", "^[ -~]+$", "^[^x]*$"]
)
def test_nothing_may_end_a_json_text_early(pattern: str) -> None:
    ours = re.compile(translated(pattern))
    assert not any(ours.fullmatch(bad) for bad in ('"', "\\", "\n", "\x00", 'x"', '"x'))


@pytest.mark.parametrize("pattern", [r"\d", "a|b", "x$", "^x", "ab+"])
def test_what_may_match_anywhere_may_still_match_anywhere(pattern: str) -> None:
    ours = re.compile(translated(pattern))
    for text in ("x", "7", "ab", "xab", "a7b", "abx", "", "q"):
        assert bool(ours.search(text)) == bool(re.search(pattern, text))


@pytest.mark.parametrize(
    "pattern",
    [
        "^(?=a)b$",
        "^(?i)a$",
        r"^\bx$",
        r"^\p{L}$",
        r"^(a)\1$",
        "^a^b$",
        "^a$b$",
        "^a|b$",
        "^[z-a]$",
        "^a{9999}$",
        "^{$",
        "x" * 1001,
        "^a++$",
        "^a{2}+$",
        r"^[\"]$",
        "^\x01$",
        r"^\D[\D]$",
    ],
)
def test_what_cannot_be_followed_is_refused(pattern: str) -> None:
    with pytest.raises(Unsupported):
        translated(pattern)


@pytest.mark.parametrize("pattern", ["^a+?b$", "^a*?b$", "^a??b$", "^a{2,3}?b$"])
def test_a_lazy_repetition_stays_what_it_is_as_the_grammar_takes_the_mark_for_one_more(pattern: str) -> None:
    assert translated(pattern) == translated(pattern.replace("?b", "b"))


@given(st.text(alphabet=r"ab01.*+?()[]{}|^$\dwsDWS-,:/ä\"", max_size=12), st.text(max_size=6))
def test_a_translation_never_matches_more_than_the_pattern(pattern: str, text: str) -> None:
    try:
        theirs, ours = re.compile(pattern), re.compile(translated(pattern))
    except (re.error, Unsupported, OverflowError, FutureWarning):
        return
    if ours.fullmatch(text):
        plain = re.sub(r'\\([\\"])', r"\1", text).replace("\\t", "\t").replace("\\n", "\n")
        assert theirs.search(plain), (pattern, translated(pattern), text)
