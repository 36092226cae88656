from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.errors import (
    BridgeError,
    ContextExceeded,
    InvalidRequest,
    ModelNotFound,
    ProviderNeedsKey,
    ProviderRefused,
    Unauthorized,
    UnsupportedParameter,
    all_errors,
    error_from_code,
)
from lmbridge.wire.openai.errors import MAX_MESSAGE, TYPES, ErrorType, decode_error, error_body, error_event


def test_every_error_has_a_type() -> None:
    assert set(TYPES) == {error.code for error in all_errors()}
    assert set(TYPES.values()) <= set(get_args(ErrorType))


def test_an_error_is_written_in_openais_form() -> None:
    error = UnsupportedParameter("x", "Because.")
    assert json.loads(error_body(error)) == {
        "error": {
            "message": "Unsupported parameter 'x'. Because. Leave it out.",
            "type": "invalid_request_error",
            "param": "x",
            "code": "unsupported_parameter",
            "hint": "Leave it out.",
        }
    }
    assert error_event(error) == b"data: " + error_body(error) + b"\n\n"


def test_numbers_of_a_long_prompt_are_written_as_llama_cpp_does() -> None:
    shown = json.loads(error_body(ContextExceeded(9, 5)))["error"]
    assert (shown["n_prompt_tokens"], shown["n_ctx"], shown["param"]) == (9, 5, "messages")
    second_hand = error_from_code("context_length_exceeded", "too long")
    assert second_hand is not None
    assert "n_ctx" not in json.loads(error_body(second_hand))["error"]


def test_what_a_provider_refused_is_the_callers_fault_where_its_status_says_so() -> None:
    for status, kind in ((400, "invalid_request_error"), (500, "server_error"), (None, "server_error")):
        assert json.loads(error_body(ProviderRefused("p", status, "x")))["error"]["type"] == kind


@pytest.mark.parametrize(
    "error", [InvalidRequest("a", hint="b", param="c"), ModelNotFound("x", ["xy"]), Unauthorized()]
)
def test_our_own_errors_survive_the_way_there_and_back(error: BridgeError) -> None:
    back = decode_error(400, error_body(error), "p")
    assert type(back) is type(error)
    assert (back.message, back.hint, back.param, str(back)) == (error.message, error.hint, error.param, str(error))


def test_a_long_prompt_survives_with_its_numbers() -> None:
    back = decode_error(400, error_body(ContextExceeded(9, 5)), "p")
    assert isinstance(back, ContextExceeded)
    assert (back.prompt_tokens, back.context_length) == (9, 5)


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 5 tokens. However, your messages resulted in 9 tokens. Please …",
        "'max_tokens' is too large. The model's maximum context length is 5 tokens and you asked for 9 tokens.",
        "Trying to keep the first tokens (n_keep: 9>= n_ctx: 5)",
    ],
)
def test_a_long_prompt_is_known_by_the_words_of_other_servers(message: str) -> None:
    for body in ({"error": {"message": message}}, {"error": message}, {"message": message}):
        error = decode_error(400, json.dumps(body).encode(), "p")
        assert isinstance(error, ContextExceeded)
        assert (error.prompt_tokens, error.context_length) == (9, 5)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (400, b'{"error": {"message": "Bad thing.", "param": "x"}}', "Bad thing."),
        (400, b'{"error": "Bad thing."}', "Bad thing."),
        (400, b'{"message": "Bad thing."}', "Bad thing."),
        (422, b'{"detail": "Bad thing."}', "Bad thing."),
        (422, b'{"detail": [{"loc": ["x"]}]}', "The provider 'p' answered with status 422."),
        (400, b'{"error": {"message": null, "code": []}}', "The provider 'p' answered with status 400."),
        (400, b'{"error": {}}', "The provider 'p' answered with status 400."),
        (500, b"[]", "The provider 'p' answered with status 500 and the words: []."),
        (502, b"<html>Bad gateway</html>", "status 502 and a web page"),
        (502, b"upstream is gone", "and the words: upstream is gone."),
        (502, b"", "status 502 and nothing else"),
        (None, b"", "with an error and nothing else"),
        (502, b"\xff\xfe", "the words: "),
        (500, b'{"error": {"message": "a\\u001b[31mb\\u0000\\nc\\u2028d"}}', "a [31mb \nc d"),
        (500, '{"error": {"message": "a\u202eb\u2066c\ufeffd\uffffe"}}'.encode(), "a b c d e"),
        (500, b"[" * 100_000, "the words: ["),
        (400, b'{"error": {"message": "mine", "code": "provider_refused"}}', "mine"),
        (400, b'{"error": {"message": "odd", "code": "odd_code"}}', "odd"),
    ],
)
def test_an_error_is_passed_on_in_the_providers_words(status: int | None, body: bytes, words: str) -> None:
    error = decode_error(status, body, "p")
    assert isinstance(error, ProviderRefused)
    assert words in error.message
    assert (error.provider, error.status) == ("p", status)
    assert len(error.message) < MAX_MESSAGE + 100


def test_the_errors_of_the_engine_are_understood() -> None:
    recorded = Path(__file__).parents[2] / "transcripts"
    error = decode_error(400, (recorded / "llama-context-exceeded.json").read_bytes(), "p")
    assert isinstance(error, ContextExceeded)
    assert (error.prompt_tokens, error.context_length) == (10008, 2048)
    error = decode_error(500, (recorded / "llama-embedding-too-long.json").read_bytes(), "p")
    assert isinstance(error, ContextExceeded)
    assert (error.prompt_tokens, error.context_length) == (3002, 1024)
    error = decode_error(400, (recorded / "llama-wrong-field.json").read_bytes(), "p")
    assert "Field 'n'" in error.message


def test_the_status_of_an_error_in_a_stream_is_taken_from_the_error() -> None:
    error = decode_error(None, b'{"error": {"code": 503, "message": "x"}}', "p")
    assert isinstance(error, ProviderRefused)
    assert error.status == 503
    error = decode_error(None, b'{"error": {"code": 7, "message": "x"}}', "p")
    assert isinstance(error, ProviderRefused)
    assert error.status is None


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    "body", [b'{"error": {"message": "Incorrect API key provided: sk-sesame"}}', b"sk-sesame"]
)
def test_part_of_a_key_that_a_server_repeats_is_not_passed_on(status: int, body: bytes) -> None:
    error = decode_error(status, body, "p")
    assert isinstance(error, ProviderNeedsKey)
    assert error.status == status
    assert "sesame" not in str(error)
    assert "API key" in str(error)


@given(st.binary(), st.none() | st.integers(100, 599))
def test_any_bytes_are_an_error_of_ours(body: bytes, status: int | None) -> None:
    assert isinstance(decode_error(status, body, "p"), BridgeError)
    assert json.loads(error_body(decode_error(status, body, "p")))


def test_a_refused_key_inside_a_stream_is_told_without_the_words() -> None:
    body = (
        b'{"error": {"type": "invalid_request", "code": "invalid_api_key", "message": "Malformed: sk-lm-abc***"}}'
    )
    error = decode_error(None, body, "p")
    assert isinstance(error, ProviderNeedsKey)
    assert "sk-lm" not in str(error)


def test_when_to_ask_again_is_a_fact_and_a_hint() -> None:
    error = decode_error(429, b'{"error": {"message": "Slowly."}}', "cloud", 20)
    assert isinstance(error, ProviderRefused)
    assert (error.retry_after, error.message, error.hint) == (20, "Slowly.", "Try again in 20 seconds.")
    text = decode_error(503, b"busy", "cloud", 1)
    assert isinstance(text, ProviderRefused)
    assert (text.retry_after, text.hint) == (1, "Try again in 1 second.")
    at_once = decode_error(503, b"busy", "cloud", 0)
    assert at_once.hint == "Try again."


def test_when_to_ask_again_is_said_once_behind_another_lmbridge() -> None:
    there = decode_error(429, b'{"error": {"message": "Slowly."}}', "cloud", 20)
    here = decode_error(429, error_body(there), "gateway", 20)
    assert str(here) == str(there) == "Slowly. Try again in 20 seconds."
