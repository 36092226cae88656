"""Asking LM Studio over HTTP: its own API and the OpenAI routes, whichever generation it is.

`client` is the face. Behind it: `settings` says where it is and how patient to be, `identity` makes sure that it
is LM Studio, `link` asks, `catalogue` and `names` know its models, `plans` and `loading` load them,
`downloading` gets them, `asking` and `answering` have them answer, `readiness` does so in the background.
"""

from lmbridge.clients.lmstudio.client import LMStudioClient
from lmbridge.clients.lmstudio.identity import Identity, identify
from lmbridge.clients.lmstudio.link import Habits
from lmbridge.clients.lmstudio.readiness import Readiness
from lmbridge.clients.lmstudio.settings import LMStudioSettings, aliases
from lmbridge.wire.lmstudio.chat import Loading, NativeEvent, Reading, ToolFailed, ToolRun
from lmbridge.wire.lmstudio.models import LMStudioModel, LoadedInstance

__all__ = [
    "Habits",
    "Identity",
    "LMStudioClient",
    "LMStudioModel",
    "LMStudioSettings",
    "LoadedInstance",
    "Loading",
    "NativeEvent",
    "Readiness",
    "Reading",
    "ToolFailed",
    "ToolRun",
    "aliases",
    "identify",
]
