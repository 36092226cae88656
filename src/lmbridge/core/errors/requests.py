"""What is wrong with a request, or with who sends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from lmbridge.core.errors.error import BridgeError

Flaw: TypeAlias = Literal["", "missing", "unknown", "forms"]


class InvalidRequest(BridgeError):
    """The request itself is wrong: malformed JSON, a wrong type, a value out of range.

    Attributes:
        flaw: the sort of mistake, where an API has a word for it: a field that is `missing` or `unknown`, or
            one that has none of the `forms` it may have.
    """

    code = "invalid_request"
    flaw: Flaw = ""

    def __init__(self, message: str, *, hint: str = "", param: str | None = None, flaw: Flaw = "") -> None:
        self.flaw = flaw
        super().__init__(message, hint=hint, param=param)


class UnsupportedParameter(InvalidRequest):
    """A parameter that nobody here can honour; refused by name instead of silently ignored."""

    code = "unsupported_parameter"

    def __init__(self, name: str, reason: str = "", *, hint: str = "") -> None:
        self.name = name
        why = reason or "No provider here can honour it."
        super().__init__(f"Unsupported parameter {name!r}. {why}", hint=hint or "Leave it out.", param=name)


class RequestTooLarge(BridgeError):
    """The body is over the limit.

    Attributes:
        limit: bytes allowed.
    """

    code = "request_too_large"

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(
            f"The request body is larger than {limit:,} bytes.",
            hint="Send less, or raise `gateway.max_body` in lmbridge.toml.",
        )


class UnsupportedMediaType(BridgeError):
    """A body that is not `application/json`. Refused so that a web page cannot post without a preflight."""

    code = "unsupported_media_type"

    def __init__(self, content_type: str) -> None:
        self.content_type = content_type
        shown = f"{content_type[:80]!r}" if content_type else "none"
        super().__init__(
            f"The content type must be application/json, not {shown}.",
            hint="Send the header `Content-Type: application/json`.",
        )


class Unauthorized(BridgeError):
    """No key, or one that is not known here."""

    code = "unauthorized"

    def __init__(self, message: str = "This gateway needs an API key.", *, hint: str = "") -> None:
        super().__init__(
            message,
            hint=hint or "Create one with `lmbridge keys create NAME` and send `Authorization: Bearer KEY`.",
        )


class Forbidden(BridgeError):
    """A request from a place that may not ask: a foreign Host or Origin."""

    code = "forbidden"


class RouteNotFound(BridgeError):
    """No such path, or not with this method."""

    code = "route_not_found"


class MethodNotAllowed(BridgeError):
    """The path exists, the method does not.

    Attributes:
        allowed: the methods this path answers.
    """

    code = "method_not_allowed"

    def __init__(self, method: str, path: str, allowed: Sequence[str]) -> None:
        self.allowed = tuple(allowed)
        super().__init__(f"{path} does not answer {method}.", hint=f"Use {' or '.join(self.allowed)}.")


class TooDeep(BridgeError):
    """A model's tool asked lmbridge for a model, whose tool asked lmbridge for one again."""

    code = "too_deep"

    def __init__(self) -> None:
        super().__init__(
            "This was asked by a tool of a model that a tool asked itself: lmbridge will not go round and round.",
            hint="Give the model that is asked through MCP no server of lmbridge among its tools.",
        )


class ContextExceeded(BridgeError):
    """The prompt does not fit the loaded context.

    Attributes:
        prompt_tokens: what the prompt needs. context_length: what the loaded model has.
        tool_tokens: how many of the prompt's tokens describe its tools; None where nobody counted them.
    """

    code = "context_length_exceeded"

    def __init__(self, prompt_tokens: int, context_length: int, tool_tokens: int | None = None) -> None:
        self.prompt_tokens, self.context_length, self.tool_tokens = prompt_tokens, context_length, tool_tokens
        tools = f" ({tool_tokens:,} of them for its tools)" if tool_tokens else ""
        super().__init__(
            f"The prompt has {prompt_tokens:,} tokens{tools} and the loaded context has room for "
            f"{context_length:,}.",
            hint=f"Shorten it, {'send fewer tools, ' if tools else ''}"
            "or load the model with a larger `--context-length`.",
            param="messages",
        )


_NOT_STORED = "It was sent with `store: false`, has been deleted, or is older than `gateway.store_days`."


class ResponseNotFound(BridgeError):
    """No stored answer of that id.

    Attributes:
        id: what was asked for.
    """

    code = "response_not_found"

    def __init__(self, id: str) -> None:
        self.id = id
        super().__init__(f"No stored response {id[:100]!r}.", hint=_NOT_STORED)


class PreviousResponseNotFound(InvalidRequest):
    """The answer that a request goes on from is not stored, or no longer.

    Attributes:
        id: what was asked for.
    """

    code = "previous_response_not_found"

    def __init__(self, id: str, message: str = "", *, hint: str = "") -> None:
        self.id = id
        super().__init__(
            message or f"No stored response {id[:100]!r} to go on from.",
            hint=hint or _NOT_STORED,
            param="previous_response_id",
        )


class JobNotFound(BridgeError):
    """No download job of that id.

    Attributes:
        id: what was asked for.
    """

    code = "job_not_found"

    def __init__(self, id: str) -> None:
        self.id = id
        super().__init__(
            f"No download job {id[:100]!r}.", hint="Jobs are forgotten when the gateway stops; download it again."
        )
