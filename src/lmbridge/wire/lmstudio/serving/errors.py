"""Errors as LM Studio's own API writes them (`/api/v1`, `/api/v0`).

`{"error": {"message", "type", "code", "param"}}`, the type one of a few. Where LM Studio has a code of its own
for a mistake it is used, else ours. A refused key has no `param` and its fields in another order, as seen there.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from lmbridge.core.errors import (
    BridgeError,
    ContextExceeded,
    Forbidden,
    InvalidRequest,
    PreviousResponseNotFound,
    ProviderRefused,
    Unauthorized,
)

TYPES: Final[dict[str, str]] = {
    "internal_error": "internal_error",
    "invalid_request": "invalid_request",
    "unsupported_parameter": "invalid_request",
    "request_too_large": "invalid_request",
    "unsupported_media_type": "invalid_request",
    "unauthorized": "invalid_request",
    "forbidden": "invalid_request",
    "route_not_found": "invalid_request",
    "method_not_allowed": "invalid_request",
    "model_not_found": "model_not_found",
    "model_not_loaded": "model_not_found",
    "no_models": "model_not_found",
    "wrong_model_kind": "invalid_request",
    "bad_model_file": "model_load_failed",
    "not_enough_memory": "model_load_failed",
    "no_space": "internal_error",
    "context_length_exceeded": "invalid_request",
    "response_not_found": "invalid_request",
    "previous_response_not_found": "invalid_request",
    "engine_missing": "model_load_failed",
    "load_failed": "model_load_failed",
    "engine_crashed": "internal_error",
    "provider_unavailable": "internal_error",
    "provider_refused": "internal_error",
    "provider_needs_key": "internal_error",
    "foreign_server": "internal_error",
    "wrong_model": "internal_error",
    "model_gone": "internal_error",
    "runtime_missing": "internal_error",
    "missing_extra": "internal_error",
    "too_deep": "invalid_request",
    "tool_server_unavailable": "mcp_connection_error",
    "tool_server_not_found": "plugin_connection_error",
    "tool_server_not_allowed": "invalid_request",
    "command_failed": "internal_error",
    "download_failed": "internal_error",
    "job_not_found": "job_not_found",
    "broken_answer": "internal_error",
    "provider_timeout": "internal_error",
    "model_busy": "invalid_request",
    "shutting_down": "internal_error",
    "config_invalid": "internal_error",
    "address_in_use": "internal_error",
    "unsafe_bind": "internal_error",
    "already_running": "internal_error",
    "not_running": "internal_error",
    "cancelled": "internal_error",
}
"""The `type` of each code; the words are LM Studio's."""

_CODES: Final = {
    "missing": "missing_required_parameter",
    "unknown": "unrecognized_keys",
    "forms": "invalid_union",
}
_FIELDS: Final = {"messages": "input", "max_tokens": "max_output_tokens", "reasoning_effort": "reasoning"}
"""What a provider finds wrong in core's words, and the field of a native chat that it is."""
_encode: Final = msgspec.json.Encoder().encode


class ErrorObject(Struct):
    """What stands under `error`. *hint* is ours, and absent where LM Studio is followed to the letter."""

    message: str
    type: str
    code: str | None
    param: str | None
    hint: str | UnsetType = UNSET


class KeyErrorObject(Struct):
    """What stands under `error` where a key is missing or refused."""

    type: str
    code: str
    message: str


def describe(error: BridgeError, *, quirks: bool = False) -> ErrorObject:
    """An error as the object that stands under `error`.

    Args:
        quirks: as LM Studio has it also where that is a trap for its clients.
    """
    said = error.message if quirks else f"{error.message} {error.hint}".rstrip()
    told = ErrorObject(said, _type(error), _code(error), error.param)
    if not quirks:
        told.hint = error.hint
        return told
    return _faithful(error, told)


def as_asked(error: BridgeError) -> BridgeError:
    """An error of a native chat, with the field to blame as it is called there."""
    head = (error.param or "").partition("[")[0]
    error.param = _FIELDS.get(head, error.param)
    return error


def _type(error: BridgeError) -> str:
    if isinstance(error, ProviderRefused) and 400 <= (error.status or 0) < 500:
        return "invalid_request"
    return TYPES.get(error.code, "internal_error")


def _code(error: BridgeError) -> str | None:
    if isinstance(error, InvalidRequest) and error.flaw:
        return _CODES[error.flaw]
    if isinstance(error, PreviousResponseNotFound):
        return "invalid_value"
    if isinstance(error, Forbidden) and error.param == "integrations":
        return None  # as LM Studio has it where a permission is missing
    return error.code


def _faithful(error: BridgeError, told: ErrorObject) -> ErrorObject:
    """As LM Studio puts it, where that differs by more than a hint."""
    if isinstance(error, Unauthorized):
        told.message = "An LM Studio API token is required for this request."
    elif isinstance(error, PreviousResponseNotFound):
        told.message += " Responses older than 30 days are deleted."
    elif isinstance(error, ContextExceeded):
        told.message = (
            f"The number of tokens to keep of the prompt is greater than the context length{_numbers(error)}."
        )
        told.type, told.code, told.param = "internal_error", "unknown", None
    return told


def _numbers(error: ContextExceeded) -> str:
    if not hasattr(error, "prompt_tokens"):  # another lmbridge told it in words alone
        return ""
    return f" (n_keep: {error.prompt_tokens}>= n_ctx: {error.context_length})"


def error_body(error: BridgeError, *, quirks: bool = False) -> bytes:
    """The body of an error answer."""
    told = describe(error, quirks=quirks)
    if isinstance(error, Unauthorized):
        return _encode({"error": KeyErrorObject(told.type, "invalid_api_key", told.message)})
    return _encode({"error": told})


def unexpected(method: str, path: str) -> bytes:
    """What LM Studio answers, with status 200, to a route that it does not know."""
    return _encode({"error": f"Unexpected endpoint or method. ({method} {path})"})
