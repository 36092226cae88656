"""What an MCP host does with `lmbridge mcp`: starts it, looks at it, asks. Needs `pip install 'lmbridge[mcp]'`."""

import asyncio
import sys

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

SERVER = StdioServerParameters(command=sys.executable, args=["-m", "lmbridge", "mcp"])


async def show(progress: float, total: float | None, message: str | None) -> None:
    print(f"… {message}")


async def main() -> None:
    async with Client(stdio_client(SERVER)) as client:
        print("tools:", ", ".join(tool.name for tool in (await client.list_tools()).tools))

        question = {"model": "lmbridge-tiny", "prompt": "What is lmbridge?", "temperature": 0}
        answer = await client.call_tool("chat", question, progress_callback=show)
        print(answer.structured_content["model"], "says:", answer.content[0].text)

        wrong = await client.call_tool("chat", {**question, "model": "lmbridge-tinny"})
        print("an error is a result:", wrong.is_error, wrong.content[0].text)


asyncio.run(main())
