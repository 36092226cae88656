"""An MCP server that answers with the very bytes it is told: what no package lets a server say.

    python -m tests.fakes.raw_mcp_server LIST CALL

LIST is the result of `tools/list` as JSON, an error if it is `null`. CALL is the line that answers `tools/call`,
with `@` for the id; `\\xNN` stands for a byte.
"""

import json
import sys

WELCOME = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "raw", "version": "1"},
}


def main() -> None:
    """Answer until nobody asks any more."""
    listed, call = sys.argv[1], sys.argv[2].encode().decode("unicode_escape").encode("latin-1")
    for line in sys.stdin:
        asked = json.loads(line)
        if "id" not in asked:
            continue
        id = json.dumps(asked["id"])
        if asked["method"] == "tools/call":
            said = call.replace(b"@", id.encode())
        elif asked["method"] == "tools/list" and listed == "null":
            said = f'{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32603,"message":"no list today"}}}}'.encode()
        else:
            result = listed if asked["method"] == "tools/list" else json.dumps(WELCOME)
            said = f'{{"jsonrpc":"2.0","id":{id},"result":{result}}}'.encode()
        sys.stdout.buffer.write(said + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
