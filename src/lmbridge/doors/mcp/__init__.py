"""The door for MCP hosts: tools and resources over stdio and HTTP, on the official `mcp` package.

`stdio` and `http` run it. Modules that import the package are imported by them alone, late: `server`, `lending`.
"""
