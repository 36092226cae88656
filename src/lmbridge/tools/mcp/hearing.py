"""What an MCP server says, before the official package reads it: it takes a list of tools whole or not at all.

Many a server has one tool whose schema is none. So tools that are none are taken out of a list, and told; one that
has no schema, or whose schema only does not say that its arguments are an object, is made whole.
"""

from __future__ import annotations

import json
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from mcp.shared._stream_protocols import ReadStream
    from mcp.shared.message import SessionMessage
    from mcp_types import JSONRPCError

_VERSION: Final = "2025-11-25"
"""Of the protocol, whose rules for tools are applied; they are those of all others."""


class Sifted:
    """The messages of a server; satisfies the package's `ReadStream`.

    Args:
        unusable: gets the names of tools that are taken out, with the reason.
    """

    def __init__(self, inner: ReadStream[SessionMessage | Exception], unusable: dict[str, str]) -> None:
        self._inner, self._unusable = inner, unusable

    @property
    def last_context(self) -> object:
        """What the package keeps beside a message."""
        return getattr(self._inner, "last_context", None)

    async def receive(self) -> SessionMessage | Exception:
        """The next message."""
        return self._sifted(await self._inner.receive())

    async def aclose(self) -> None:
        """Hear no more."""
        await self._inner.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        return self._sifted(await self._inner.__anext__())

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._inner.__aexit__(kind, error, trace)

    def _sifted(self, item: SessionMessage | Exception) -> SessionMessage | Exception:
        result: dict[str, Any] = getattr(getattr(item, "message", None), "result", None) or {}
        if isinstance(tools := result.get("tools"), list):
            result["tools"] = [tool for tool in map(_whole, tools) if not self._takes_out(tool)]
        return item

    def _takes_out(self, tool: object) -> bool:
        why = why_unusable(tool)
        if why:
            name = tool.get("name") if isinstance(tool, dict) else None
            self._unusable[name if isinstance(name, str) else "(without a name)"] = why
        return bool(why)


def _whole(tool: object) -> object:
    if not isinstance(tool, dict):
        return tool
    schema = tool.get("inputSchema")
    if schema is None:
        return {**tool, "inputSchema": {"type": "object", "properties": {}}}
    if isinstance(schema, dict) and "type" not in schema and "$ref" not in schema:
        return {**tool, "inputSchema": {"type": "object", **schema}}
    return tool


def why_unusable(tool: object) -> str:
    """Why the package would not take a tool; "" if it does."""
    from mcp_types.methods import validate_server_result
    from pydantic import ValidationError

    try:
        validate_server_result("tools/list", _VERSION, {"tools": [tool]})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"][2:])[:100]
        return f"it is no tool of MCP: {where + ': ' if where else ''}{first['msg'][:200]}"
    return ""


def broken_answer(line: bytes) -> JSONRPCError | None:
    """A line that is no message, as the error that it is, where it was meant as an answer: nobody is to wait for
    another one. None for all other lines."""
    from mcp_types import PARSE_ERROR, ErrorData, JSONRPCError

    try:
        found = json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    meant = isinstance(found, dict) and found.get("jsonrpc") == "2.0" and ("result" in found or "error" in found)
    if not meant or not isinstance(found.get("id"), int | str):
        return None
    error = ErrorData(code=PARSE_ERROR, message="its answer is no message of JSON-RPC")
    return JSONRPCError(jsonrpc="2.0", id=found["id"], error=error)
