"""What Anthropic's API, and servers that speak its language, call an error, as what it is.

(https://platform.claude.com/docs/en/api/errors) `decode_error` of the OpenAI language reads all families of error
bodies, those of a proxy on the way included; here the types and words are understood.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Struct

from lmbridge.core.errors import (
    BridgeError,
    ContextExceeded,
    ModelNotFound,
    ProviderNeedsKey,
    ProviderRefused,
    error_from_code,
)
from lmbridge.wire.openai.errors import decode_error

STATUS: Final = {
    "invalid_request_error": 400,
    "billing_error": 402,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "overloaded_error": 503,
    "timeout_error": 504,
}
"""The status of each type of error. An overloaded API answers 529, which only its own clients understand; to all
others 503 means the same."""

_KEY: Final = ("authentication_error", "permission_error")
_CONTEXT_HINT: Final = "Shorten the conversation, or use a model with a longer context."

_TOO_LONG: Final = re.compile(r"prompt is too long(?::\s*(\d{1,12}) tokens > (\d{1,12}) maximum)?")
# With the tokens that the answer may have.
_BOTH_TOO_LONG: Final = re.compile(r"exceed context limit: (\d{1,12}) \+ (\d{1,12}) > (\d{1,12})")
_MODEL: Final = re.compile(r"model: ?(\S{1,512})")


class _Details(Struct):
    error_code: object = None
    hint: object = None
    param: object = None


class _Shown(Struct):
    type: object = None
    details: _Details | None = None


class _Envelope(Struct):
    error: _Shown | None = None


_decode: Final = msgspec.json.Decoder(_Envelope).decode


def decode_refusal(status: int | None, body: bytes, provider: str, retry_after: int | None = None) -> BridgeError:
    """The error that an answer holds.

    What passes by itself keeps a status that says so: 429 for a limit, 503 for an overloaded server.

    Args:
        status: HTTP status, None inside of a stream.
        retry_after: seconds after which it wants to be asked again, as a header tells.
    """
    error = decode_error(status, body, provider, retry_after)
    shown = _shown(body)
    kind = shown.type if isinstance(shown.type, str) else ""
    if exceeded := _exceeded(error.message):
        return exceeded
    if kind in _KEY:
        return ProviderNeedsKey(provider, status)
    if not isinstance(error, ProviderRefused):
        return error
    if ours := _ours(error, shown.details or _Details()):
        return ours
    if kind == "not_found_error" and (found := _MODEL.match(error.message)):
        return ModelNotFound(found[1], [], where=provider)
    status = 503 if status == 529 else status
    status = STATUS.get(kind) if status is None else status
    return ProviderRefused(provider, status, error.message, retry_after=retry_after)


def is_error(data: bytes) -> bool:
    """Whether something is an error, whatever status it came with."""
    return _shown(data).type is not None


def _shown(body: bytes) -> _Shown:
    try:
        return _decode(body).error or _Shown()
    except (ValueError, RecursionError):
        return _Shown()


def _exceeded(message: str) -> BridgeError | None:
    if found := _BOTH_TOO_LONG.search(message):
        return ContextExceeded(int(found[1]), max(0, int(found[3]) - int(found[2])))
    found = _TOO_LONG.search(message)
    if found is None:
        return None
    if found[1]:
        return ContextExceeded(int(found[1]), int(found[2]))
    return error_from_code(ContextExceeded.code, message, _CONTEXT_HINT, "messages")


def _ours(error: ProviderRefused, details: _Details) -> BridgeError | None:
    """The error of another lmbridge, which has its code among the details."""
    if not isinstance(details.error_code, str):
        return None
    hint = details.hint if isinstance(details.hint, str) else ""
    param = details.param if isinstance(details.param, str) else None
    made = error_from_code(details.error_code, error.message.removesuffix(hint).rstrip(), hint[:500], param)
    return None if isinstance(made, ProviderRefused) else made
