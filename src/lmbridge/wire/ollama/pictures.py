"""Pictures as Ollama's clients send them: bare base64, without a word about what is in it."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from typing import Final

from lmbridge.core.errors import InvalidRequest

_KINDS: Final = ((b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif"), (b"BM", "bmp"))


def data_url(text: str, param: str) -> str:
    """A picture as a `data:` URL; its first bytes say of which kind it is.

    Raises:
        InvalidRequest: it is not base64, or no picture that models are shown.
    """
    try:
        data = b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:  # not ASCII is a ValueError
        raise InvalidRequest(
            f"`{param}` is not base64.",
            hint="Send the bytes of the picture in base64, without `data:` before it; addresses are not fetched.",
            param=param,
        ) from error
    return f"data:image/{_kind(data, param)};base64,{b64encode(data).decode()}"


def _kind(data: bytes, param: str) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    for begin, kind in _KINDS:
        if data.startswith(begin):
            return kind
    raise InvalidRequest(f"`{param}` is no picture: PNG, JPEG, WebP, GIF and BMP are known.", param=param)
