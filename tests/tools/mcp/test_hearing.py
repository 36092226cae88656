"""Servers that say what is no MCP: one bad tool costs that tool, one bad answer costs that call."""

from __future__ import annotations

import json

import pytest
from tests.tools.mcp.conftest import box_of, entry

from lmbridge.core.errors import ToolServerUnavailable
from lmbridge.machine.mcp.entries import Entry
from lmbridge.tools.mcp.hearing import broken_answer, why_unusable

FINE = {"type": "object", "properties": {"x": {"type": "integer"}}}
GOOD = {"name": "good", "inputSchema": FINE}
ANSWER = '{"jsonrpc":"2.0","id":@,"result":{"content":[{"type":"text","text":"fine"}]}}'


def raw(*tools: object, call: str = ANSWER) -> Entry:
    return entry(args=("-m", "tests.fakes.raw_mcp_server", json.dumps({"tools": tools}), call), start_timeout_s=20)


@pytest.mark.parametrize(
    ("tool", "why"),
    [
        ({"name": "bad", "inputSchema": {"type": "string"}}, "inputSchema.type"),
        ({"name": "bad", "inputSchema": {"type": "object", "properties": "x"}}, "inputSchema.properties"),
        ({"name": "bad", "inputSchema": {"$ref": "#"}}, "inputSchema.type"),
        ({"name": "bad", "inputSchema": [1]}, "inputSchema"),
    ],
)
async def test_a_tool_whose_schema_is_none_is_left_out_and_the_others_stay(tool: object, why: str) -> None:
    async with box_of(raw(tool, GOOD)) as box:
        assert [one.name for one in await box.tools()] == ["good"]
        assert f"it is no tool of MCP: {why}" in box.left_out["bad"]
        assert (await box.call("good", {"x": 1})).text == "fine"
        assert "it is no tool of MCP" in (await box.call("bad", {})).text


@pytest.mark.parametrize("tool", [{"inputSchema": FINE}, {"name": 5, "inputSchema": FINE}, 7, None])
async def test_what_has_no_name_is_left_out_too(tool: object) -> None:
    async with box_of(raw(tool, GOOD)) as box:
        assert [one.name for one in await box.tools()] == ["good"]
        assert list(box.left_out) == ["(without a name)"]


@pytest.mark.parametrize(
    "tool",
    [
        {"name": "good"},
        {"name": "good", "inputSchema": None},
        {"name": "good", "inputSchema": {"properties": {"x": {"type": "integer"}}}},
    ],
)
async def test_a_schema_that_only_does_not_say_that_it_is_one_of_an_object_is_made_whole(tool: object) -> None:
    async with box_of(raw(tool)) as box:
        (one,) = await box.tools()
        assert one.parameters["type"] == "object"
        assert (await box.call("good", {"x": 1})).text == "fine"


@pytest.mark.parametrize(
    "call",
    [
        '{"jsonrpc":"2.0","id":@,"result":null}',
        '{"jsonrpc":"2.0","id":@,"error":"oops"}',
        '{"jsonrpc":"2.0","id":@,"error":{"code":"E_FAIL","message":"m"}}',
        '{"jsonrpc":"2.0","id":@,"result":{"content":[{"type":"text","text":"\\\\ud800"}]}}',
        '{"jsonrpc":"2.0","id":@,"result":{"content":[{"type":"text","text":"\\xff\\xfe"}]}}',
    ],
)
async def test_an_answer_that_is_none_is_a_failed_call_at_once_and_the_server_stays(call: str) -> None:
    async with box_of(raw(GOOD, call=call)) as box:
        for _ in range(2):
            result = await box.call("good", {})
            assert (result.is_error, result.text) == (True, "good failed: its answer is no message of JSON-RPC")


async def test_a_list_that_the_server_refuses_is_the_servers_fault() -> None:
    refusing = entry(args=("-m", "tests.fakes.raw_mcp_server", "null", ANSWER))
    async with box_of(refusing) as box:
        with pytest.raises(ToolServerUnavailable, match="it said 'no list today'"):
            await box.tools()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"lorem ipsum",
        b"[" * 100_000,
        b"[1]",
        b"{}",
        b'{"id": 1, "result": null}',
        b'{"jsonrpc": "2.0", "id": 1}',
        b'{"jsonrpc": "2.0", "id": null, "result": 1}',
        b'{"jsonrpc": "2.0", "id": 1, "method": 7}',
    ],
)
def test_what_was_not_meant_as_an_answer_is_none(line: bytes) -> None:
    assert broken_answer(line) is None


def test_a_tool_that_is_one_is_taken() -> None:
    assert why_unusable(GOOD) == ""
