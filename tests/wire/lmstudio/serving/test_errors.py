from __future__ import annotations

import json

import pytest

from lmbridge.core.errors import (
    BridgeError,
    ContextExceeded,
    Forbidden,
    InvalidRequest,
    JobNotFound,
    ModelNotFound,
    PreviousResponseNotFound,
    ProviderNeedsKey,
    ProviderRefused,
    ToolServerNotFound,
    ToolServerUnavailable,
    Unauthorized,
    UnsupportedParameter,
    all_errors,
    error_from_code,
)
from lmbridge.wire.lmstudio.errors import decode_failure
from lmbridge.wire.lmstudio.serving.errors import TYPES, as_asked, error_body, unexpected


def told(error: BridgeError, *, quirks: bool = False) -> dict[str, object]:
    found = json.loads(error_body(error, quirks=quirks))["error"]
    assert isinstance(found, dict)
    return found


def test_every_error_has_a_type_here() -> None:
    assert set(TYPES) == {error.code for error in all_errors()}


@pytest.mark.parametrize(
    ("error", "kind", "code", "param"),
    [
        (
            InvalidRequest("x", param="m", flaw="missing"),
            "invalid_request",
            "missing_required_parameter",
            "m",
        ),
        (InvalidRequest("x", param="ttl", flaw="unknown"), "invalid_request", "unrecognized_keys", "ttl"),
        (InvalidRequest("x", param="input", flaw="forms"), "invalid_request", "invalid_union", "input"),
        (InvalidRequest("x", param="top_k"), "invalid_request", "invalid_request", "top_k"),
        (ModelNotFound("m", ()), "model_not_found", "model_not_found", "model"),
        (JobNotFound("job_1"), "job_not_found", "job_not_found", None),
        (PreviousResponseNotFound("resp_1"), "invalid_request", "invalid_value", "previous_response_id"),
        (ToolServerUnavailable("x", "y"), "mcp_connection_error", "tool_server_unavailable", None),
        (ToolServerNotFound("x", ()), "plugin_connection_error", "tool_server_not_found", None),
        (Forbidden("x", param="integrations"), "invalid_request", None, "integrations"),
        (UnsupportedParameter("num_experts"), "invalid_request", "unsupported_parameter", "num_experts"),
        (ContextExceeded(9, 5), "invalid_request", "context_length_exceeded", "messages"),
        (ProviderRefused("p", 422, "no"), "invalid_request", "provider_refused", None),
        (ProviderRefused("p", None, "no"), "internal_error", "provider_refused", None),
    ],
)
def test_an_error_has_lm_studios_words_for_what_it_is(
    error: BridgeError, kind: str, code: str | None, param: str | None
) -> None:
    for quirks in (False, True):
        if quirks and isinstance(error, ContextExceeded):
            continue
        found = told(error, quirks=quirks)
        assert list(found)[:4] == ["message", "type", "code", "param"]
        assert (found["type"], found["code"], found["param"]) == (kind, code, param)


def test_the_message_ends_with_the_hint_unless_lm_studio_is_followed_to_the_letter() -> None:
    error = InvalidRequest("It is wrong.", hint="Mend it.")
    assert told(error)["message"] == "It is wrong. Mend it."
    assert told(error)["hint"] == "Mend it."
    assert told(error, quirks=True)["message"] == "It is wrong."
    assert "hint" not in told(error, quirks=True)


def test_a_refused_key_has_an_order_of_its_own_and_no_param() -> None:
    assert list(told(Unauthorized())) == ["type", "code", "message"]
    assert told(Unauthorized())["code"] == "invalid_api_key"
    assert str(told(Unauthorized(), quirks=True)["message"]).startswith("An LM Studio API token is required")
    assert isinstance(decode_failure(401, error_body(Unauthorized()), "p"), ProviderNeedsKey)


def test_too_long_a_prompt_is_a_mistake_of_the_caller_or_as_lm_studio_has_it_of_the_server() -> None:
    error = ContextExceeded(5000, 4096)
    assert told(error, quirks=True) == {
        "message": "The number of tokens to keep of the prompt is greater than the context length"
        " (n_keep: 5000>= n_ctx: 4096).",
        "type": "internal_error",
        "code": "unknown",
        "param": None,
    }
    for quirks in (False, True):
        read = decode_failure(500, error_body(error, quirks=quirks), "p")
        assert isinstance(read, ContextExceeded)
    told_in_words = error_from_code("context_length_exceeded", "Too long.")
    assert told_in_words is not None
    assert str(told(told_in_words, quirks=True)["message"]).endswith("greater than the context length.")


def test_an_unknown_earlier_answer_is_told_with_its_age_as_lm_studio_does() -> None:
    assert "30 days" in str(told(PreviousResponseNotFound("resp_1"), quirks=True)["message"])


@pytest.mark.parametrize(
    ("param", "field"),
    [
        ("messages", "input"),
        ("messages[0].content[1]", "input"),
        ("max_tokens", "max_output_tokens"),
        ("reasoning_effort", "reasoning"),
        ("model", "model"),
        (None, None),
    ],
)
def test_a_field_is_blamed_by_the_name_it_has_in_a_native_chat(param: str | None, field: str | None) -> None:
    assert as_asked(InvalidRequest("x", param=param)).param == field


def test_an_unknown_route_is_told_in_these_bytes() -> None:
    assert unexpected("POST", "/v1/tokenize") == b'{"error":"Unexpected endpoint or method. (POST /v1/tokenize)"}'
