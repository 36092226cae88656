"""How each API writes its errors: a caller gets every error in the form of the API that he asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from lmbridge.core.errors import BridgeError
from lmbridge.doors.gateway.status import status_of
from lmbridge.wire.openai.errors import error_body


class ErrorDetail(Struct, frozen=True):
    """What went wrong and what to do about it.

    Attributes:
        code: stable name. param: the field of the request that is to blame. hint: what mends it.
    """

    message: str
    type: str
    param: str | None
    code: str
    hint: str


class ErrorBody(Struct, frozen=True):
    """The body of an error, and the data of an error event in a stream."""

    error: ErrorDetail


class Family(Struct, frozen=True):
    """The form of one API's errors.

    Attributes:
        body: of an answer that is an error, as JSON.
        event: the last bytes of a stream that has begun and fails.
        status: the HTTP status of an error.
        shape: struct of the body, for the API's description.
    """

    name: str
    body: Callable[[BridgeError], bytes]
    event: Callable[[BridgeError], bytes]
    status: Callable[[BridgeError], int] = status_of
    shape: type[Struct] = ErrorBody


def _openai_event(error: BridgeError) -> bytes:
    # OpenAI's clients raise on it; no `[DONE]` follows.
    return b"data: " + error_body(error) + b"\n\n"


OPENAI: Final = Family("openai", error_body, _openai_event)
