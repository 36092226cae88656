from __future__ import annotations

import json
from typing import get_args

import pytest

from lmbridge.core.errors import (
    BridgeError,
    ContextExceeded,
    InvalidRequest,
    ModelNotFound,
    ProviderRefused,
    UnsupportedParameter,
    all_errors,
    error_from_code,
)
from lmbridge.wire.anthropic.errors import TYPES, ErrorType, error_body, error_event


def shown(error: BridgeError) -> dict[str, object]:
    body = json.loads(error_body(error))
    assert body["type"] == "error"
    error_shown = body["error"]
    assert isinstance(error_shown, dict)
    return error_shown


def test_every_error_has_a_type() -> None:
    assert set(TYPES) == {error.code for error in all_errors()}
    assert set(TYPES.values()) <= set(get_args(ErrorType))


def test_an_error_is_written_in_anthropics_form_with_our_code_in_its_details() -> None:
    error = UnsupportedParameter("x", "Because.")
    assert json.loads(error_body(error)) == {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": "Unsupported parameter 'x'. Because. Leave it out.",
            "details": {"error_code": "unsupported_parameter", "hint": "Leave it out.", "param": "x"},
        },
    }
    assert error_event(error) == b"event: error\ndata: " + error_body(error) + b"\n\n"


def test_the_refusal_of_a_thread_has_the_code_that_makes_the_package_do_without() -> None:
    for error, code in (
        (UnsupportedParameter("thread"), "thread_unsupported_request"),
        (InvalidRequest("x", param="thread"), "invalid_request"),
    ):
        details = shown(error)["details"]
        assert isinstance(details, dict)
        assert details["error_code"] == code


def test_an_unknown_model_is_not_found() -> None:
    assert shown(ModelNotFound("x", ["xy"]))["type"] == "not_found_error"


def test_a_long_prompt_is_told_in_the_words_that_clients_look_for() -> None:
    message = shown(ContextExceeded(5000, 4096))["message"]
    assert str(message).startswith("prompt is too long: 5000 tokens > 4096 maximum. Shorten it")


def test_a_long_prompt_that_another_gateway_told_of_keeps_its_words() -> None:
    second_hand = error_from_code("context_length_exceeded", "It has 9 tokens.")
    assert second_hand is not None
    assert shown(second_hand)["message"] == "prompt is too long: It has 9 tokens."


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (404, "not_found_error"),
        (429, "rate_limit_error"),
        (503, "overloaded_error"),
        (500, "api_error"),
        (None, "api_error"),
    ],
)
def test_what_a_provider_refused_is_the_callers_fault_where_its_status_says_so(
    status: int | None, kind: str
) -> None:
    assert shown(ProviderRefused("p", status, "x"))["type"] == kind
