"""All MCP servers that the user has: those of lmbridge.toml, and those of LM Studio's `mcp.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lmbridge.core.errors import ToolServerNotFound
from lmbridge.machine.mcp.consent import Consents
from lmbridge.machine.mcp.entries import Entry, entries_of
from lmbridge.machine.mcp.files import Servers, mcp_json, read_servers
from lmbridge.tools.mcp.box import MCPBox
from lmbridge.tools.mcp.rules import Rules


class MCPServers:
    """The servers, read anew whenever they are asked for: files change while a gateway runs.

    Args:
        home: lmbridge's folder, where the answers of the user are. tables: the tables `[mcp.NAME]`; they win.
        source: the file they are from. theirs: LM Studio's file; default where it is on this machine.

    Attributes:
        consents: what the user agreed to.
    """

    def __init__(
        self, home: Path, tables: Mapping[str, object] = {}, source: str = "", theirs: Path | None = None
    ) -> None:
        self._tables, self._source, self._theirs = tables, source or "lmbridge.toml", theirs
        self.consents = Consents(home)

    @property
    def file(self) -> Servers:
        """LM Studio's file."""
        return read_servers(self._theirs or mcp_json())

    def entries(self) -> dict[str, Entry]:
        """Every server by its name, unusable ones too."""
        return {**self.file.entries, **entries_of(self._tables, self._source)}

    def entry(self, name: str) -> Entry:
        """One of them.

        Raises:
            ToolServerNotFound: with the names there are.
        """
        found = self.entries()
        if name not in found:
            raise ToolServerNotFound(name, list(found))
        return found[name]

    def box(self, entry: Entry, *, only: Sequence[str] | None = None, attended: bool = True) -> MCPBox:
        """The tools of a server that the user agreed to.

        Args:
            only: narrows the tools. attended: somebody is there who can be asked about calls.

        Raises:
            ToolServerNotAllowed: nobody agreed to its command line yet. ToolServerUnavailable, MissingExtra.
        """
        made = MCPBox(entry, Rules.of(entry, self.consents, only=only, attended=attended))
        self.consents.check(entry)
        return made
