"""What an MCP server gives back, as what a model is shown: text and pictures, within limits.

Sound, and data that is neither text nor a picture, is told of and left out: no model here could take it. What is
cut off says so. https://modelcontextprotocol.io/specification/2025-11-25/server/tools#tool-result
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import msgspec

from lmbridge.core.messages import ImagePart, Message, Part, TextPart
from lmbridge.core.tools import ToolResult

if TYPE_CHECKING:
    from mcp_types import (
        BlobResourceContents,
        CallToolResult,
        ContentBlock,
        GetPromptResult,
        ReadResourceResult,
        TextResourceContents,
    )

MOST_TEXT: Final = 200_000
"""Letters of one result. Some 50,000 tokens: what is longer fills the context of most models."""
MOST_PICTURES: Final = 16
MOST_PICTURE: Final = 20 * 2**20
"""Letters of one picture in base64."""
_PICTURES: Final = frozenset(("image/png", "image/jpeg", "image/webp", "image/gif"))
_BASE64: Final = re.compile(r"[A-Za-z0-9+/\s]*={0,2}\s*", re.ASCII)


class _Parts:
    """Collects text and pictures up to the limits."""

    def __init__(self, most_text: int) -> None:
        self.parts: list[Part] = []
        self._left, self._cut, self._pictures = most_text, 0, 0

    def say(self, text: str) -> None:
        """Add text, as much of it as there is room for."""
        self._cut += max(0, len(text) - self._left)
        if kept := text[: self._left]:
            self._left = max(0, self._left - len(kept) - 1)  # what stands between two counts, too
            self.parts.append(TextPart(kept))

    def show(self, kind: str, data: str) -> None:
        """Add a picture, or say why it is not there."""
        if kind not in _PICTURES:
            self.say(f"[a picture of the type {kind[:40]}, which is not shown]")
        elif len(data) > MOST_PICTURE or self._pictures == MOST_PICTURES:
            self.say("[a picture that is not shown: too large, or one too many]")
        elif not data or not _BASE64.fullmatch(data):
            self.say("[a picture that is broken]")
        else:
            self._pictures += 1
            self.parts.append(ImagePart(f"data:{kind};base64,{data}"))

    def content(self) -> str | tuple[Part, ...]:
        """What there is: plain text where there are no pictures."""
        if self._cut:
            self.parts.append(TextPart(f"\n[{self._cut} more characters are cut off]"))
        if self._pictures:
            return tuple(self.parts)
        return "\n".join(part.text for part in self.parts if isinstance(part, TextPart))


def of_call(result: CallToolResult, most_text: int = MOST_TEXT) -> ToolResult:
    """What a call gave back.

    A structured result is shown where there is nothing else: a server that gives one says the same in text, so
    that clients who know no structure are served (as the protocol asks of it).
    """
    parts = _Parts(most_text)
    _add(parts, result.content)
    if not parts.parts and result.structured_content is not None:
        parts.say(msgspec.json.encode(result.structured_content).decode())
    return ToolResult(parts.content(), result.is_error)


def of_resource(result: ReadResourceResult, most_text: int = MOST_TEXT) -> ToolResult:
    """What a resource holds."""
    parts = _Parts(most_text)
    for contents in result.contents:
        _embedded(parts, contents)
    return ToolResult(parts.content())


def of_prompt(result: GetPromptResult, most_text: int = MOST_TEXT) -> tuple[Message, ...]:
    """A prompt as turns of a conversation."""
    turns: list[Message] = []
    for message in result.messages:
        parts = _Parts(most_text)
        _add(parts, [message.content])
        turns.append(Message(message.role, parts.content()))
    return tuple(turns)


def _add(parts: _Parts, blocks: Iterable[ContentBlock]) -> None:
    for block in blocks:
        match block.type:
            case "text":
                parts.say(block.text)
            case "image":
                parts.show(block.mime_type, block.data)
            case "audio":
                parts.say(f"[sound of the type {block.mime_type[:40]}, which is not played]")
            case "resource_link":
                parts.say(f"[the resource {block.uri[:2000]}: {(block.description or block.name)[:500]}]")
            case "resource":
                _embedded(parts, block.resource)


def _embedded(parts: _Parts, contents: TextResourceContents | BlobResourceContents) -> None:
    text, data = getattr(contents, "text", None), getattr(contents, "blob", None)
    kind = (contents.mime_type or "").lower()
    if isinstance(text, str):
        parts.say(text)
    elif isinstance(data, str) and kind in _PICTURES:
        parts.show(kind, data)
    else:
        parts.say(f"[{contents.uri[:2000]}: data of the type {kind[:40] or 'unknown'}, which is not shown]")
