"""Trying out the command of an MCP server: it is started, greeted as every host does, and ended.

Source: https://modelcontextprotocol.io/specification/2025-06-18/basic/lifecycle, and `/basic/transports`: over
stdio each line is one message of JSON-RPC.
"""

from __future__ import annotations

import asyncio
import json
import os
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from lmbridge.core.errors import CommandFailed

PATIENCE_S: Final = 20.0
MOST_BYTES: Final = 2**20
PROTOCOL: Final = "2025-06-18"


async def greet(command: Sequence[str], environ: Mapping[str, str] | None = None) -> str:
    """Name and version of the server that a command runs.

    Args:
        environ: variables besides those of this process.

    Raises:
        CommandFailed: it cannot be run, ends, says something else, or says nothing.
    """
    shown = " ".join(command)
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env={**os.environ, **(environ or {})},
            limit=MOST_BYTES,
        )
    except OSError as error:
        raise CommandFailed(shown, error.strerror or str(error)) from error
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await _greeted(process, shown)
    except TimeoutError as error:
        raise CommandFailed(shown, f"it did not answer `initialize` within {PATIENCE_S:.0f} s") from error
    finally:
        await _end(process)


async def _greeted(process: asyncio.subprocess.Process, shown: str) -> str:
    about = {"name": "lmbridge-connect", "version": "1"}
    params = {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": about}
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - both are pipes
    with suppress(ConnectionError):  # it has ended: what it said before tells more
        process.stdin.write(json.dumps(message).encode() + b"\n")
        await process.stdin.drain()
    try:
        line = await process.stdout.readline()
    except ValueError as error:
        raise CommandFailed(shown, "its first line is endless") from error
    if not line:
        raise CommandFailed(shown, "it ended without an answer", status=await process.wait())
    try:
        answer = json.loads(line)
        info = answer["result"]["serverInfo"]
        return f"{info['name']} {info['version']}"
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CommandFailed(shown, "its answer to `initialize` is none of MCP's") from error


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(2):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
