"""A gateway whose model has our own MCP server among its tools, and that server asks the same gateway."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.doors.gateway.asking import SESSION, Running, running
from tests.doors.gateway.lmstudio.test_integrations import KEY, OPEN, PATH, Acting, asking

from lmbridge.core.depth import HEADER
from lmbridge.machine.gateway_file import GatewayFile
from lmbridge.tools.mcp.lending import Lending
from lmbridge.tools.mcp.servers import MCPServers
from lmbridge.version import __version__


@pytest.fixture
def actor() -> Acting:
    return Acting()


@pytest.fixture
async def up(actor: Acting, tmp_path: Path) -> AsyncIterator[Running]:
    env = {"LMBRIDGE_HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    itself = {
        "command": sys.executable,
        "args": ["-m", "lmbridge", "mcp", "--gateway"],
        "env": env,
        "policy": "always",
    }
    servers = MCPServers(tmp_path, {"itself": itself}, theirs=tmp_path / "none")
    servers.consents.allow(servers.entry("itself"))
    async with running([actor], tmp_path, OPEN, servers=Lending(servers)) as gateway:
        GatewayFile.of_this_process(gateway.url, SESSION, __version__).write(tmp_path)
        yield gateway


def result_of(actor: Acting) -> str:
    """What the model was told of its tool's result."""
    (told,) = [turn.text for turn in actor.asked[-1].turns if turn.role == "tool"]
    return told


async def test_a_model_may_use_the_gateway_that_it_is_asked_through(up: Running, actor: Acting) -> None:
    actor.calls("list_models", {})
    assert (await up.post(PATH, asking("mcp/itself"), KEY)).status == 200
    assert '"name":"actor"' in result_of(actor)


async def test_the_model_that_is_asked_by_a_tool_gets_no_further(up: Running, actor: Acting) -> None:
    actor.calls("chat", {"prompt": "What is 2 + 3?", "model": "actor"})
    assert (await up.post(PATH, asking("mcp/itself"), {**KEY, HEADER: "1"})).status == 200
    assert len(actor.asked) == 2, "nobody else was asked"
    assert "round and round" in result_of(actor)
