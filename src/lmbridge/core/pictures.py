"""A picture as a message carries it, from wherever it is: a file, its bytes, a `data:` URL."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Final, TypeAlias

from lmbridge.core.errors import InvalidRequest
from lmbridge.core.messages import ImagePart

Picture: TypeAlias = ImagePart | Path | str | bytes
"""A file by its path, a `data:` URL, or what a file holds."""

MAGIC: Final[tuple[tuple[bytes, int, str], ...]] = (
    (b"\x89PNG\r\n\x1a\n", 0, "image/png"),
    (b"\xff\xd8\xff", 0, "image/jpeg"),
    (b"GIF8", 0, "image/gif"),
    (b"WEBP", 8, "image/webp"),
)
"""How a picture's file begins: these bytes, at this place."""

MOST_BYTES: Final = 20 * 2**20


def picture(source: Picture) -> ImagePart:
    """The part of a message that shows it; what kind of picture it is, its first bytes tell.

    Raises:
        InvalidRequest: no picture of a known kind, one that is too large, a file that cannot be read, or an
            address on the network: the hub fetches nothing because a message says so.
    """
    if isinstance(source, ImagePart):
        return source
    if isinstance(source, str) and source.startswith("data:"):
        return ImagePart(source)
    if isinstance(source, str) and "://" in source:
        raise InvalidRequest(
            f"{source[:100]!r} is an address, and no picture is fetched from one.",
            hint="Fetch it, and give its bytes.",
        )
    if isinstance(source, bytes):
        return _part(source, "It")
    given: object = source
    if not isinstance(given, str | Path):
        raise InvalidRequest(f"{given!r:.100} is no picture.", hint="Give a path, a `data:` URL or bytes.")
    path = Path(given)
    try:
        return _part(path.read_bytes(), str(path))
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.") from error


def _part(data: bytes, name: str) -> ImagePart:
    kind = next((kind for magic, at, kind in MAGIC if data[at : at + len(magic)] == magic), None)
    if kind is None:
        raise InvalidRequest(f"{name} is not a PNG, JPEG, WebP or GIF picture.", hint="Convert it first.")
    if len(data) > MOST_BYTES:
        raise InvalidRequest(
            f"{name} has {len(data):,} bytes, and a picture may have {MOST_BYTES:,}.",
            hint="Make it smaller; models look at far fewer pixels anyway.",
        )
    return ImagePart(f"data:{kind};base64,{base64.b64encode(data).decode()}")
