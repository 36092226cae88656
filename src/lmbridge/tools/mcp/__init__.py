"""MCP servers as places where tool calls go: we are their client. The package `mcp` is imported late."""
