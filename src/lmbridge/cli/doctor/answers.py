"""Whether something answers: one token, or one vector, through the hub as every program asks it."""

from __future__ import annotations

from time import monotonic

from lmbridge.cli import render
from lmbridge.cli.doctor.checks import Found
from lmbridge.core.errors import BrokenAnswer
from lmbridge.core.requests import ChatRequest, EmbedRequest, Sampling
from lmbridge.hub.hub import Hub

PROMPT = "Say yes."
ANSWER = "answer"


async def one_token(hub: Hub, name: str) -> Found:
    """Ask a model for a single token.

    Raises:
        BridgeError: whatever came instead.
    """
    begin = monotonic()
    answer = await hub.answer(ChatRequest(name, PROMPT, sampling=Sampling(temperature=0.0, max_tokens=1)))
    counted = answer.finish.usage is not None and answer.finish.usage.completion_tokens > 0
    if not (answer.text or answer.message.reasoning or counted):
        raise BrokenAnswer(answer.provider, "it ended without a single token")
    return Found(f"{answer.model}, one token after {render.duration(monotonic() - begin)}")


async def one_vector(hub: Hub, name: str) -> Found:
    """Ask a model for the vector of a text.

    Raises:
        BridgeError: whatever came instead.
    """
    made = await hub.embed(EmbedRequest(name, (PROMPT,)))
    if not made.vectors or not made.vectors[0]:
        raise BrokenAnswer(made.provider, "it gave no vector")
    return Found(f"{made.model}, {len(made.vectors[0]):,} dimensions")
