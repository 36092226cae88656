"""A small MCP server made with the official package: what is good about servers, and what goes wrong with them.

    python -m tests.fakes.mcp_server            over standard input and output
    python -m tests.fakes.mcp_server --http     over streamable HTTP; prints its URL

The environment variable FAKE_MCP chooses a fault of its start: `dies`, `silent`, `chatty`, `stays`.
"""

import asyncio
import os
import socket
import struct
import sys
import threading
import time
import zlib
from pathlib import Path

from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.types import ToolAnnotations

server = MCPServer("fake", instructions="A server for tests.")


def png() -> bytes:
    """A picture of one red pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0\xff\0\0")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool(name="dotted.name/with letters")
def dotted() -> str:
    """A name that models do not accept."""
    return "dotted"


@server.tool()
def fail(reason: str) -> str:
    """Fail, and say why."""
    raise ValueError(reason)


@server.tool()
def picture() -> list[str | Image]:
    """Give back a picture with a word."""
    return ["a pixel", Image(data=png(), format="png")]


@server.tool()
async def steps(count: int, ctx: Context) -> str:
    """Tell how far it is."""
    for number in range(1, count + 1):
        await ctx.report_progress(number, count, f"step {number}")
    return "done"


@server.tool()
async def slow(note: str) -> str:
    """Never end, unless it is cancelled: then it writes the file that *note* names."""
    Path(f"{note}.begun").touch()  # noqa: ASYNC240 - an empty file
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        Path(note).write_text("cancelled")  # noqa: ASYNC240 - a file of some bytes
        raise
    return "never"


@server.tool()
def crash(status: int = 3) -> str:
    """End the server in the middle."""
    sys.stderr.write(f"Error: the disk is on fire ({os.environ.get('FAKE_SECRET', '')})\n")
    sys.stderr.flush()
    os._exit(status)


@server.tool()
def huge(letters: int) -> str:
    """Give back many letters."""
    return "x" * letters


@server.tool()
def environment(name: str) -> str:
    """A variable of the server's environment."""
    return os.environ.get(name, "(not set)")


@server.tool()
def pid() -> int:
    """The number of the server's process."""
    return os.getpid()


@server.tool()
async def grow(ctx: Context) -> str:
    """Get a new tool, and tell that there is one."""
    server.add_tool(grown, name="grown", description="It was not there before.")
    await ctx.session.send_tool_list_changed()
    return "grown"


def grown() -> str:
    return "new"


@server.resource("memo://today", mime_type="text/plain")
def today() -> str:
    """What there is to do today."""
    return "Water the plants."


@server.resource("memo://picture", mime_type="image/png")
def pixel() -> bytes:
    """A pixel."""
    return png()


@server.prompt()
def greet(name: str) -> str:
    """Greet somebody."""
    return f"Greet {name} in one word."


def serve_http() -> None:
    """Over streamable HTTP on a free port of loopback; the URL is the first line that is printed."""
    import uvicorn

    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    sys.stdout.write(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp\n")
    sys.stdout.flush()
    config = uvicorn.Config(server.streamable_http_app(), log_level="error")
    uvicorn.Server(config).run(sockets=[listening])


def main() -> None:
    """Serve, or do what FAKE_MCP says."""
    fault = os.environ.get("FAKE_MCP", "")
    if fault == "dies":
        sys.stderr.write("Error: no licence found\n")
        sys.exit(5)
    if fault == "silent":
        threading.Event().wait()
    if fault == "chatty":
        sys.stdout.write('Starting the server...\n{not json\n{"id": 1, "level": "info"}\n')
        sys.stdout.flush()
    if fault == "endless":
        piece = b"x" * 2**20
        while True:
            sys.stdout.buffer.write(piece)
    if "--http" in sys.argv:
        serve_http()
        return
    server.run("stdio")
    if fault == "stays":  # although its standard input has ended
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main()
