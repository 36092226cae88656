"""MCP's framing on a pipe, sans-IO: one JSON-RPC message for each line, and what is said to lines that are none.

Source: https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#stdio
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from lmbridge.doors.mcp.codes import INVALID_REQUEST, PARSE_ERROR

LONGEST: Final = 64 * 2**20
"""Bytes of a line; what is longer is thrown away and told."""

Message: TypeAlias = dict[str, object]
_encode: Final = msgspec.json.Encoder().encode


class Lines:
    """Cuts what is read into lines. `feed` bytes; a last line without its end is none."""

    def __init__(self, longest: int = LONGEST) -> None:
        self._longest = longest
        self._held = bytearray()
        self._looked = 0
        self._lost = False

    def feed(self, data: bytes) -> list[bytes | None]:
        """The lines that *data* completes, without their ends; None for one that was too long."""
        self._held += data
        found: list[bytes | None] = []
        while (end := self._held.find(b"\n", self._looked)) >= 0:
            found.append(None if self._lost or end > self._longest else bytes(self._held[:end]))
            del self._held[: end + 1]
            self._looked, self._lost = 0, False
        if len(self._held) > self._longest:
            self._held.clear()
            self._lost = True
        self._looked = len(self._held)
        return found


def decode(line: bytes | None) -> Message | bytes | None:
    """The message of a line; the answer to one that is no message, as bytes; None for an empty line."""
    if line is None:
        return refusal(INVALID_REQUEST, f"A message may have {LONGEST:,} bytes.")
    if not line.strip():
        return None
    try:
        message = msgspec.json.decode(line)
    except (ValueError, RecursionError) as error:
        return refusal(PARSE_ERROR, f"This is not JSON: {str(error)[:200]}.")
    if not isinstance(message, dict):
        return refusal(INVALID_REQUEST, "A message is one JSON object.")
    return message


def id_of(message: Message) -> str | int | None:
    """The id of a request or an answer; None where it has none that can be used."""
    found = message.get("id")
    return found if isinstance(found, str | int) and not isinstance(found, bool) else None


def answer(id: str | int, result: Message) -> bytes:
    """A result as a line."""
    return _encode({"jsonrpc": "2.0", "id": id, "result": result}) + b"\n"


def refusal(code: int, reason: str, id: str | int | None = None) -> bytes:
    """An error as a line."""
    return _encode({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": reason}}) + b"\n"
