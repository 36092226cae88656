"""Asking LM Studio over HTTP: its own API and the OpenAI routes, whichever generation it is.

`settings` says where it is and how patient to be, `identity` makes sure that it is LM Studio.
"""

from lmbridge.clients.lmstudio.identity import Identity, identify
from lmbridge.clients.lmstudio.settings import LMStudioSettings, aliases

__all__ = ["Identity", "LMStudioSettings", "aliases", "identify"]
