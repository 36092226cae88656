"""A connection is opened in the kind that a server speaks, and what goes wrong is told."""

import asyncio
import sys

import pytest
from tests.tools.mcp.conftest import box_of, entry

from lmbridge.core.errors import ToolServerUnavailable
from lmbridge.machine.mcp.entries import Entry
from lmbridge.tools.mcp.connection import Connection, first_of

MODERN = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    method, answer = asked["method"], {"jsonrpc": "2.0", "id": asked["id"]}
    if method == "initialize":
        answer["error"] = {"code": -32601, "message": "Method not found"}
    elif method == "server/discover":
        answer["result"] = {
            "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "resultType": "complete",
            "ttlMs": 0, "cacheScope": "private",
        }
    elif method == "tools/list":
        names.append("tool_%d" % len(names))
        tools = [{"name": name, "inputSchema": {"type": "object"}} for name in names]
        answer["result"] = {"tools": tools, "ttlMs": 0, "cacheScope": "private", "resultType": "complete"}
    else:
        answer["error"] = {"code": -32601, "message": "Method not found"}
    print(json.dumps(answer), flush=True)
"""

REFUSES = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if "id" in asked:
        error = {"code": -32000, "message": "the licence is over"}
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "error": error}), flush=True)
"""


def python(code: str) -> Entry:
    return Entry(name="s", command=sys.executable, args=("-c", code), start_timeout_s=20)


async def test_a_server_that_knows_no_handshake_is_asked_without_one_and_its_tools_looked_at_each_time() -> None:
    async with box_of(python(f"names = []\n{MODERN}")) as box:
        assert [tool.name for tool in await box.tools()] == ["tool_0"]
        assert [tool.name for tool in await box.tools()] == ["tool_0", "tool_1"]


async def test_what_a_server_says_against_us_is_told() -> None:
    connection = Connection(python(REFUSES), None, lambda: None)
    with pytest.raises(ToolServerUnavailable, match="it said 'the licence is over'"):
        await connection.open()
    assert connection.over


async def test_leaving_while_it_opens_ends_what_was_started() -> None:
    connection = Connection(entry("silent"), None, lambda: None)
    opening = asyncio.ensure_future(connection.open())
    async with asyncio.timeout(20):
        while connection._child is None:  # noqa: ASYNC110 - nothing else tells that it was started
            await asyncio.sleep(0.01)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert connection.over
    await connection.aclose()


async def test_one_that_was_never_opened_is_closed_without_ado() -> None:
    connection = Connection(entry(), None, lambda: None)
    await connection.aclose()
    assert not connection.over


async def test_what_servers_say_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    async with box_of(python("print('{\"secret\": [', flush=True)\n" + REFUSES)) as box:
        with pytest.raises(ToolServerUnavailable):
            await box.tools()
    assert "secret" not in caplog.text


def test_the_error_inside_of_groups_is_found() -> None:
    inner = ValueError("x")
    assert first_of(ExceptionGroup("a", [ExceptionGroup("b", [inner])])) is inner
