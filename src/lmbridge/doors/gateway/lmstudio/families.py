"""How errors are told in LM Studio's own API, honestly or as faithfully as its traps."""

from __future__ import annotations

from functools import partial
from typing import Final

from lmbridge.core.errors import BridgeError, ContextExceeded
from lmbridge.doors.gateway.family import Family
from lmbridge.doors.gateway.status import status_of
from lmbridge.wire.lmstudio.serving.errors import error_body
from lmbridge.wire.lmstudio.serving.events import error_event


def _faithful_status(error: BridgeError) -> int:
    return 500 if isinstance(error, ContextExceeded) else status_of(error)


LMSTUDIO: Final = Family("lmstudio", error_body, error_event)
FAITHFUL: Final = Family(
    "lmstudio", partial(error_body, quirks=True), partial(error_event, quirks=True), _faithful_status
)
"""With the setting `lmstudio_quirks`: too long a prompt is a fault of the server, for one."""
