"""Phrases with gaps, such as ``What is {a} plus {b}?``."""

from __future__ import annotations

import re
from collections.abc import Sequence

GAP = re.compile(r"\{\w*\}")


def filled(phrase: str, words: Sequence[str]) -> str:
    """A phrase with its gaps filled, the same word for the same gap."""
    gaps = sorted(set(GAP.findall(phrase)))
    for gap, fill in zip(gaps, words, strict=False):
        phrase = phrase.replace(gap, fill)
    return phrase
