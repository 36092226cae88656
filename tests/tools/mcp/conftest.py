"""A real MCP server, made with the official package, over both transports."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from lmbridge.machine.mcp.entries import Entry
from lmbridge.tools.mcp.box import MCPBox

ROOT = Path(__file__).parents[3]
ARGUMENTS = ("-m", "tests.fakes.mcp_server")

Boxes = Callable[..., Any]


def entry(fault: str = "", **more: Any) -> Entry:
    """The fake server over its standard input and output."""
    env = {"FAKE_MCP": fault, "FAKE_SECRET": "s3cret-s3cret"}
    return Entry(
        **{
            "name": "fake",
            "command": sys.executable,
            "args": ARGUMENTS,
            "cwd": str(ROOT),
            "env": env,
            "policy": "always",
            **more,
        }
    )


@asynccontextmanager
async def box_of(made: Entry, **more: Any) -> AsyncIterator[MCPBox]:
    """A box that is closed in the end."""
    box = MCPBox(made, **more)
    try:
        yield box
    finally:
        await box.aclose()


@pytest.fixture(scope="session")
def http_server() -> Iterator[str]:
    """The URL of the fake server over streamable HTTP."""
    command = [sys.executable, *ARGUMENTS, "--http"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.kill()
