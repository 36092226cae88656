"""Core's messages as the turns of an Anthropic conversation: the way back from `lmbridge.wire.anthropic.turns`.

(https://platform.claude.com/docs/en/api/messages) `fields.TRANSLATED` says what becomes of what.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from itertools import takewhile
from typing import Final, TypeAlias

import msgspec

from lmbridge.core.errors import InvalidRequest
from lmbridge.core.messages import ImagePart, Message, Part, TextPart, ToolCall
from lmbridge.wire.anthropic.parts import GAP
from lmbridge.wire.anthropic.turns import REMINDER

Block: TypeAlias = dict[str, object]

_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_KINDS: Final = {f"image/{kind}": f"image/{kind}" for kind in ("png", "jpeg", "gif", "webp")}
_KINDS["image/jpg"] = "image/jpeg"
_decode: Final = msgspec.json.Decoder().decode


def encode_turns(turns: Sequence[Message]) -> tuple[str, list[Block]]:
    """The instructions, and the turns that follow them; those of one role in a row are one.

    Raises:
        InvalidRequest: nothing is said, or a picture of a form that the API does not take.
    """
    first = list(takewhile(_instructs, turns))
    messages: list[Block] = []
    content: list[Block] = []
    for turn in turns[len(first) :]:
        role = "assistant" if turn.role == "assistant" else "user"
        blocks = _blocks(turn)
        if not blocks:
            continue
        if not messages or messages[-1]["role"] != role:
            content = []
            messages.append({"role": role, "content": content})
        content += blocks
        # The API insists on results before words.
        content.sort(key=lambda block: role == "user" and block["type"] != "tool_result")
    if not messages:
        raise InvalidRequest("There is nothing to answer.", hint="Send a turn of the user.", param="messages")
    return GAP.join(turn.text for turn in first if turn.text.strip()), messages


def _instructs(turn: Message) -> bool:
    return turn.role in ("system", "developer")


def _blocks(turn: Message) -> list[Block]:
    if turn.role == "tool":
        return [_result(turn)]
    if _instructs(turn):
        return [_text(REMINDER.format(turn.text))] if turn.text.strip() else []
    blocks = _shown(turn)
    return [*blocks, *map(_call, turn.tool_calls)]


def _shown(turn: Message) -> list[Block]:
    """Words and pictures; the API refuses words that are nothing but space."""
    parts: Sequence[Part] = turn.content if isinstance(turn.content, tuple) else (TextPart(turn.content or ""),)
    return [
        _picture(part) if isinstance(part, ImagePart) else _text(part.text)
        for part in parts
        if isinstance(part, ImagePart) or part.text.strip()
    ]


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _picture(part: ImagePart) -> Block:
    head, _, data = part.url.partition(",")
    kind = _KINDS.get(head.partition(";")[0].lower().removeprefix("data:"))
    if kind is None or not head.lower().endswith(";base64"):
        raise InvalidRequest(
            "A picture must be a `data:image/…;base64,…` URL of a PNG, JPEG, GIF or WebP.",
            hint="Send the picture itself, in base64.",
            param="messages",
        )
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}


def _call(call: ToolCall) -> Block:
    return {"type": "tool_use", "id": _id(call.id), "name": call.name, "input": _input(call.arguments)}


def _input(arguments: str) -> dict[str, object]:
    """The arguments as an object, as the API takes no text. What is none is shown to the model as it wrote it."""
    try:
        given = _decode(arguments.strip() or "{}")
    except (ValueError, RecursionError):
        given = None
    return given if isinstance(given, dict) else {"arguments": arguments}


def _result(turn: Message) -> Block:
    block: Block = {"type": "tool_result", "tool_use_id": _id(turn.tool_call_id or "")}
    if shown := _shown(turn):
        block["content"] = shown
    return block


def _id(given: str) -> str:
    """The id of a call; one that another provider made may have characters that the API does not take."""
    return given if _ID.fullmatch(given) else f"toolu_{sha256(given.encode()).hexdigest()[:24]}"
