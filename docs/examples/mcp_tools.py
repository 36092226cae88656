"""A model uses the tool of an MCP server: `pip install 'lmbridge[mcp]'`."""

import asyncio
import shlex
import sys
from pathlib import Path

import lmbridge

SERVER = Path(__file__).parent / "mcp" / "weather_server.py"


async def main() -> None:
    command = shlex.join([sys.executable, str(SERVER)])
    async with lmbridge.connect() as hub, lmbridge.mcp_server("weather", command=command) as weather:
        for tool in await weather.tools():
            print(f"{tool.name}: {tool.description}")
        model = await hub.model("lmbridge-tiny")
        result = await model.act(
            "What is the weather in Paris?",
            [weather],
            sampling=lmbridge.Sampling(temperature=0),
            on_tool_result=lambda answered: print(f"{answered.call.name} -> {answered.result.text}"),
        )
        print(result.text)


asyncio.run(main())
