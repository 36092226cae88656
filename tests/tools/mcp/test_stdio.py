"""Messages over the standard input and output of a server: what is none is passed over, and its end is told."""

import sys

import anyio
import pytest
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCNotification, JSONRPCRequest

from lmbridge.machine.mcp.child import start
from lmbridge.machine.mcp.entries import Entry
from lmbridge.tools.mcp.stdio import over_child

ECHO = """
import sys
print("Starting...", flush=True)
for line in sys.stdin:
    print("{ nonsense", flush=True)
    print(line.strip(), flush=True)
"""


def python(code: str) -> Entry:
    return Entry(name="s", command=sys.executable, args=("-c", code))


async def test_messages_go_both_ways_and_lines_that_are_none_are_passed_over() -> None:
    child = await start(python(ECHO))
    sent = JSONRPCRequest(jsonrpc="2.0", id=1, method="ping")
    with anyio.fail_after(20):
        async with over_child(child) as (heard, said):
            await said.send(SessionMessage(sent))
            found = await heard.receive()
    assert isinstance(found, SessionMessage)
    assert found.message == sent
    assert child.ended


async def test_the_end_of_a_server_ends_what_is_heard() -> None:
    child = await start(python("pass"))
    with anyio.fail_after(20):
        async with over_child(child) as (heard, said):
            with pytest.raises(anyio.EndOfStream):
                await heard.receive()
            del said


async def test_who_talks_to_a_server_that_is_gone_is_told_by_the_end() -> None:
    child = await start(python("import os; os.close(0); os.close(1); import time; time.sleep(600)"))
    note = SessionMessage(JSONRPCNotification(jsonrpc="2.0", method="x"))
    with anyio.fail_after(20):
        async with over_child(child) as (heard, said):
            await said.send(note)
            with pytest.raises((anyio.EndOfStream, anyio.ClosedResourceError)):
                await heard.receive()


async def test_a_message_without_end_is_the_servers_fault() -> None:
    child = await start(python("import sys\nwhile True: sys.stdout.write('x' * 65536)"))
    with anyio.fail_after(60):
        async with over_child(child) as (heard, _):
            with pytest.raises(anyio.EndOfStream):
                await heard.receive()
    assert "more than 32 MiB" in child.fault
