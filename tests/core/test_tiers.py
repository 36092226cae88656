from __future__ import annotations

from lmbridge.core.tiers import names_of, tier_settings


def test_the_names_are_those_that_were_set() -> None:
    assert names_of({}) == {}
    told = {"fast": "a", "premium": "c", "embedding_model": "e", "model": ""}
    assert names_of(told) == {"fast": "a", "premium": "c", "embedding": "e"}


def test_the_standard_one_is_not_for_who_names_none() -> None:
    assert names_of({"standard": "b"}) == {"standard": "b"}


def test_every_tier_has_a_setting() -> None:
    assert [s.name for s in tier_settings()] == ["model", "fast", "standard", "premium", "embedding_model"]
