"""The resources of the MCP server: a JSON document for each model, at `lmbridge://models/PROVIDER:NAME`.

Source: https://modelcontextprotocol.io/specification/2025-11-25/server/resources
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote

import msgspec
from msgspec import Struct

from lmbridge.core.errors import ModelNotFound
from lmbridge.core.hub import AnyHub
from lmbridge.core.models import ModelInfo
from lmbridge.doors.mcp.shapes import Listed

PREFIX: Final = "lmbridge://models/"
TEMPLATE: Final = f"{PREFIX}{{+name}}"
MEDIA: Final = "application/json"


class Document(Struct, frozen=True):
    """A resource as it is listed."""

    uri: str
    name: str
    title: str
    description: str


def uri_of(model: ModelInfo) -> str:
    """Where a model's document is. Names keep their slashes and colons, which mean nothing there."""
    return PREFIX + quote(model.qualified, safe="/:@")


async def documents(hub: AnyHub) -> list[Document]:
    """What there is to read."""
    return [
        Document(uri_of(model), model.qualified, model.display_name or model.id, f"A {model.kind} model.")
        for model in await hub.models()
    ]


async def read(hub: AnyHub, uri: str) -> str:
    """A document.

    Raises:
        ModelNotFound: there is none of that name.
    """
    models = await hub.models()
    name = unquote(uri.removeprefix(PREFIX)) if uri.startswith(PREFIX) else ""
    found = next((model for model in models if name in (model.qualified, model.id)), None)
    if found is None:
        raise ModelNotFound(name or uri[:200], [model.qualified for model in models])
    loaded = any((found.provider, found.id) == (state.provider, state.model) for state in await hub.instances())
    return msgspec.json.encode(Listed.of(found, loaded=loaded)).decode()
