"""Whether the package `mcp` is there: it is an extra, and what needs it says how to get it."""

from __future__ import annotations

from importlib.util import find_spec

from lmbridge.core.errors import MissingExtra


def need_mcp() -> None:
    """Make sure that MCP can be spoken.

    Raises:
        MissingExtra: with the command that installs it.
    """
    # Not `mcp`: a folder of that name, and the package's first version, can be imported as well.
    if find_spec("mcp_types") is None:
        raise MissingExtra("mcp", "Using MCP servers")
