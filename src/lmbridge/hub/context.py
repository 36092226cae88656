"""What becomes of a conversation that does not fit the loaded context: how it is trimmed, if that is wanted.

Trimmed is in a declared way. System and developer turns stay, wherever they are; so do the last thing the user
said and everything after it. Of the rest the oldest exchanges go: what the user said with every answer, tool call
and tool result up to when he spoke again, so that no call is left without its result and no answer without its
question. As few go as possible. Tokens are counted by the engine; here nothing is estimated.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from lmbridge.core.chat import exchanges
from lmbridge.core.errors import ContextExceeded, UnsupportedParameter
from lmbridge.core.provider import Counter
from lmbridge.core.requests import ChatRequest
from lmbridge.hub.lease import Lease

RESERVE: Final = 512
"""Tokens kept free for an answer whose length the request does not limit."""

Count: TypeAlias = Callable[[ChatRequest], Awaitable[int]]
"""Tokens of a prompt, as its model counts them."""


def reserve(chat: ChatRequest, context_length: int) -> int:
    """Tokens that trimming keeps free for the answer: those it may have, at most half of the context."""
    return min(chat.sampling.max_tokens or RESERVE, context_length // 2)


def without(chat: ChatRequest, dropped: int) -> tuple[ChatRequest, int]:
    """The request less its *dropped* oldest exchanges, and how many turns those were."""
    gone = {position for exchange in exchanges(chat.turns)[:dropped] for position in exchange}
    if not gone:
        return chat, 0
    return chat.with_messages([t for position, t in enumerate(chat.turns) if position not in gone]), len(gone)


async def trim(chat: ChatRequest, context_length: int, count: Count) -> tuple[ChatRequest, int]:
    """The request with as few of its oldest exchanges dropped as makes it fit, and how many turns were.

    Where nothing but what must stay is left, it may take the room that is kept for the answer.

    Raises:
        ContextExceeded: what must stay does not fit by itself; with its tokens.
    """
    room = context_length - reserve(chat, context_length)
    tokens = await count(chat)
    if tokens <= room:
        return chat, 0
    enough = len(exchanges(chat.turns))
    if enough:
        tokens = await count(without(chat, enough)[0])
    if tokens >= context_length:
        raise ContextExceeded(tokens, context_length)
    too_few = 0
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if await count(without(chat, middle)[0]) <= room:
            enough = middle
        else:
            too_few = middle
    return without(chat, enough)


async def fit(lease: Lease, chat: ChatRequest, *, wanted: bool) -> tuple[ChatRequest, int]:
    """The request trimmed to what its model was loaded with, and how many turns were dropped.

    Args:
        wanted: the caller asked for it, and does not merely allow it.

    Raises:
        ContextExceeded: what must stay does not fit, with both numbers.
        UnsupportedParameter: it is *wanted*, and the provider cannot count.
    """
    provider, length = lease.provider, lease.instance.context_length
    if length is None or not isinstance(provider, Counter):
        if wanted:
            raise UnsupportedParameter(
                "truncation",
                f"The provider {provider.id!r} does not count tokens, so it is not known what fits.",
                hint="Leave it out and shorten the conversation, or use a model of the embedded engine.",
            )
        return chat, 0
    try:
        return await trim(chat, length, lambda less: provider.count(lease.instance, less))
    except ContextExceeded as error:
        least, _ = without(chat, len(chat.turns))
        raise await lease.weighed(error, least) from error
