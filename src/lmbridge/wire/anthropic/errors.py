"""Errors in Anthropic's form: `{"type": "error", "error": {"type", "message", "details"}}`.

`details.error_code` is where Anthropic's package looks for a stable code; ours stands there, with the hint. The
message ends with the hint too, since most clients show nothing else.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from lmbridge.core.errors import BridgeError, ContextExceeded, ProviderRefused, UnsupportedParameter

ErrorType: TypeAlias = Literal[
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "api_error",
    "overloaded_error",
    "timeout_error",
]

TYPES: Final[dict[str, ErrorType]] = {
    "internal_error": "api_error",
    "invalid_request": "invalid_request_error",
    "unsupported_parameter": "invalid_request_error",
    "request_too_large": "request_too_large",
    "unsupported_media_type": "invalid_request_error",
    "unauthorized": "authentication_error",
    "forbidden": "permission_error",
    "route_not_found": "not_found_error",
    "method_not_allowed": "invalid_request_error",
    "model_not_found": "not_found_error",
    "model_not_loaded": "not_found_error",
    "no_models": "not_found_error",
    "wrong_model_kind": "invalid_request_error",
    "bad_model_file": "api_error",
    "not_enough_memory": "api_error",
    "no_space": "api_error",
    "context_length_exceeded": "invalid_request_error",
    "response_not_found": "not_found_error",
    "previous_response_not_found": "invalid_request_error",
    "engine_missing": "api_error",
    "load_failed": "api_error",
    "engine_crashed": "api_error",
    "provider_unavailable": "overloaded_error",
    "provider_refused": "api_error",
    "provider_needs_key": "api_error",
    "foreign_server": "api_error",
    "wrong_model": "api_error",
    "model_gone": "overloaded_error",
    "runtime_missing": "api_error",
    "missing_extra": "api_error",
    "too_deep": "invalid_request_error",
    "tool_server_unavailable": "api_error",
    "tool_server_not_found": "not_found_error",
    "tool_server_not_allowed": "permission_error",
    "command_failed": "api_error",
    "download_failed": "api_error",
    "job_not_found": "not_found_error",
    "broken_answer": "api_error",
    "provider_timeout": "timeout_error",
    "model_busy": "rate_limit_error",
    "shutting_down": "overloaded_error",
    "config_invalid": "api_error",
    "address_in_use": "api_error",
    "unsafe_bind": "api_error",
    "already_running": "api_error",
    "not_running": "api_error",
    "cancelled": "api_error",
}
"""The `type` of each code. Clients look at the HTTP status first, inside a stream at this alone: Claude Code
asks again after an `overloaded_error`, so that is what passes by itself."""

OF_STATUS: Final[dict[int, ErrorType]] = {
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
"""The `type` of what a provider refused, by the status it gave; other statuses from 400 blame the request."""

REFUSALS: Final[dict[str | None, str]] = {"thread": "thread_unsupported_request"}
"""Refused fields for which Anthropic has a code of its own: at this one its package's tool runner asks again and
sends the whole conversation."""


class ErrorDetails(Struct, frozen=True, omit_defaults=True):
    """What is known beside the words.

    Attributes:
        error_code: our stable code, or Anthropic's where its clients act upon it.
    """

    error_code: str
    hint: str = ""
    param: str | None = None


class ErrorShown(Struct, frozen=True):
    """An error."""

    type: ErrorType
    message: str
    details: ErrorDetails


class AnthropicError(Struct, frozen=True, tag="error"):
    """The body of every error, and the data of the event `error`."""

    error: ErrorShown


_encode: Final = msgspec.json.Encoder().encode


def error_body(error: BridgeError) -> bytes:
    """The body of an error answer."""
    kind = TYPES.get(error.code, "api_error")
    if isinstance(error, ProviderRefused) and (status := getattr(error, "status", None)):
        kind = OF_STATUS.get(status, "invalid_request_error" if 400 <= status < 500 else kind)
    code = REFUSALS.get(error.param, error.code) if isinstance(error, UnsupportedParameter) else error.code
    details = ErrorDetails(code, error.hint, error.param)
    return _encode(AnthropicError(ErrorShown(kind, _words(error), details)))


def error_event(error: BridgeError) -> bytes:
    """The same as the last event of a stream that fails. Nothing may follow it."""
    return b"event: error\ndata: " + error_body(error) + b"\n\n"


def _words(error: BridgeError) -> str:
    message = error.message
    # An error of another lmbridge has its facts in the wording alone.
    if isinstance(error, ContextExceeded) and hasattr(error, "prompt_tokens"):
        # Anthropic's own words: by them Claude Code and others know that they have to shorten the conversation.
        message = f"prompt is too long: {error.prompt_tokens} tokens > {error.context_length} maximum."
    elif isinstance(error, ContextExceeded):
        message = f"prompt is too long: {message}"
    return f"{message} {error.hint}".rstrip()
