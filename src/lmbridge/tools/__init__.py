"""Where tool calls go: Python functions, a folder's files, MCP servers. Each is a `core.tools.Toolbox`."""
