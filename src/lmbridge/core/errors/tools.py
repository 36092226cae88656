"""What goes wrong with MCP servers whose tools are used."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from lmbridge.core.errors.error import LONGEST_NAME, BridgeError


class ToolServerUnavailable(BridgeError):
    """A server of tools (MCP) that cannot be had, or that ended.

    Attributes:
        name: what it is called here. reason: why.
    """

    code = "tool_server_unavailable"

    def __init__(self, name: str, reason: str, *, hint: str = "") -> None:
        self.name, self.reason = name, reason
        hint = hint or f"`lmbridge mcp servers tools {name}` tries it."
        super().__init__(f"The MCP server {name!r} cannot be used: {reason}.", hint=hint)


class ToolServerNotFound(BridgeError):
    """No server of tools (MCP) of that name.

    Attributes:
        name: what was asked for. known: the names that would have worked.
    """

    code = "tool_server_not_found"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        near = get_close_matches(name, known, n=1) if len(name) <= LONGEST_NAME else []
        hint = f"Did you mean {near[0]!r}?" if near else "`lmbridge mcp servers list` shows those there are."
        super().__init__(f"There is no MCP server named {name[:LONGEST_NAME]!r}.", hint=hint)


class ToolServerNotAllowed(BridgeError):
    """A server of tools (MCP), or a tool of it, that the user has not agreed to.

    Attributes:
        name: what the server is called here.
    """

    code = "tool_server_not_allowed"

    def __init__(self, name: str, message: str, *, hint: str = "") -> None:
        self.name = name
        super().__init__(message, hint=hint or f"`lmbridge mcp servers allow {name}` agrees to it.")
