"""What LM Studio calls an error, as what it is.

It has four families of error bodies, answers paths that it does not know with status 200, and calls
too long a prompt a fault of its own (500). `decode_error` of the OpenAI language reads all families;
here the words and types are understood. The cases were observed on versions 0.3.14 to 0.4.25.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from lmbridge.core.errors import (
    BridgeError,
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
    error_from_code,
)
from lmbridge.wire.openai.errors import MAX_MESSAGE, decode_error

START_HINT: Final = (
    "Start it with `lmbridge lmstudio start`, or set `url` of [lmstudio] in lmbridge.toml to where it listens."
)
KEY_HINT: Final = (
    "Put an API token into `token` of [lmstudio] in lmbridge.toml or into $LM_API_TOKEN; LM Studio makes them "
    "under Developer > Server Settings > Manage Tokens."
)
PERMISSION_HINT: Final = (
    "Give the token that permission in LM Studio under Developer > Server Settings > Manage Tokens."
)
OLD_HINT: Final = "Update LM Studio, or take a path too many out of `url` of [lmstudio] in lmbridge.toml."
CONTEXT_HINT: Final = "Shorten it, or load the model with a larger `--context-length`."
MEMORY_HINT: Final = (
    "Use a smaller context (`--context-length`) or another model, unload one (`lmbridge unload`), or relax "
    "the guardrails in LM Studio's settings."
)
LOG_HINT: Final = "`lmbridge lmstudio log` shows what LM Studio says about it."
NOT_LOADED_HINT: Final = "`lmbridge ls` lists the models, `lmbridge load MODEL` loads one."
PATIENCE_HINT: Final = "If it is merely slow, raise `{}` of [lmstudio] in lmbridge.toml."

_Named = TypeVar("_Named", bound=BridgeError)
_Make: TypeAlias = Callable[[ProviderRefused, str], BridgeError]

# "Trying to keep the first 5000 tokens … loaded with context length of only 4096 tokens", before 0.3.
_KEPT: Final = re.compile(r"keep the first (\d{1,12}) tokens.{0,200}?context length of only (\d{1,12})", re.DOTALL)
_WRAPPED: Final = re.compile(r"Engine protocol \w+ request returned (\d{3}): *(.*)", re.DOTALL)
_ROUTE: Final = re.compile(r"Unexpected endpoint or method\. *\(?([^()]{0,200})")


def explain(error: BridgeError, model: str = "") -> BridgeError:
    """The same error, recognised where its words are ones of LM Studio, with a hint that fits LM Studio.

    Returns *error* itself where there is nothing to add.

    Args:
        model: what was asked for, named in the error.
    """
    match error:
        case ProviderRefused():
            return _named(_recognised(error, model))
        case ModelNotFound() if not hasattr(error, "name"):  # told by its code alone
            return _unknown(ProviderRefused("", None, error.message), model)
        case ProviderNeedsKey():
            return with_hint(error, PERMISSION_HINT if error.status == 403 else KEY_HINT)
        case ProviderUnavailable() if error.hint == ProviderUnavailable.HINT:
            return with_hint(error, START_HINT)
        case ProviderTimeout():
            setting = _SETTINGS.get(error.phase, "ask_timeout")
            return with_hint(error, START_HINT if error.phase == "connect" else PATIENCE_HINT.format(setting))
        case PreviousResponseNotFound(message=said, hint=""):  # their code is ours
            return _expired(ProviderRefused("", None, said), model)
        case JobNotFound(message=said, hint=""):
            return _no_job(ProviderRefused("", None, said), model)
        case _:
            return error


def decode_failure(status: int | None, body: bytes, provider: str, model: str = "") -> BridgeError:
    """The error that an answer of LM Studio reports, on any route. Never raises.

    Args:
        status: HTTP status, or None for an error inside a stream or inside an answer with status 200.
        provider: id named in errors. model: what was asked for.
    """
    error = decode_error(status, body, provider)
    if isinstance(error, ProviderRefused):
        known = _recognised(error, model)
        if isinstance(known, ProviderRefused) and (kind := _type_of(body)):
            return _TYPES[kind](known, model)
    return explain(error, model)


def _type_of(body: bytes) -> str:
    """`error.type` or `error.code`, whichever is one that we know."""
    try:
        detail = msgspec.json.decode(body, type=_Envelope).error
    except (ValueError, RecursionError):
        return ""
    return next((word for word in (detail.type, detail.code) if isinstance(word, str) and word in _TYPES), "")


class _Detail(Struct):
    type: object = None
    code: object = None


class _Envelope(Struct):
    error: _Detail


def _recognised(error: ProviderRefused, model: str) -> BridgeError:
    wrapped = _WRAPPED.search(error.message)
    if wrapped is not None:
        error = _unwrapped(error, int(wrapped[1]), wrapped[2])
    for pattern, make in _RULES:
        if pattern.search(error.message):
            return make(error, model)
    return error


def _unwrapped(error: ProviderRefused, status: int, text: str) -> ProviderRefused:
    """The engine's own refusal, which the server passes on as a fault of the server."""
    inner = decode_error(status, text.encode(), error.provider)
    if isinstance(inner, ProviderRefused) and text.lstrip().startswith("{"):
        return ProviderRefused(error.provider, status, inner.message, param=inner.param)
    return ProviderRefused(error.provider, status, error.message, param=error.param)


def with_hint(error: _Named, hint: str) -> _Named:
    """The same error with another hint."""
    error.hint = hint
    error.args = (f"{error.message} {hint}".rstrip(),)
    return error


def _named(error: BridgeError) -> BridgeError:
    """An error of which only LM Studio's own words are known says whose they are."""
    if not isinstance(error, ProviderRefused) or any(
        n in error.message for n in ("LM Studio", repr(error.provider))
    ):
        return error
    how = f"answers with status {error.status}" if error.status not in (None, 200) else "reports an error"
    named = ProviderRefused(error.provider, error.status, f"LM Studio {how}: {error.message}", param=error.param)
    return with_hint(named, LOG_HINT if (error.status or 500) >= 500 else "")


def _of_class(kind: type[_Named], message: str, hint: str, param: str | None = None) -> _Named:
    """An error whose facts are known only in words."""
    made = error_from_code(kind.code, message, hint, param)
    assert isinstance(made, kind)  # noqa: S101 (each class has a code of its own)
    return made


def _no_route(error: ProviderRefused, model: str) -> BridgeError:
    found = _ROUTE.search(error.message)
    what = f" ({found[1].strip()})" if found and found[1].strip() else ""
    return RouteNotFound(f"This LM Studio does not know that route{what}.", hint=OLD_HINT)


def _exceeded(error: ProviderRefused, model: str) -> BridgeError:
    if found := _KEPT.search(error.message):
        return ContextExceeded(int(found[1]), int(found[2]))
    return _of_class(
        ContextExceeded, f"The prompt does not fit the loaded context: {error.message}", CONTEXT_HINT, "messages"
    )


def _crashed(error: ProviderRefused, model: str) -> BridgeError:
    return EngineCrashed(model or "the model", _last_words(error))


def _no_memory(error: ProviderRefused, model: str) -> BridgeError:
    failed = LoadFailed(model or "the model", _last_words(error))
    return with_hint(failed, MEMORY_HINT)


def _not_loaded(error: ProviderRefused, model: str) -> BridgeError:
    failed = LoadFailed(model or "the model", _last_words(error))
    return with_hint(failed, LOG_HINT)


def _unknown(error: ProviderRefused, model: str) -> BridgeError:
    made = ModelNotFound(model, ())
    made.message = f"LM Studio has no model {model!r} ready: {error.message}" if model else error.message
    return with_hint(made, NOT_LOADED_HINT)


def _no_embedding(error: ProviderRefused, model: str) -> BridgeError:
    return WrongModelKind(model or "the model", "chat", "embeddings")


def _no_chat(error: ProviderRefused, model: str) -> BridgeError:
    return WrongModelKind(model or "the model", "embedding", "a chat")


def _gone(error: ProviderRefused, model: str) -> BridgeError:
    return ModelGone(error.provider, model or "the model")


def _expired(error: ProviderRefused, model: str) -> BridgeError:
    return PreviousResponseNotFound(
        "",
        f"LM Studio does not know that earlier answer: {error.message}",
        hint="It keeps answers for 30 days, and none that was asked for with `store: false`.",
    )


def _no_job(error: ProviderRefused, model: str) -> BridgeError:
    return _of_class(JobNotFound, f"LM Studio knows no such download any more: {error.message}", "Start it again.")


def _last_words(error: ProviderRefused) -> str:
    return error.message.rstrip(". ")[:MAX_MESSAGE]


_SETTINGS: Final = {"first byte": "first_byte_timeout", "idle": "idle_timeout", "load": "load_timeout"}

_TYPES: Final[dict[str, _Make]] = {
    "model_not_found": _unknown,
    "model_load_failed": _not_loaded,
    "job_not_found": _no_job,
}
"""The `type` or `code` of an error body that says enough where the words did not: see `_RULES`."""

_RULES: Final[tuple[tuple[re.Pattern[str], _Make], ...]] = tuple(
    (re.compile(words, re.IGNORECASE), make)
    for words, make in (
        (r"unexpected endpoint or method", _no_route),
        (
            r"greater than the context length|context size has been exceeded|trying to keep the first"
            r"|exceeds? the (?:available )?context|context (?:length|window) (?:was |has been |is )?exceeded",
            _exceeded,
        ),
        (r"model has crashed|model crashed", _crashed),
        (r"insufficient system resources", _no_memory),
        (r"is not embedding|not an embedding model", _no_embedding),
        (r"is not llm|is an embedding model", _no_chat),
        (r"model (?:was |has been |is |got )?unloaded", _gone),
        (r"no models? loaded|invalid model identifier|model \S+ not found|model_not_found", _unknown),
        (r"failed to load (?:the )?model|error loading model", _not_loaded),
        (r"previous.?response.{0,80}(?:not found|does not exist|older than)", _expired),
    )
)
