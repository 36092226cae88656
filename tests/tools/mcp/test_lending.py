"""Servers for callers of the gateway: shared, narrowed to what is wanted, and as the user last said."""

import sys
from pathlib import Path

import pytest
from tests.tools.mcp.conftest import ARGUMENTS, ROOT

from lmbridge.core.errors import ToolServerNotAllowed, ToolServerNotFound, ToolServerUnavailable
from lmbridge.tools.mcp.lending import Lending
from lmbridge.tools.mcp.servers import MCPServers

TABLE = {"command": sys.executable, "args": list(ARGUMENTS), "cwd": str(ROOT), "policy": "always"}


@pytest.fixture
def servers(tmp_path: Path) -> MCPServers:
    found = MCPServers(tmp_path, {"fake": {**TABLE}}, theirs=tmp_path / "none")
    found.consents.allow(found.entry("fake"))
    return found


async def test_one_connection_serves_all_callers_each_with_his_own_tools(servers: MCPServers) -> None:
    lending = Lending(servers)
    first, second = await lending.of_user("fake", None), await lending.of_user("fake", ["add"])
    assert len(await first.tools()) > 5
    assert [tool.name for tool in await second.tools()] == ["add"]
    assert (await second.call("pid", {})).is_error
    pid = (await first.call("pid", {})).text
    await first.aclose()  # the box is shared, and stays
    third = await lending.of_user("fake", ["pid", "dotted.name/with letters"])
    assert [tool.name for tool in await third.tools()] == ["dotted_name_with_letters", "pid"]
    assert (await third.call("pid", {})).text == pid
    await lending.aclose()
    with pytest.raises(ToolServerUnavailable, match="closed"):
        await first.call("pid", {})


async def test_what_the_user_takes_back_is_gone_at_once(servers: MCPServers) -> None:
    lending = Lending(servers)
    box = await lending.of_user("fake", None)
    await box.tools()
    servers.consents.set_tools(servers.entry("fake"), ["*"], "ask")
    assert await box.tools() == []
    assert (await box.call("add", {"a": 1, "b": 1})).is_error
    servers.consents.allow(servers.entry("fake"), start=False)
    with pytest.raises(ToolServerNotAllowed):
        await lending.of_user("fake", None)
    with pytest.raises(ToolServerNotFound):
        await lending.of_user("other", None)
    await lending.aclose()


async def test_a_server_that_a_caller_named_is_checked_like_any_other(
    servers: MCPServers, http_server: str
) -> None:
    lending = Lending(servers)
    box = await lending.at("far", http_server, {}, ["add"], local=True)
    assert [tool.name for tool in await box.tools()] == ["add"]
    await box.aclose()
    guarded = await lending.at("far", http_server, {}, None, local=False)
    with pytest.raises(ToolServerUnavailable, match="this machine itself"):
        await guarded.tools()
    await guarded.aclose()
    for url, headers in (("file:///etc/passwd", {}), ("https://a.example", {"a b": "c"})):
        with pytest.raises(ToolServerUnavailable):
            await lending.at("far", url, headers, None, local=True)
    await lending.aclose()
