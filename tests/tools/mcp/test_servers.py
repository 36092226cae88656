"""The servers of a user: of two files, read anew each time, and used only as he agreed."""

import json
from pathlib import Path

import pytest

from lmbridge.core.errors import ToolServerNotAllowed, ToolServerNotFound
from lmbridge.tools.mcp.servers import MCPServers


def test_our_tables_win_over_their_file_and_changes_are_seen_at_once(tmp_path: Path) -> None:
    theirs = tmp_path / "mcp.json"
    servers = MCPServers(tmp_path, {"a": {"command": "ours"}}, theirs=theirs)
    assert list(servers.entries()) == ["a"]
    theirs.write_text(json.dumps({"mcpServers": {"a": {"command": "theirs"}, "b": {"command": "b"}}}))
    assert {name: entry.command for name, entry in servers.entries().items()} == {"a": "ours", "b": "b"}
    assert servers.entry("b").source == str(theirs)
    with pytest.raises(ToolServerNotFound, match="no MCP server named 'c'"):
        servers.entry("c")


def test_a_box_is_had_only_of_a_server_that_was_agreed_to(tmp_path: Path) -> None:
    servers = MCPServers(tmp_path, {"a": {"command": "x"}, "web": {"url": "https://a.example"}}, theirs=tmp_path)
    with pytest.raises(ToolServerNotAllowed):
        servers.box(servers.entry("a"))
    servers.consents.allow(servers.entry("a"))
    assert servers.box(servers.entry("a")).name == "a"
    assert servers.box(servers.entry("web")).name == "web"
    servers.consents.allow(servers.entry("web"), start=False)
    with pytest.raises(ToolServerNotAllowed, match="forbidden"):
        servers.box(servers.entry("web"))
