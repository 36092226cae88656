"""Which exit code each error ends the program with: this door's one table from `code` to number."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

OK = 0
UNEXPECTED = 1
"""A fault in lmbridge itself, or an error this version has no row for."""
USAGE = 2
"""Wrong arguments or a wrong request; the number click and most programs use."""
NOT_FOUND = 3
UNAVAILABLE = 4
NOT_LOADED = 5
BAD_ANSWER = 6
NOT_ALLOWED = 7
ADDRESS_TAKEN = 8
BUSY = 9
TOO_LONG = 10
NOT_RUNNING = 11
CONFIG = 12
INTERRUPTED = 130
"""128 + SIGINT, as shells say it."""
BROKEN_PIPE = 141
"""128 + SIGPIPE: the reader went away (`| head`), what a program without a handler would end with."""

EXITS: Mapping[str, int] = MappingProxyType(
    {
        "internal_error": UNEXPECTED,
        "invalid_request": USAGE,
        "unsupported_parameter": USAGE,
        "too_deep": USAGE,
        "unsupported_media_type": USAGE,
        "method_not_allowed": USAGE,
        "model_not_found": NOT_FOUND,
        "no_models": NOT_FOUND,
        "response_not_found": NOT_FOUND,
        "previous_response_not_found": NOT_FOUND,
        "route_not_found": NOT_FOUND,
        "job_not_found": NOT_FOUND,
        "wrong_model_kind": NOT_FOUND,
        "engine_missing": UNAVAILABLE,
        "provider_unavailable": UNAVAILABLE,
        "foreign_server": UNAVAILABLE,
        "runtime_missing": UNAVAILABLE,
        "missing_extra": UNAVAILABLE,
        "tool_server_unavailable": UNAVAILABLE,
        "tool_server_not_found": NOT_FOUND,
        "tool_server_not_allowed": NOT_ALLOWED,
        "command_failed": UNAVAILABLE,
        "provider_timeout": UNAVAILABLE,
        "shutting_down": UNAVAILABLE,
        "model_not_loaded": NOT_LOADED,
        "bad_model_file": NOT_LOADED,
        "load_failed": NOT_LOADED,
        "download_failed": NOT_LOADED,
        "no_space": NOT_LOADED,
        "not_enough_memory": NOT_LOADED,
        "broken_answer": BAD_ANSWER,
        "engine_crashed": BAD_ANSWER,
        "provider_refused": BAD_ANSWER,
        "wrong_model": BAD_ANSWER,
        "model_gone": BAD_ANSWER,
        "forbidden": NOT_ALLOWED,
        "unauthorized": NOT_ALLOWED,
        "provider_needs_key": NOT_ALLOWED,
        "unsafe_bind": NOT_ALLOWED,
        "address_in_use": ADDRESS_TAKEN,
        "already_running": ADDRESS_TAKEN,
        "model_busy": BUSY,
        "context_length_exceeded": TOO_LONG,
        "request_too_large": TOO_LONG,
        "not_running": NOT_RUNNING,
        "config_invalid": CONFIG,
        "cancelled": INTERRUPTED,
    }
)


def exit_code(code: str) -> int:
    """The exit code of an error's `code`; 1 for one another version of lmbridge may have sent."""
    return EXITS.get(code, UNEXPECTED)
