"""Serves the models of any OpenAI-compatible server to an MCP host: `python -m openai_mcp_server`."""
