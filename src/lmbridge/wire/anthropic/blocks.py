"""The blocks that messages are made of, as clients send them.

Fields not named here are let pass, because clients send back whatever an earlier answer held: `citations`,
`caller`, `signature`. A block of a type that is not here is refused by its type.
(https://platform.claude.com/docs/en/api/messages)
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct


class TextBlock(Struct, tag="text", gc=False):
    """Words."""

    text: str


# ---- pictures


class Base64Image(Struct, tag="base64", gc=False):
    """The picture itself."""

    media_type: Literal["image/png", "image/jpeg", "image/gif", "image/webp"]
    data: str


class URLImage(Struct, tag="url", gc=False):
    """Where a picture is; here only a `data:` URL."""

    url: str


class FileImage(Struct, tag="file", gc=False):
    """Known, so that it is refused by its name."""


class ImageBlock(Struct, tag="image"):
    """A picture."""

    source: Base64Image | URLImage | FileImage


# ---- documents


class TextSource(Struct, tag="text", gc=False):
    """Plain text."""

    data: str


class BlocksSource(Struct, tag="content"):
    """Text, or blocks of text and pictures."""

    content: str | list[TextBlock | ImageBlock]


class Base64Source(Struct, tag="base64", gc=False):
    """A PDF: known, so that it is refused by its name."""


class URLSource(Struct, tag="url", gc=False):
    """Known, so that it is refused by its name."""


class FileSource(Struct, tag="file", gc=False):
    """Known, so that it is refused by its name."""


class DocumentBlock(Struct, tag="document"):
    """A document; its text can be read, nothing else."""

    source: TextSource | BlocksSource | Base64Source | URLSource | FileSource
    title: str | None = None
    context: str | None = None


class SearchResultBlock(Struct, tag="search_result"):
    """What a search of the caller's found."""

    source: str
    title: str
    content: list[TextBlock]


class ToolReferenceBlock(Struct, tag="tool_reference", gc=False):
    """A tool that a search of the caller's found; like all tools it is shown to the model anyway."""

    tool_name: str


# ---- what models say


class ThinkingBlock(Struct, tag="thinking", gc=False):
    """What an earlier answer thought."""

    thinking: str


class RedactedThinkingBlock(Struct, tag="redacted_thinking", gc=False):
    """Thoughts that only Anthropic can read."""


class ToolUseBlock(Struct, tag="tool_use"):
    """A call of an earlier answer."""

    id: str
    name: str
    input: dict[str, object] = {}


Shown: TypeAlias = TextBlock | ImageBlock | DocumentBlock | SearchResultBlock | ToolReferenceBlock
"""What can be shown to a model."""


class ToolResultBlock(Struct, tag="tool_result"):
    """What a call gave."""

    tool_use_id: str
    content: str | list[Shown] | None = None
    is_error: bool | None = None


Block: TypeAlias = (
    TextBlock
    | ImageBlock
    | DocumentBlock
    | SearchResultBlock
    | ThinkingBlock
    | RedactedThinkingBlock
    | ToolUseBlock
    | ToolResultBlock
)
