"""`lmbridge mcp` as hosts start it, with the real engine: the official client over both transports."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp_types import TextContent
from tests.doors.gateway.asking import until
from tests.doors.mcp.asking import MODES, error_of, text_of
from tests.doors.mcp.test_stdio import CALL, INITIALIZE, LIST

from lmbridge.machine.processes import exists

modes = pytest.mark.parametrize("mode", MODES)
SERVER = [sys.executable, "-m", "lmbridge", "mcp", "--no-gateway", "--manage"]
HOST = """
import json, subprocess, sys, time
from pathlib import Path
server = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
for message in json.loads(sys.argv[1]):
    server.stdin.write(json.dumps(message).encode() + b"\\n")
    server.stdin.flush()
while json.loads(server.stdout.readline()).get("id") != 2:
    pass
children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
print(json.dumps([server.pid, *map(int, children)]), flush=True)
time.sleep(600)
"""
"""A host that has a chat answered, tells which processes it has caused, and stays."""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A user with nothing but lmbridge."""
    return {**os.environ, "LMBRIDGE_HOME": str(tmp_path), "LMBRIDGE_DISABLED": "lmstudio"}


@asynccontextmanager
async def connected(env: dict[str, str], mode: str) -> AsyncIterator[Client]:
    parameters = StdioServerParameters(command=SERVER[0], args=SERVER[1:], env=env)
    async with Client(stdio_client(parameters), mode=mode) as client:
        yield client


@modes
async def test_a_host_gets_answers_of_the_engine(env: dict[str, str], mode: str) -> None:
    told: list[tuple[float, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, message))

    async with connected(env, mode) as client:
        assert "chat" in {tool.name for tool in (await client.list_tools()).tools}
        answer = await client.call_tool("chat", {"prompt": "What is lmbridge?"}, progress_callback=hear)
        vectors = await client.call_tool("embed", {"texts": ["one", "two"]})
        uris = [one.uri for one in (await client.list_resources()).resources]
        wrong = await client.call_tool("chat", {"prompt": "x", "model": "gpt-9"})
    assert "lmbridge" in text_of(answer)
    assert answer.structured_content["model"] == "lmbridge-tiny"
    assert told[-1][1] == text_of(answer)
    assert len(vectors.structured_content["vectors"]) == 2
    assert "lmbridge://models/embedded:lmbridge-tiny" in uris
    assert error_of(wrong)["code"] == "model_not_found"


@modes
async def test_the_presets_of_the_user_are_prompts(env: dict[str, str], tmp_path: Path, mode: str) -> None:
    folder = tmp_path / "presets"
    folder.mkdir()
    (folder / "reviewer.toml").write_text('description = "Strict"\nsystem = "Say what is wrong."\n')
    async with connected(env, mode) as client:
        assert [(one.name, one.description) for one in (await client.list_prompts()).prompts] == [
            ("reviewer", "Strict")
        ]
        (message,) = (await client.get_prompt("reviewer", {"input": "x = 1"})).messages
    assert isinstance(message.content, TextContent)
    assert message.content.text == "Say what is wrong.\n\nx = 1"


@modes
async def test_a_host_that_cancels_gets_the_engine_back(env: dict[str, str], mode: str) -> None:
    begun = asyncio.Event()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        if progress > 2:
            begun.set()

    endless = {
        "prompt": "Tell me about models.",
        "max_tokens": 1900,
        "temperature": 2,
        "schema": {"type": "array", "items": {"type": "integer"}, "minItems": 1000},
    }
    async with connected(env, mode) as client:
        call = asyncio.ensure_future(client.call_tool("chat", endless, progress_callback=hear))
        async with asyncio.timeout(60):
            await begun.wait()
        call.cancel()
        await asyncio.wait({call})
        leases = 1
        async with asyncio.timeout(20):
            while leases:
                status = await client.call_tool("status", {})
                leases = status.structured_content["in_memory"][0].get("leases", 0)
        assert call.cancelled()


def test_nothing_but_the_protocol_is_written_to_a_host(env: dict[str, str]) -> None:
    chat = {**CALL, "id": 3, "params": {"name": "chat", "arguments": {"prompt": "Hello"}}}
    with subprocess.Popen(
        SERVER, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        for message in (INITIALIZE, LIST, CALL, chat):
            server.stdin.write(json.dumps(message).encode() + b"\n")
        server.stdin.flush()
        said = [json.loads(server.stdout.readline()) for _ in range(4)]
        server.stdin.close()
        rest, told = server.stdout.read(), server.stderr.read() if server.stderr is not None else b""
        assert server.wait(30) == 0
    assert sorted(message["id"] for message in said) == [0, 1, 2, 3]
    assert all(message["jsonrpc"] == "2.0" and "result" in message for message in said)
    assert (rest, told) == (b"", b"")


async def test_a_host_that_is_killed_takes_the_server_and_its_engine_with_it(env: dict[str, str]) -> None:
    chat = {**CALL, "params": {"name": "chat", "arguments": {"prompt": "Hello"}}}
    command = [sys.executable, "-c", HOST, json.dumps([INITIALIZE, chat]), *SERVER]
    host = await asyncio.create_subprocess_exec(*command, env=env, stdout=asyncio.subprocess.PIPE)
    assert host.stdout is not None
    caused = json.loads(await host.stdout.readline())
    host.kill()
    await host.wait()
    await until(lambda: not any(exists(pid) for pid in caused))
    assert len(caused) >= 2, "a server, and an engine at least"


@modes
async def test_over_http_the_same_is_served(env: dict[str, str], mode: str) -> None:
    command = [*SERVER, "--http", "--port", "0"]
    server = await asyncio.create_subprocess_exec(*command, env=env, stdout=asyncio.subprocess.PIPE)
    try:
        assert server.stdout is not None
        (url,) = re.findall(r"http://127\.0\.0\.1:\d+/mcp", (await server.stdout.readline()).decode())
        async with Client(url, mode=mode) as client:
            answer = await client.call_tool("complete", {"prompt": "What is lmbridge?", "max_tokens": 20})
        assert "lmbridge" in text_of(answer)
    finally:
        server.terminate()
    assert await server.wait() == 128 + signal.SIGTERM
