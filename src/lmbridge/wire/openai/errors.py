"""Errors in OpenAI's form: reading those of every server that claims compatibility, and writing our own.

Read are `{"error": {"message", "type", "param", "code"}}` (OpenAI, llama.cpp, vLLM, LM Studio),
`{"error": "text"}` (LM Studio, Ollama), `{"message": …}` and `{"detail": …}` (others), plain text and
web pages. Written is OpenAI's form with one field more, `hint`.
"""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct

from lmbridge.core.errors import BridgeError, ContextExceeded, ProviderNeedsKey, ProviderRefused, error_from_code

ErrorType: TypeAlias = Literal[
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "rate_limit_error",
    "unavailable_error",
    "server_error",
]

TYPES: Final[dict[str, ErrorType]] = {
    "internal_error": "server_error",
    "invalid_request": "invalid_request_error",
    "unsupported_parameter": "invalid_request_error",
    "request_too_large": "invalid_request_error",
    "unsupported_media_type": "invalid_request_error",
    "unauthorized": "authentication_error",
    "forbidden": "permission_error",
    "route_not_found": "not_found_error",
    "method_not_allowed": "invalid_request_error",
    "model_not_found": "not_found_error",
    "model_not_loaded": "not_found_error",
    "no_models": "not_found_error",
    "wrong_model_kind": "invalid_request_error",
    "bad_model_file": "server_error",
    "not_enough_memory": "server_error",
    "no_space": "server_error",
    "context_length_exceeded": "invalid_request_error",
    "response_not_found": "not_found_error",
    "previous_response_not_found": "invalid_request_error",
    "engine_missing": "server_error",
    "load_failed": "server_error",
    "engine_crashed": "server_error",
    "provider_unavailable": "unavailable_error",
    "provider_refused": "server_error",
    "provider_needs_key": "server_error",
    "foreign_server": "server_error",
    "wrong_model": "server_error",
    "model_gone": "unavailable_error",
    "runtime_missing": "unavailable_error",
    "missing_extra": "server_error",
    "too_deep": "invalid_request_error",
    "tool_server_unavailable": "server_error",
    "tool_server_not_found": "invalid_request_error",
    "tool_server_not_allowed": "invalid_request_error",
    "command_failed": "server_error",
    "download_failed": "server_error",
    "job_not_found": "not_found_error",
    "broken_answer": "server_error",
    "provider_timeout": "unavailable_error",
    "model_busy": "rate_limit_error",
    "shutting_down": "unavailable_error",
    "config_invalid": "server_error",
    "address_in_use": "server_error",
    "unsafe_bind": "server_error",
    "already_running": "server_error",
    "not_running": "unavailable_error",
    "cancelled": "server_error",
}
"""The `type` of each code. Clients look at the HTTP status first; this is for those that read the body."""

MAX_MESSAGE: Final = 2000
"""Characters of a provider's own words that are passed on."""

# Besides controls: what ends lines, turns text around, or is no letter at all.
_UNPRINTABLE: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ufff0-\ufffb\ufffe\uffff]+"
)
# "… maximum context length is 4096 tokens. However, you requested 5000 tokens" (OpenAI, vLLM) and
# "(n_keep: 5000 >= n_ctx: 4096)" (LM Studio); the numbers of llama.cpp come in fields of their own.
_LIMIT_FIRST: Final = re.compile(
    r"maximum context length is (\d{1,12}) tokens.{0,200}?(\d{1,12}) tokens", re.DOTALL
)
_PROMPT_FIRST: Final = re.compile(r"n_keep: (\d{1,12})\s*>=\s*n_ctx: (\d{1,12})")
# llama.cpp for a text to embed; with status 500, although the text is to blame
_TEXT_FIRST: Final = re.compile(
    r"input \((\d{1,12}) tokens\) is too large.{0,200}batch size: (\d{1,12})\)", re.DOTALL
)


class _Detail(Struct):
    """An error object; every field of any type, because nobody agrees on them."""

    message: object = None
    type: object = None
    code: object = None
    param: object = None
    hint: object = None
    n_prompt_tokens: object = None
    n_ctx: object = None
    n_tool_tokens: object = None


class _Envelope(Struct):
    error: _Detail | str | None = None
    message: object = None
    detail: object = None
    code: object = None
    type: object = None


class _Shown(Struct):
    message: str
    type: str
    param: str | None
    code: str
    hint: str


class _ShownContext(_Shown, omit_defaults=True):
    """With llama.cpp's own fields, which its clients look for, and one of ours: the tokens of the tools."""

    n_prompt_tokens: int
    n_ctx: int
    n_tool_tokens: int | None = None


_NO_ERROR: Final = (b"", b"null", b'""', b"{}", b"[]", b"false", b"0")
_decode: Final = msgspec.json.Decoder(_Envelope).decode
_encode: Final = msgspec.json.Encoder().encode


def is_error(field: Raw) -> bool:
    """Whether an `error` field reports one: many servers send it empty when all is well."""
    return bytes(field) not in _NO_ERROR


def decode_error(status: int | None, body: bytes, provider: str, retry_after: int | None = None) -> BridgeError:
    """The error that a server's answer reports. Never raises.

    A code of lmbridge's own vocabulary comes back as the class it was; too long a prompt as
    `ContextExceeded` wherever both numbers are told; everything else as `ProviderRefused` with the
    server's words. A refused key is `ProviderNeedsKey` without them: some servers repeat part of the key.

    Args:
        status: HTTP status, or None for an error inside a stream.
        provider: id of the provider that answered.
        retry_after: seconds after which it wants to be asked again, as a header tells.
    """
    try:
        given = _decode(body)
    except (ValueError, RecursionError):
        return _from_text(status, body, provider, retry_after)
    detail = given.error
    if isinstance(detail, str):
        detail = _Detail(message=detail)
    elif detail is None:
        detail = _Detail(message=given.message or given.detail, code=given.code, type=given.type)
    message = _words(detail.message)
    exceeded = _exceeded(detail, message)
    if exceeded is not None:
        return exceeded
    param = detail.param if isinstance(detail.param, str) else None
    hint = _words(detail.hint)
    if isinstance(detail.code, str) and message:
        ours = error_from_code(detail.code, message.removesuffix(hint).rstrip(), hint, param)
        if ours is not None and not isinstance(ours, ProviderRefused):
            return ours
    if status is None and isinstance(detail.code, int) and 400 <= detail.code < 600:
        status = detail.code  # llama.cpp puts the status here
    # `invalid_api_key` is OpenAI's code and LM Studio's, whose words repeat the beginning of the key.
    if status in (401, 403) or detail.code == "invalid_api_key":
        return ProviderNeedsKey(provider, status)
    if retry_after is not None:
        message = message.removesuffix(hint).rstrip()  # another lmbridge says the same in its hint
    message = message or f"The provider {provider!r} answered {_with(status)}."
    return ProviderRefused(provider, status, message, param=param, retry_after=retry_after)


def _from_text(status: int | None, body: bytes, provider: str, retry_after: int | None) -> BridgeError:
    """An error that is not JSON."""
    if status in (401, 403):
        return ProviderNeedsKey(provider, status)
    text = _words(body[: 4 * MAX_MESSAGE].decode("utf-8", "replace"))
    if not text:
        said = "and nothing else"
    elif text.lstrip().startswith("<"):
        said = "and a web page, so something else than a model server may run there"
    else:
        said = f"and the words: {text}"
    message = f"The provider {provider!r} answered {_with(status)} {said}."
    return ProviderRefused(provider, status, message, retry_after=retry_after)


def _with(status: int | None) -> str:
    return "with an error" if status is None else f"with status {status}"


def _words(value: object) -> str:
    """A provider's text made safe for a terminal and a log line; "" for anything else."""
    if not isinstance(value, str):
        return ""
    return _UNPRINTABLE.sub(" ", value).strip()[:MAX_MESSAGE]


def _exceeded(detail: _Detail, message: str) -> ContextExceeded | None:
    prompt, limit = detail.n_prompt_tokens, detail.n_ctx
    if isinstance(prompt, int) and isinstance(limit, int):
        tools = detail.n_tool_tokens
        return ContextExceeded(prompt, limit, tools if isinstance(tools, int) else None)
    if found := _LIMIT_FIRST.search(message):
        return ContextExceeded(int(found[2]), int(found[1]))
    if found := _PROMPT_FIRST.search(message) or _TEXT_FIRST.search(message):
        return ContextExceeded(int(found[1]), int(found[2]))
    return None


def _shown(error: BridgeError) -> _Shown:
    kind = TYPES.get(error.code, "server_error")
    message = f"{error.message} {error.hint}".rstrip()  # clients show the message alone
    if isinstance(error, ProviderRefused) and 400 <= (getattr(error, "status", None) or 0) < 500:
        kind = "invalid_request_error"
    if isinstance(error, ContextExceeded) and hasattr(error, "prompt_tokens"):
        return _ShownContext(
            message,
            kind,
            error.param,
            error.code,
            error.hint,
            error.prompt_tokens,
            error.context_length,
            error.tool_tokens,
        )
    return _Shown(message, kind, error.param, error.code, error.hint)


class _ShownEnvelope(Struct):
    error: _Shown


def error_body(error: BridgeError) -> bytes:
    """The body of an error answer: `{"error": {"message", "type", "param", "code", "hint"}}`.

    The message ends with the hint, since OpenAI's clients show nothing else.
    """
    return _encode(_ShownEnvelope(_shown(error)))


def error_event(error: BridgeError) -> bytes:
    """The same as an event of a stream, in the form on which OpenAI's own clients raise `APIError`.

    They look for `error` in the data of any event, so it needs no name. Nothing may follow it: a
    `[DONE]` would turn a failure into a finished answer for clients that do not look.
    """
    return b"data: " + error_body(error) + b"\n\n"
