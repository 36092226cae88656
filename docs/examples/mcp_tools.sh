# The tools of an MCP server in the terminal: what there is, agreeing to it, and a model that uses it.
set -e
lmbridge mcp servers list
lmbridge mcp servers allow weather --all-tools --yes
lmbridge mcp servers tools weather
lmbridge mcp servers call weather get_weather '{"city": "Oslo"}'
lmbridge chat lmbridge-tiny -t 0 -p "What is the weather in Paris?" --mcp weather --yes
