"""All that a package needs which adds to lmbridge: see docs/how-to/extend.md.

A provider subclasses `PlainProvider`, or follows `Provider` by itself; an extension is an object with a manifest
and `activate`. These names stay where they are.
"""

from lmbridge.core.errors import (
    BridgeError,
    BrokenAnswer,
    ConfigInvalid,
    InvalidRequest,
    ProviderNeedsKey,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
)
from lmbridge.core.events import (
    Embeddings,
    Event,
    Finished,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from lmbridge.core.extension import Extension, ExtensionContext, ExtensionManifest
from lmbridge.core.models import Endpoint, Instance, LoadOptions, ModelInfo
from lmbridge.core.provider import Manifest, Provider, ProviderContext, ProviderState, Setting
from lmbridge.core.requests import ChatRequest, EmbedRequest
from lmbridge.providers.plain import PlainProvider

__all__ = [
    "BridgeError",
    "BrokenAnswer",
    "ChatRequest",
    "ConfigInvalid",
    "EmbedRequest",
    "Embeddings",
    "Endpoint",
    "Event",
    "Extension",
    "ExtensionContext",
    "ExtensionManifest",
    "Finished",
    "Instance",
    "InvalidRequest",
    "LoadOptions",
    "Manifest",
    "ModelInfo",
    "PlainProvider",
    "Provider",
    "ProviderContext",
    "ProviderNeedsKey",
    "ProviderRefused",
    "ProviderState",
    "ProviderTimeout",
    "ProviderUnavailable",
    "ReasoningDelta",
    "Setting",
    "Started",
    "TextDelta",
    "ToolCallDelta",
    "Usage",
]
