"""MCP servers of this user: which there are, whether he agreed to them, and their processes."""
