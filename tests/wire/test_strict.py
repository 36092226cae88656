from __future__ import annotations

from typing import Literal

import msgspec
import pytest
from msgspec import Struct

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter
from lmbridge.wire.strict import decode_strictly


class Inner(Struct, forbid_unknown_fields=True):
    number: int


class Outer(Struct, forbid_unknown_fields=True):
    items: list[Inner]
    table: dict[str, int] = {}
    mood: Literal["good", "bad"] = "good"


DECODER = msgspec.json.Decoder(Outer)


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        (b'{"items": [{"number": 1}, {"number": "x"}]}', "items[1].number", "Expected an integer, got a string"),
        (b'{"items": [{}]}', "items[0].number", "is missing"),
        (b"{}", "items", "is missing"),
        (b'{"items": 1}', "items", "Expected a list, got an integer"),
        (b'{"items": [], "table": {"a": null}}', "table[...]", "got null"),
        (b"5", None, "The body: Expected an object, got an integer."),
        (b"{", None, "not valid JSON"),
        (b"\xff", None, "not valid JSON"),
    ],
)
def test_the_field_and_its_fault_are_named(body: bytes, param: str | None, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words) as caught:
        decode_strictly(DECODER, body)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("body", "name"),
    [(b'{"items": [], "x": 1}', "x"), (b'{"items": [{"number": 1, "x": 1}]}', "items[0].x")],
)
def test_an_unknown_field_is_refused_by_its_name(body: bytes, name: str) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        decode_strictly(DECODER, body)
    assert caught.value.name == name


def test_the_name_of_an_unknown_field_is_shown_only_so_far() -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        decode_strictly(DECODER, b'{"items": [], "' + b"x" * 5000 + b'": 1}')
    assert len(caught.value.message) < 300


def test_a_wrong_value_is_repeated_only_so_far_and_so_that_it_can_be_shown() -> None:
    for value, words in ((b"a\\u0000b\\n", "'a\\x00b\\n'"), (b"x" * 5000, "x…")):
        with pytest.raises(InvalidRequest) as caught:
            decode_strictly(DECODER, b'{"items": [], "mood": "' + value + b'"}')
        assert words in caught.value.message
        assert len(caught.value.message) < 400


def test_what_is_right_passes() -> None:
    assert decode_strictly(DECODER, b'{"items": [{"number": 1}]}') == Outer([Inner(1)])
