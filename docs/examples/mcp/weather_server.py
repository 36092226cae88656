"""An MCP server with one tool, made with the official package: `pip install mcp`."""

from mcp.server.mcpserver import MCPServer

server = MCPServer("weather")


@server.tool()
def get_weather(city: str) -> str:
    """Get the current weather of a city."""
    return f"18 degrees and sunny in {city}"


if __name__ == "__main__":
    server.run("stdio")
