"""MCP servers for a command that a person gave: he is shown what would be started, and asked once."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from lmbridge.cli import render

if TYPE_CHECKING:
    from lmbridge.machine.mcp.entries import Entry
    from lmbridge.tools.mcp.box import MCPBox
    from lmbridge.tools.mcp.servers import MCPServers


def servers() -> MCPServers:
    """The servers of this user."""
    from lmbridge.assembly import mcp_servers
    from lmbridge.config import load_config

    return mcp_servers(load_config())


def box_of(found: MCPServers, name: str, *, attended: bool = True) -> MCPBox:
    """The tools of one of the user's servers; asks him before its program is started for the first time.

    Args:
        attended: somebody is there who can be asked about calls.

    Raises:
        ToolServerNotFound, ToolServerNotAllowed, ToolServerUnavailable, MissingExtra.
    """
    entry = found.entry(name)
    if not entry.problem and found.consents.may_start(entry) is None and render.is_terminal(sys.stdin):
        ask_to_start(found, entry)
    return found.box(entry, attended=attended)


def ask_to_start(found: MCPServers, entry: Entry) -> bool:
    """Show the exact command line, and remember the answer if it is yes."""
    show_start(entry)
    yes = click.confirm(f"Start the MCP server {entry.name!r} with it, now and in future?", err=True)
    if yes:
        found.consents.allow(entry)
    return yes


def show_start(entry: Entry) -> None:
    """What would be started, on standard error."""
    how = "started with" if entry.command else "asked at"
    render.note(f"{entry.source} says that the MCP server {render.printable(repr(entry.name))} is {how}:")
    render.note(f"  {render.printable(entry.shown)}", "bold", hang=2)
    if entry.cwd:
        render.note(f"  in the folder {render.printable(entry.cwd)}", hang=2)
    if entry.variables:
        what = "variables" if entry.command else "headers"
        render.note(f"  with these {what} set: {render.printable(', '.join(entry.variables))}", hang=2)


def placed(
    names: tuple[str, ...], commands: tuple[str, ...] = (), urls: tuple[str, ...] = (), *, attended: bool = True
) -> list[tuple[str, MCPBox]]:
    """The servers that a command line names, by their names or by what starts or reaches them; and what they are.

    Whoever types a command line or an address has agreed to it.

    Args:
        attended: as of `box_of`.

    Raises:
        as `box_of`.
    """
    if not (names or commands or urls):
        return []
    from msgspec.structs import replace

    from lmbridge.machine.mcp.entries import of_command, of_url
    from lmbridge.tools.mcp.box import MCPBox
    from lmbridge.tools.mcp.rules import Rules

    found = servers()
    # What was typed here is meant to run here.
    typed = [*(replace(of_command(line), cwd=os.getcwd()) for line in commands), *map(of_url, urls)]
    return [
        *((f"the MCP server {name}", box_of(found, name, attended=attended)) for name in names),
        *((entry.shown, MCPBox(entry, Rules.of(entry, found.consents, attended=attended))) for entry in typed),
    ]
