"""Answering in OpenAI's language for an endpoint that speaks another, or none: both meet in `core`.

The other way of `relay`, under the same lease: what is asked is translated and refused by name where it cannot be,
the answer is written anew.
"""

from __future__ import annotations

from lmbridge.core.errors import InvalidRequest
from lmbridge.core.events import Answer, Event
from lmbridge.core.turns import Facts, Wait
from lmbridge.doors.gateway.asgi import EVENTS, JSON, NOSNIFF, Request
from lmbridge.doors.gateway.heartbeat import Heartbeat, comment
from lmbridge.doors.gateway.translate import Telling
from lmbridge.doors.gateway.using import Use
from lmbridge.hub.hub import Hub
from lmbridge.wire.openai.chat_encoder import ChatEncoder
from lmbridge.wire.openai.requests import decode_chat_body, decode_embedding_body
from lmbridge.wire.openai.to_chat import to_chat, to_embed
from lmbridge.wire.openai.vectors import encode_vectors, in_base64


async def tell_chat(
    hub: Hub, request: Request, raw: bytes, use: Use, encoder: ChatEncoder, heart: Heartbeat | None
) -> None:
    """Answer a chat: as a stream where there is a heart, else whole.

    Args:
        raw: its body, checked already.

    Raises:
        BridgeError: what stood in the way; a stream may have begun by then.
    """
    chat = to_chat(decode_chat_body(raw))
    written = _Written(encoder)
    if heart is not None:
        await Telling(hub, request, use, written, heart).tell(chat)
        return
    answer, facts = await Telling(hub, request, use).tell(chat)
    await request.reply(200, (JSON, NOSNIFF), written.whole(answer, facts))


async def tell_vectors(request: Request, raw: bytes, use: Use, *, base64: bool) -> None:
    """Answer with vectors.

    Raises:
        InvalidRequest, UnsupportedParameter: what cannot be translated. And as the provider.
    """
    lease = use.lease
    vectors = await lease.embed(to_embed(decode_embedding_body(raw)))
    use.count(vectors.usage)
    body = encode_vectors(vectors, lease.name)
    await request.reply(200, (JSON, NOSNIFF), in_base64(body) if base64 else body)


def refuse_text(use: Use) -> InvalidRequest:
    """What who wants a text continued is told."""
    return InvalidRequest(
        f"The provider {use.lease.provider.id!r} answers conversations and continues no texts.",
        hint="Ask /v1/chat/completions.",
        param="model",
    )


class _Written:
    """`ChatEncoder` as `translate` wants one."""

    media = EVENTS
    eager = False

    def __init__(self, encoder: ChatEncoder) -> None:
        self._encoder = encoder

    def waiting(self, wait: Wait) -> bytes:
        return comment(wait)

    def feed(self, event: Event) -> bytes:
        return self._encoder.feed(event)

    def close(self, answer: Answer, facts: Facts) -> bytes:
        return self._encoder.close()

    def whole(self, answer: Answer, facts: Facts) -> bytes:
        return self._encoder.whole(answer)
