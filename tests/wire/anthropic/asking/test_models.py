from __future__ import annotations

import json

import pytest
from tests.fakes.anthropic_server import MODELS

from lmbridge.core.errors import BrokenAnswer
from lmbridge.wire.anthropic.asking.models import Abilities, decode_page, number


def test_a_page_tells_what_each_model_can_do() -> None:
    page = decode_page(json.dumps({"data": MODELS, "has_more": True, "last_id": "x"}).encode(), "p")
    newer, older, _ = page.data
    assert (page.has_more, page.last_id) == (True, "x")
    assert newer.abilities == Abilities(64_000, ("low", "medium", "high", "max"), True, False, True, True)
    assert older.abilities == Abilities(64_000, (), False, True, True, False)
    assert newer.can("image_input") is True


@pytest.mark.parametrize(
    "told", [{}, {"capabilities": 7}, {"capabilities": {"effort": 7, "thinking": {"types": []}}}]
)
def test_where_nothing_is_told_nothing_is_claimed(told: dict[str, object]) -> None:
    (model,) = decode_page(json.dumps({"data": [{"id": "m", **told}]}).encode(), "p").data
    assert model.abilities == Abilities()


def test_numbers_that_cannot_be_are_none() -> None:
    assert [number(value) for value in (1, 0, -1, True, "5", None, 2**60)] == [1, *[None] * 6]


@pytest.mark.parametrize("body", [b"{}", b'{"data": 1}', b'{"data": [{}]}', b"<html>", b"\xff", b"[" * 10**5])
def test_what_is_no_list_is_a_broken_answer(body: bytes) -> None:
    with pytest.raises(BrokenAnswer, match="no list of models"):
        decode_page(body, "p")
