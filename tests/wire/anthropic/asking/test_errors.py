from __future__ import annotations

import json

import pytest

from lmbridge.core.errors import (
    BridgeError,
    ContextExceeded,
    EngineCrashed,
    ModelNotFound,
    ProviderNeedsKey,
    ProviderRefused,
    ShuttingDown,
    UnsupportedParameter,
)
from lmbridge.wire.anthropic.asking.errors import STATUS, decode_refusal, is_error
from lmbridge.wire.anthropic.errors import error_body


def body(kind: object, message: object = "Said so.", **more: object) -> bytes:
    return json.dumps({"type": "error", "error": {"type": kind, "message": message, **more}}).encode()


@pytest.mark.parametrize("kind", ["authentication_error", "permission_error"])
@pytest.mark.parametrize("status", [401, 403, None])
def test_a_refused_key_is_not_repeated(kind: str, status: int | None) -> None:
    error = decode_refusal(status, body(kind, "invalid x-api-key: sk-ant-sesame"), "p")
    assert isinstance(error, ProviderNeedsKey)
    assert error.status == status
    assert "sesame" not in str(error)


@pytest.mark.parametrize(("status", "told"), [(429, 429), (529, 503), (500, 500), (400, 400), (413, 413)])
def test_the_status_is_kept_and_an_overloaded_server_has_one_that_all_understand(status: int, told: int) -> None:
    error = decode_refusal(status, body("whatever"), "p")
    assert isinstance(error, ProviderRefused)
    assert (error.status, error.message) == (told, "Said so.")


@pytest.mark.parametrize("kind", sorted(STATUS))
def test_in_a_stream_the_type_stands_for_the_status(kind: str) -> None:
    error = decode_refusal(None, body(kind), "p")
    assert isinstance(error, ProviderRefused)
    assert error.status == STATUS[kind]


def test_a_model_that_is_not_there_is_named() -> None:
    error = decode_refusal(404, body("not_found_error", "model: claude-x"), "p")
    assert isinstance(error, ModelNotFound)
    assert (error.name, error.where) == ("claude-x", "p")
    assert isinstance(decode_refusal(404, body("not_found_error", "Not found"), "p"), ProviderRefused)


def test_too_long_a_prompt_is_told_with_its_numbers() -> None:
    error = decode_refusal(
        400, body("invalid_request_error", "prompt is too long: 5000 tokens > 4096 maximum"), "p"
    )
    assert isinstance(error, ContextExceeded)
    assert (error.prompt_tokens, error.context_length) == (5000, 4096)


def test_the_room_for_the_answer_is_taken_from_the_context() -> None:
    text = "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, decrease input length"
    error = decode_refusal(400, body("invalid_request_error", text), "p")
    assert isinstance(error, ContextExceeded)
    assert (error.prompt_tokens, error.context_length) == (178959, 136000)


def test_too_long_a_prompt_without_numbers_is_one_all_the_same() -> None:
    error = decode_refusal(400, body("invalid_request_error", "prompt is too long"), "p")
    assert isinstance(error, ContextExceeded)
    assert not hasattr(error, "prompt_tokens")


@pytest.mark.parametrize(
    "error", [EngineCrashed("m", "signal 9"), ShuttingDown(), UnsupportedParameter("seed", hint="Leave it out.")]
)
def test_another_lmbridge_s_error_is_what_it_was_there(error: BridgeError) -> None:
    told = decode_refusal(502, error_body(error), "p")
    assert type(told) is type(error)
    assert (told.message, told.hint, told.param) == (error.message, error.hint, error.param)


@pytest.mark.parametrize("code", ["news", 7, "provider_refused"])
def test_a_code_that_says_nothing_leaves_the_words(code: object) -> None:
    error = decode_refusal(
        400, body("invalid_request_error", details={"error_code": code, "hint": 1, "param": 2}), "p"
    )
    assert isinstance(error, ProviderRefused)
    assert error.message == "Said so."


@pytest.mark.parametrize(
    "given", [b"<html>", b"", b"[]", b'{"error": "text"}', b'{"error": {"type": 7}}', b"[" * 10**5]
)
def test_what_is_not_of_the_family_is_an_error_all_the_same(given: bytes) -> None:
    error = decode_refusal(500, given, "p")
    assert isinstance(error, ProviderRefused)
    assert error.status == 500


def test_an_error_in_openai_s_form_is_understood_too() -> None:
    given = b'{"error": {"message": "Soon back.", "code": "shutting_down"}}'
    assert isinstance(decode_refusal(503, given, "p"), ShuttingDown)


def test_what_is_an_error_is_known() -> None:
    assert is_error(body("x"))
    assert not is_error(b'{"type": "message"}')
    assert not is_error(b"<")


def test_when_to_ask_again_is_kept() -> None:
    body = b'{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}'
    error = decode_refusal(529, body, "claude", 7)
    assert isinstance(error, ProviderRefused)
    assert (error.status, error.retry_after, str(error)) == (503, 7, "Overloaded Try again in 7 seconds.")
