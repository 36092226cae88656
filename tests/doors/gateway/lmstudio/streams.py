"""Reading the streams of LM Studio's own chat as bytes."""

from __future__ import annotations

import json
from typing import Any

from lmbridge.wire.sse import SSEDecoder

Frame = dict[str, Any]


def frames(body: bytes) -> list[Frame]:
    """The data of every frame of a stream, which must be whole."""
    decoder = SSEDecoder()
    found = []
    for event in decoder.feed(body):
        frame = json.loads(event.data)
        assert frame["type"] == event.name
        found.append(frame)
    decoder.close()
    return found


def words(stream: list[Frame], kind: str = "message") -> str:
    """What was said, or thought."""
    return "".join(frame["content"] for frame in stream if frame["type"] == f"{kind}.delta")
