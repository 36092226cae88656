"""What an MCP server says of itself, and the answers that can be given before it is really there.

The official package takes a second or more to import on a slow machine (`python -m bench mcp_start`), and a host
waits for the answer to `initialize` before it shows anything. So what only repeats what is written here is
answered at once, by `greeting`, and the server of the package takes over with everything else.

Sources: https://modelcontextprotocol.io/specification/2025-11-25/basic/lifecycle, and for `server/discover`, with
which newer hosts begin, version 2026-07-28.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from lmbridge.doors.mcp.prompts import Prompts

JSON: TypeAlias = dict[str, object]

VERSIONS: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Versions of the protocol that begin with `initialize`, the newest last: what others are offered instead."""
MODERN: Final = ("2026-07-28",)
"""Versions in which each request says which it is in."""
CAPABILITIES: Final[JSON] = {
    "resources": {"subscribe": False, "listChanged": False},
    "tools": {"listChanged": False},
}


class Offer(Struct, frozen=True):
    """A server of ours.

    Attributes:
        name: for programs. title: for people. instructions: what a host may tell its model.
        manage: whether there are tools that change which models are in memory.
        prompts: who knows the user's prompts; None for a server without prompts.
    """

    name: str
    title: str
    version: str
    instructions: str
    manage: bool = False
    prompts: Prompts | None = None

    @property
    def capabilities(self) -> JSON:
        """What the server can do."""
        return CAPABILITIES if self.prompts is None else {"prompts": {"listChanged": False}, **CAPABILITIES}


def greeting(offer: Offer, message: JSON) -> JSON | None:
    """The result of a request that can be answered at once; None for all others, and for those that are not right.

    `tools/list` and `ping` may be answered like this on a connection that began with `initialize`.
    """
    match message:
        case {"method": "initialize", "params": dict(params)}:
            return _welcome(offer, params)
        case {"method": "server/discover", "params": {"_meta": dict(meta)}}:
            return _discovery(offer, meta)
        case {"method": "ping"}:
            return {}
        case {"method": "tools/list", "params": {"cursor": _}}:
            return None
        case {"method": "tools/list"}:
            from lmbridge.doors.mcp.catalogue import offered  # not needed for the first answer

            return {"tools": offered(manage=offer.manage)}
        case _:
            return None


def _welcome(offer: Offer, params: JSON) -> JSON | None:
    match params:
        case {
            "protocolVersion": str(asked),
            "capabilities": dict(),
            "clientInfo": {"name": str(), "version": str()},
        }:
            return {
                "protocolVersion": asked if asked in VERSIONS else VERSIONS[-1],
                "capabilities": offer.capabilities,
                "serverInfo": _who(offer),
                "instructions": offer.instructions,
            }
        case _:
            return None  # the server of the package says what is wrong


def _discovery(offer: Offer, meta: JSON) -> JSON | None:
    match meta:
        case {
            "io.modelcontextprotocol/protocolVersion": str(asked),
            "io.modelcontextprotocol/clientCapabilities": dict(),
        } if asked in MODERN:
            return {
                "supportedVersions": MODERN,
                "capabilities": offer.capabilities,
                "instructions": offer.instructions,
                "resultType": "complete",
                "ttlMs": 0,
                "cacheScope": "private",
                "_meta": {"io.modelcontextprotocol/serverInfo": _who(offer)},
            }
        case _:
            return None


def _who(offer: Offer) -> JSON:
    return {"name": offer.name, "title": offer.title, "version": offer.version}
