"""What blocks show to a model, as the parts of a core message."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final, assert_never

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter
from lmbridge.core.messages import ImagePart, Part, TextPart
from lmbridge.wire.anthropic.blocks import (
    Base64Image,
    BlocksSource,
    DocumentBlock,
    FileImage,
    ImageBlock,
    SearchResultBlock,
    Shown,
    TextBlock,
    TextSource,
    ToolReferenceBlock,
    URLImage,
)
from lmbridge.wire.anthropic.fields import DOCUMENT, IMAGE_ADDRESS, IMAGE_FILE

GAP: Final = "\n\n"
"""Between blocks of text that become one."""


def joined(parts: Sequence[Part]) -> str | tuple[Part, ...]:
    """Text, or parts where there are pictures; texts that follow each other are joined."""
    pieces: list[Part] = []
    for shows, group in groupby(parts, key=lambda part: isinstance(part, ImagePart)):
        if shows:
            pieces += group
        elif text := GAP.join(part.text for part in group if isinstance(part, TextPart) and part.text):
            pieces.append(TextPart(text))
    if any(isinstance(part, ImagePart) for part in pieces):
        return tuple(pieces)
    return pieces[0].text if pieces and isinstance(pieces[0], TextPart) else ""


def to_parts(where: str, block: Shown) -> list[Part]:
    """What a block shows; *where* it stands in the request is for errors.

    Raises:
        InvalidRequest: a picture that is not in the request itself.
        UnsupportedParameter: a source that is not read.
    """
    match block:
        case TextBlock(text):
            return [TextPart(text)]
        case ImageBlock():
            return [_image(where, block)]
        case DocumentBlock():
            return _document(where, block)
        case SearchResultBlock(source, title, content):
            return [TextPart(GAP.join([f"{title}\n{source}", *(inner.text for inner in content)]))]
        case ToolReferenceBlock(name):
            return [TextPart(f"The tool {name} is there.")]
        case _ as never:
            assert_never(never)


def _image(where: str, block: ImageBlock) -> ImagePart:
    match block.source:
        case Base64Image(kind, data):
            return ImagePart(f"data:{kind};base64,{data}")
        case URLImage(url) if url[:11].lower() == "data:image/":
            return ImagePart(url)
        case URLImage():
            param = f"{where}.source.url"
            raise InvalidRequest(f"`{param}`: {IMAGE_ADDRESS.reason}", hint=IMAGE_ADDRESS.hint, param=param)
        case FileImage():
            raise UnsupportedParameter(f"{where}.source", IMAGE_FILE.reason, hint=IMAGE_FILE.hint)
        case _ as never:
            assert_never(never)


def _document(where: str, block: DocumentBlock) -> list[Part]:
    head = [TextPart(text) for text in (block.title, block.context) if text]
    match block.source:
        case TextSource(data) | BlocksSource(str(data)):
            return [*head, TextPart(data)]
        case BlocksSource(list(inner)):
            parts: list[Part] = [*head]
            for number, each in enumerate(inner):
                parts += to_parts(f"{where}.source.content[{number}]", each)
            return parts
        case _:
            raise UnsupportedParameter(f"{where}.source", DOCUMENT.reason, hint=DOCUMENT.hint)
