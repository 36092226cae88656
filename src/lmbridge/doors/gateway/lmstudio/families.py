"""How errors are told in LM Studio's own API, honestly or as faithfully as its traps."""

from __future__ import annotations

from functools import partial
from typing import Final

from msgspec import Struct

from lmbridge.core.errors import BridgeError, ContextExceeded
from lmbridge.doors.gateway.asgi import JSON, NOSNIFF, Request
from lmbridge.doors.gateway.family import Family
from lmbridge.doors.gateway.routes import Route
from lmbridge.doors.gateway.status import status_of
from lmbridge.wire.lmstudio.serving.errors import error_body, unexpected
from lmbridge.wire.lmstudio.serving.events import error_event


def _faithful_status(error: BridgeError) -> int:
    return 500 if isinstance(error, ContextExceeded) else status_of(error)


class NativeDetail(Struct, frozen=True):
    """What went wrong. A refused key has no `param`; LM Studio itself has no `hint`."""

    type: str
    code: str | None
    message: str
    param: str | None = None
    hint: str = ""


class NativeError(Struct, frozen=True):
    """The body of an error."""

    error: NativeDetail


LMSTUDIO: Final = Family("lmstudio", error_body, error_event, shape=NativeError)
FAITHFUL: Final = Family(
    "lmstudio", partial(error_body, quirks=True), partial(error_event, quirks=True), _faithful_status, NativeError
)
"""With the setting `lmstudio_quirks`: too long a prompt is a fault of the server, for one."""


async def _unexpected(request: Request) -> None:
    await request.reply(200, (JSON, NOSNIFF), unexpected(request.method, request.path))


UNEXPECTED: Final = Route(_unexpected, "What is not there, told with status 200 as LM Studio does.", "open")
"""The route of everything that has none, with the setting `lmstudio_quirks`."""
