from __future__ import annotations

import pytest

from lmbridge.core.errors import (
    BridgeError,
    InvalidRequest,
    ModelNotFound,
    RequestTooLarge,
    UnsupportedMediaType,
    all_errors,
    error_from_code,
)


def test_every_code_belongs_to_one_class() -> None:
    codes = [error.code for error in all_errors()]
    assert len(codes) == len(set(codes))


def test_an_error_says_what_is_wrong_and_then_what_to_do() -> None:
    error = BridgeError("It is broken.", hint="Mend it.", param="thing")
    assert (str(error), error.message, error.hint, error.param) == (
        "It is broken. Mend it.",
        "It is broken.",
        "Mend it.",
        "thing",
    )
    assert str(InvalidRequest("Wrong.")) == "Wrong."


def test_numbers_and_foreign_text_are_shown_in_a_readable_length() -> None:
    assert "1,048,576 bytes" in str(RequestTooLarge(2**20))
    assert len(str(UnsupportedMediaType("x" * 10_000))) < 250
    assert "not none" in str(UnsupportedMediaType(""))


def test_an_error_of_another_lmbridge_comes_back_as_the_class_it_was() -> None:
    error = error_from_code("model_not_found", "No model.", "Look again.", "model")
    assert isinstance(error, ModelNotFound)
    assert (str(error), error.hint, error.param) == ("No model. Look again.", "Look again.", "model")


@pytest.mark.parametrize("code", ["internal_error", "invented", ""])
def test_a_code_of_somebody_else_is_left_to_the_caller(code: str) -> None:
    assert error_from_code(code, "x") is None
