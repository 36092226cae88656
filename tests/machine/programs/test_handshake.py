"""Greeting the command of an MCP server."""

import os
import sys

import pytest

from lmbridge.core.errors import CommandFailed
from lmbridge.machine.programs.handshake import greet

pytestmark = pytest.mark.anyio
OURS = (sys.executable, "-m", "lmbridge", "mcp")
ANSWER = '{"jsonrpc": "2.0", "id": 1, "result": {"serverInfo": {"name": "x", "version": "2"}}}'


async def test_our_own_server_answers_with_its_name(tmp_path: object) -> None:
    assert (await greet(OURS, {"LMBRIDGE_HOME": str(tmp_path)})).startswith("lmbridge ")


async def test_a_server_that_stays_is_ended() -> None:
    code = f"import sys, time; sys.stdin.readline(); print('{ANSWER}', flush=True)"
    assert await greet((sys.executable, "-c", code)) == "x 2"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import sys; sys.exit(3)", "ended without an answer"),
        ("input(); print('hello')", "none of MCP's"),
        ("input(); print('[]')", "none of MCP's"),
        ("input(); print('{\"result\": {}}')", "none of MCP's"),
        ("input(); print('x' * 3_000_000)", "endless"),
    ],
)
async def test_what_is_no_mcp_server_is_told(code: str, said: str) -> None:
    with pytest.raises(CommandFailed, match=said):
        await greet((sys.executable, "-c", code))


async def test_a_command_that_is_not_there_is_told(tmp_path: object) -> None:
    with pytest.raises(CommandFailed, match="No such file"):
        await greet((f"{tmp_path}{os.sep}none", "mcp"))
