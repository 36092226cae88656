"""Servers for callers of the gateway: shared, narrowed to what is wanted, and as the user last said."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from tests.tools.mcp.conftest import ARGUMENTS, ROOT
from tests.tools.mcp.test_box import until

from lmbridge.core.errors import ToolServerNotAllowed, ToolServerNotFound, ToolServerUnavailable
from lmbridge.core.tools import Toolbox
from lmbridge.machine.processes import exists
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
    third = await lending.of_user("fake", ["pid", "dotted.name/with letters"])
    assert [tool.name for tool in await third.tools()] == ["dotted_name_with_letters", "pid"]
    assert (await third.call("pid", {})).text == pid
    await lending.aclose()
    with pytest.raises(ToolServerUnavailable, match="closed"):
        await first.call("pid", {})


async def pid_of(box: Toolbox) -> int:
    return int((await box.call("pid", {})).text)


async def ended(pid: int) -> None:
    await until(lambda: not exists(pid))


async def test_a_server_that_nobody_uses_is_ended_and_started_anew_for_the_next(servers: MCPServers) -> None:
    lending = Lending(servers, 0.01)
    first, second = await lending.of_user("fake", None), await lending.of_user("fake", None)
    pid = await pid_of(first)
    await first.aclose()
    await first.aclose()  # once is once: the other one has it still
    for _ in range(20):
        assert await pid_of(second) == pid
    await second.aclose()
    await ended(pid)
    again = await lending.of_user("fake", None)
    assert await pid_of(again) != pid
    await lending.aclose()


async def test_whoever_comes_while_it_ends_gets_one_that_works(servers: MCPServers) -> None:
    lending, pids = Lending(servers, 0.001), set[int]()

    async def use(times: int) -> None:
        for number in range(times):
            box = await lending.of_user("fake", None)
            try:
                assert (await box.call("add", {"a": number, "b": 1})).text == str(number + 1)
                pids.add(await pid_of(box))
            finally:
                await box.aclose()
            await asyncio.sleep(0.001 * (number % 3))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(use(4))
    await lending.aclose()
    for pid in pids:
        await ended(pid)


async def test_one_that_may_be_idle_for_ever_stays(servers: MCPServers) -> None:
    lending = Lending(servers, 0)
    box = await lending.of_user("fake", None)
    pid = await pid_of(box)
    await box.aclose()
    again = await lending.of_user("fake", None)
    assert await pid_of(again) == pid
    await lending.aclose()
    await ended(pid)


async def test_one_that_was_killed_is_started_anew_for_the_next(servers: MCPServers) -> None:
    lending = Lending(servers)
    box = await lending.of_user("fake", None)
    pid = await pid_of(box)
    os.kill(pid, signal.SIGKILL)
    # A call that it was killed in the middle of is not made twice; the next one is answered by a new one.
    answered: list[str] = []

    async def works() -> bool:
        result = await box.call("pid", {})
        answered.append(result.text)
        return not result.is_error

    await until(works)
    assert answered[-1] != str(pid)
    await lending.aclose()


async def test_a_changed_entry_is_started_anew_while_who_has_the_old_one_keeps_it(servers: MCPServers) -> None:
    lending = Lending(servers)
    old = await lending.of_user("fake", None)
    pid = await pid_of(old)
    tables: dict[str, object] = servers._tables  # type: ignore[assignment]
    tables["fake"] = {**TABLE, "env": {"FAKE_SECRET": "another"}}
    servers.consents.allow(servers.entry("fake"))
    new = await lending.of_user("fake", None)
    assert await pid_of(new) != pid
    assert await pid_of(old) == pid
    await old.aclose()
    await ended(pid)
    await new.aclose()
    tables["fake"] = TABLE
    servers.consents.allow(servers.entry("fake"))
    unused = await lending.of_user("fake", None)
    assert (await unused.call("add", {"a": 1, "b": 1})).text == "2"
    await lending.aclose()


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
