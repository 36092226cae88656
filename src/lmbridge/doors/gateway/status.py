"""Which HTTP status belongs to which error: the gateway's one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lmbridge.core.errors import BridgeError, MethodNotAllowed, ProviderRefused

STATUS: Final[Mapping[str, int]] = {
    "internal_error": 500,
    "invalid_request": 400,
    "unsupported_parameter": 400,
    "request_too_large": 413,
    "unsupported_media_type": 415,
    "unauthorized": 401,
    "forbidden": 403,
    "route_not_found": 404,
    "method_not_allowed": 405,
    "model_not_found": 404,
    "model_not_loaded": 404,
    "no_models": 404,
    "wrong_model_kind": 400,
    "bad_model_file": 500,
    "not_enough_memory": 503,
    "no_space": 507,
    "context_length_exceeded": 400,
    "response_not_found": 404,
    "previous_response_not_found": 400,
    "engine_missing": 501,
    "load_failed": 500,
    "engine_crashed": 502,
    "provider_unavailable": 503,
    "provider_refused": 502,
    "provider_needs_key": 502,
    "foreign_server": 502,
    "wrong_model": 502,
    "model_gone": 503,
    "runtime_missing": 503,
    "missing_extra": 501,
    "too_deep": 508,
    "tool_server_unavailable": 502,
    "tool_server_not_found": 404,
    "tool_server_not_allowed": 403,
    "command_failed": 502,
    "download_failed": 502,
    "job_not_found": 404,
    "broken_answer": 502,
    "provider_timeout": 504,
    "model_busy": 409,
    "shutting_down": 503,
    "config_invalid": 500,
    "address_in_use": 500,
    "unsafe_bind": 500,
    "not_running": 503,
    "already_running": 409,
    # nginx's status for a client that closed the connection: nobody reads it, the metrics show it.
    "cancelled": 499,
}

RETRY_AFTER: Final[Mapping[str, bytes]] = {
    "engine_crashed": b"1",
    "provider_unavailable": b"2",
    "model_busy": b"2",
    "model_gone": b"1",
    "shutting_down": b"5",
}
"""Seconds after which the same request may succeed."""

HOPELESS: Final = frozenset(
    {
        "bad_model_file",
        "command_failed",
        "config_invalid",
        "download_failed",
        "engine_missing",
        "foreign_server",
        "load_failed",
        "missing_extra",
        "no_space",
        "not_enough_memory",
        "provider_needs_key",
        "provider_timeout",
        "runtime_missing",
        "too_deep",
        "wrong_model",
    }
)
"""Errors whose status would make OpenAI's clients try again by themselves although it cannot help.

They obey `x-should-retry: false` (openai-python: `_base_client._should_retry`). A timeout is among them
because asking a slow machine once more only doubles its load.
"""


def status_of(error: BridgeError) -> int:
    """The HTTP status of an error.

    What a provider blames on the request keeps the provider's status; what it blames on us (its key, its
    path) is no fault of the caller and stays 502.
    """
    if isinstance(error, ProviderRefused) and error.status in (400, 404, 408, 409, 413, 422, 429, 503):
        return error.status
    return STATUS[error.code]


def headers_of(error: BridgeError) -> list[tuple[bytes, bytes]]:
    """The headers that go with an error, beside its content type and length."""
    code = error.code
    headers: list[tuple[bytes, bytes]] = []
    if isinstance(error, ProviderRefused) and error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after))
    elif code in RETRY_AFTER:
        headers.append((b"retry-after", RETRY_AFTER[code]))
    if code in HOPELESS:
        headers.append((b"x-should-retry", b"false"))
    if code == "unauthorized":
        headers.append((b"www-authenticate", b'Bearer realm="lmbridge"'))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allowed).encode()))
    return headers
