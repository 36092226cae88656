"""The model card quotes the scores that were measured last."""

from __future__ import annotations

import json

from models.card import CARD, card
from models.evaluate import CATEGORIES, SCORES


def test_the_card_in_the_package_is_the_one_its_sources_give() -> None:
    assert CARD.read_text(encoding="utf-8") == card()


def test_every_category_was_measured() -> None:
    scores = json.loads(SCORES.read_text(encoding="utf-8"))
    assert set(CATEGORIES) < set(scores["chat"])


def test_the_card_leaves_no_blank() -> None:
    assert "_SCORES]" not in card()
    assert "_SIZE]" not in card()
