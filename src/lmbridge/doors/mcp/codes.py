"""Which JSON-RPC code belongs to which error: this door's one table.

A tool that fails answers with a result that says so; these are for what is no tool, such as a resource. The codes
are JSON-RPC's own, and those that MCP has beside them
(https://modelcontextprotocol.io/specification/2025-11-25/basic#error-codes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lmbridge.core.errors import BridgeError

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
INVALID_PARAMS: Final = -32602
INTERNAL: Final = -32603
NOT_FOUND: Final = -32002
UNAVAILABLE: Final = -32003
"""Ours, of the range that servers may use: what was asked is right, and cannot be had now."""
REFUSED: Final = -32004
"""Ours too: who asks may not."""

CODES: Final[Mapping[str, int]] = {
    "internal_error": INTERNAL,
    "invalid_request": INVALID_PARAMS,
    "unsupported_parameter": INVALID_PARAMS,
    "too_deep": REFUSED,
    "request_too_large": INVALID_REQUEST,
    "unsupported_media_type": INVALID_REQUEST,
    "unauthorized": REFUSED,
    "forbidden": REFUSED,
    "route_not_found": NOT_FOUND,
    "method_not_allowed": INVALID_REQUEST,
    "model_not_found": NOT_FOUND,
    "model_not_loaded": UNAVAILABLE,
    "no_models": NOT_FOUND,
    "wrong_model_kind": INVALID_PARAMS,
    "bad_model_file": UNAVAILABLE,
    "not_enough_memory": UNAVAILABLE,
    "no_space": UNAVAILABLE,
    "context_length_exceeded": INVALID_PARAMS,
    "response_not_found": NOT_FOUND,
    "previous_response_not_found": NOT_FOUND,
    "engine_missing": UNAVAILABLE,
    "load_failed": UNAVAILABLE,
    "engine_crashed": UNAVAILABLE,
    "provider_unavailable": UNAVAILABLE,
    "provider_refused": UNAVAILABLE,
    "provider_needs_key": UNAVAILABLE,
    "foreign_server": UNAVAILABLE,
    "wrong_model": UNAVAILABLE,
    "model_gone": UNAVAILABLE,
    "runtime_missing": UNAVAILABLE,
    "missing_extra": UNAVAILABLE,
    "command_failed": UNAVAILABLE,
    "tool_server_not_found": NOT_FOUND,
    "tool_server_unavailable": UNAVAILABLE,
    "tool_server_not_allowed": REFUSED,
    "download_failed": UNAVAILABLE,
    "job_not_found": NOT_FOUND,
    "broken_answer": UNAVAILABLE,
    "provider_timeout": UNAVAILABLE,
    "model_busy": UNAVAILABLE,
    "shutting_down": UNAVAILABLE,
    "config_invalid": INTERNAL,
    "address_in_use": INTERNAL,
    "unsafe_bind": INTERNAL,
    "not_running": UNAVAILABLE,
    "already_running": INTERNAL,
    "cancelled": INTERNAL,
}

STATUS: Final[Mapping[str, int]] = {
    "invalid_request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "route_not_found": 404,
    "method_not_allowed": 405,
    "request_too_large": 413,
    "unsupported_media_type": 415,
}
"""HTTP statuses of what is refused before any message is looked at; the others are inside of an answer."""


def code_of(error: BridgeError) -> int:
    """The JSON-RPC code of an error."""
    return CODES[error.code]


def details_of(error: BridgeError) -> dict[str, str]:
    """What is known of an error beside its words, for programs."""
    found = {"code": error.code, "hint": error.hint, "param": error.param or ""}
    return {key: value for key, value in found.items() if value}
