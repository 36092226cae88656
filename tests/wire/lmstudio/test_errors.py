from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.errors import (
    BridgeError,
    BrokenAnswer,
    ContextExceeded,
    EngineCrashed,
    JobNotFound,
    LoadFailed,
    ModelGone,
    ModelNotFound,
    PreviousResponseNotFound,
    ProviderNeedsKey,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
    RouteNotFound,
    WrongModelKind,
)
from lmbridge.wire.lmstudio.errors import decode_failure, explain

TOO_LONG = (
    "The number of tokens to keep from the initial prompt is greater than the context length. "
    "Try to load the model with a larger context length, or provide a shorter input"
)


def text(words: str) -> dict[str, object]:
    return {"error": words}


def native(words: str, type: str, code: str | None = None, param: str | None = None) -> dict[str, object]:
    return {"error": {"message": words, "type": type, "code": code, "param": param}}


def anthropic(words: str, type: str = "api_error") -> dict[str, object]:
    return {"type": "error", "error": {"type": type, "message": words}}


SEEN: list[tuple[int | None, dict[str, object], type[BridgeError], str]] = [
    (200, text("Unexpected endpoint or method. (GET /api/v1/models)"), RouteNotFound, "GET /api/v1/models"),
    (None, text("Unexpected endpoint or method. Returning 200 anyway"), RouteNotFound, "Update LM Studio"),
    (400, text(TOO_LONG), ContextExceeded, "--context-length"),
    (500, native(TOO_LONG, "internal_error", "unknown"), ContextExceeded, "larger"),
    (500, anthropic(TOO_LONG), ContextExceeded, "Shorten it"),
    (None, {"error": {"message": "Context size has been exceeded."}, "message": "x"}, ContextExceeded, "fit"),
    (
        400,
        text("Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded "
             "with context length of only 4096 tokens, which is not enough."),
        ContextExceeded, "5,000 tokens and the loaded context has room for 4,096",
    ),
    (500, text(f"{TOO_LONG} (n_keep: 5000>= n_ctx: 4096)"), ContextExceeded, "5,000 tokens"),
    (
        500,
        text('Engine protocol predict request returned 400: {"error": {"message": "Context size has been '
             'exceeded.", "type": "exceed_context_size_error"}}'),
        ContextExceeded, "--context-length",
    ),
    (400, native('Invalid model identifier "x". There are no such models', "invalid_request_error",
                 "model_not_found", "model"), ModelNotFound, "Invalid model identifier"),
    (404, native("Model foo does not exist", "model_not_found"), ModelNotFound, "lmbridge ls"),
    (404, native('Model "foo" not found. Available: a, b', "invalid_request"), ModelNotFound, "lmbridge ls"),
    (400, native("No models loaded. Please load a model in the developer page.", "invalid_request_error",
                 None, "model"), ModelNotFound, "lmbridge load MODEL"),
    (400, text("The model has crashed without more words. (Exit code: 11)"), EngineCrashed, "code: 11"),
    (500, native("Model loading was stopped due to insufficient system resources.", "model_load_failed"),
     LoadFailed, "guardrails"),
    (500, native("error loading model architecture", "model_load_failed"), LoadFailed, "lmbridge lmstudio log"),
    (500, native("something odd", "model_load_failed"), LoadFailed, "something odd"),
    (400, text("Failed to load model 'm'. Error: nope"), LoadFailed, "nope"),
    (400, text("Model m is not embedding"), WrongModelKind, "embeddings"),
    (400, text("Model m is not llm"), WrongModelKind, "a chat"),
    (400, text("Model was unloaded while the request was still in queue."), ModelGone, "Send the request again"),
    (400, native("Previous response resp_1 not found. Responses older than 30 days are deleted",
                 "invalid_request", "invalid_value", "previous_response_id"), PreviousResponseNotFound, "30 days"),
    (400, native("None such", "invalid_request_error", "previous_response_not_found"), PreviousResponseNotFound,
     "30 days"),
    (404, native("Job job_1 not found", "job_not_found"), JobNotFound, "Start it again"),
    (404, native("Job job_1 not found", "job_not_found", "job_not_found"), JobNotFound, "Start it again"),
    (401, native("Malformed LM Studio API token provided: sk-lm-abcd***", "invalid_request", "invalid_api_key"),
     ProviderNeedsKey, "LM_API_TOKEN"),
    (403, native("Permission denied to use plugin 'mcp/x'", "invalid_request", None, "integrations"),
     ProviderNeedsKey, "that permission"),
    (None, native("An LM Studio API token is required", "invalid_request", "invalid_api_key"),
     ProviderNeedsKey, "Manage Tokens"),
    (400, native("Unrecognized key(s) in object: 'ttl'", "invalid_request", "unrecognized_keys"),
     ProviderRefused, "Unrecognized key"),
    (500, text('Engine protocol predict request returned 400: {"error": {"message": "bad grammar"}}'),
     ProviderRefused, "^LM Studio answers with status 400: bad grammar"),
    (500, text("Engine protocol predict request returned 503: come back later"), ProviderRefused, "come back"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"), SEEN, ids=lambda v: v if isinstance(v, str) else None
)
def test_every_observed_error_is_known_for_what_it_is(
    status: int | None, body: dict[str, object], kind: type[BridgeError], words: str
) -> None:
    error = decode_failure(status, json.dumps(body).encode(), "lmstudio", "m")
    assert type(error) is kind
    with pytest.raises(kind, match=words):
        raise error
    assert "sk-lm" not in str(error)
    assert str(error).startswith(error.message)


def test_an_unwrapped_refusal_of_the_engine_has_the_engines_status() -> None:
    body = b'{"error": "Engine protocol predict request returned 400: {\\"error\\": {\\"message\\": \\"bad\\"}}"}'
    error = decode_failure(500, body, "p")
    assert isinstance(error, ProviderRefused)
    assert (error.status, error.message) == (400, "LM Studio answers with status 400: bad")


def test_an_error_told_in_its_own_words_says_whose_they_are() -> None:
    broken = explain(ProviderRefused("p", 500, "odd"))
    assert str(broken) == (
        "LM Studio answers with status 500: odd `lmbridge lmstudio log` shows what LM Studio says about it."
    )
    assert explain(broken) is not None
    assert str(explain(broken)) == str(broken)
    assert str(explain(ProviderRefused("p", None, "odd"))).startswith("LM Studio reports an error: odd")
    assert str(explain(ProviderRefused("p", 400, "odd"))) == "LM Studio answers with status 400: odd"


def test_facts_are_told_where_they_are_known() -> None:
    gone = decode_failure(400, b'{"error": "Model unloaded."}', "p", "m")
    assert isinstance(gone, ModelGone)
    assert (gone.provider, gone.name) == ("p", "m")
    missing = decode_failure(404, b'{"error": {"message": "no", "code": "model_not_found"}}', "p", "m")
    assert isinstance(missing, ModelNotFound)
    assert (missing.name, missing.known, missing.param) == ("m", (), "model")
    unnamed = decode_failure(404, b'{"error": {"message": "no", "code": "model_not_found"}}', "p")
    assert unnamed.message == "no"


def test_connection_errors_name_the_command_and_the_setting_of_lm_studio() -> None:
    down = explain(ProviderUnavailable("p", "nothing answers at h:1"))
    assert "lmbridge lmstudio start" in str(down)
    assert explain(down) is down
    for phase, words in {
        "connect": "lmbridge lmstudio start",
        "first byte": "`first_byte_timeout` of",
        "idle": "`idle_timeout` of",
        "load": "`load_timeout` of",
        "answer": "`ask_timeout` of",
    }.items():
        error = explain(ProviderTimeout("p", phase, 3.0))
        assert words in error.hint
        assert words in str(error)


def test_what_needs_no_explanation_stays_as_it_is() -> None:
    named = ProviderRefused("p", 400, "LM Studio says that it is odd")
    for error in (BrokenAnswer("p", "cut"), named, ModelNotFound("a", ("b",))):
        before = str(error)
        assert explain(error, "m") is error
        assert str(error) == before


@given(st.binary(), st.one_of(st.none(), st.integers(200, 599)))
def test_any_bytes_are_an_error_of_ours(body: bytes, status: int | None) -> None:
    assert isinstance(decode_failure(status, body, "p"), BridgeError)
