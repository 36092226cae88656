"""The door in LM Studio's own language: its greeting, `/api/v1/…` and the older lists of `/api/v0/…`."""

from lmbridge.doors.gateway.lmstudio.families import LMSTUDIO, UNEXPECTED
from lmbridge.doors.gateway.lmstudio.routes import LMStudioRoutes

__all__ = ["LMSTUDIO", "UNEXPECTED", "LMStudioRoutes"]
