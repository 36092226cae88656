from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.errors import ContextExceeded, error_from_code
from lmbridge.core.events import Embeddings, Usage
from lmbridge.core.models import Endpoint, Instance, ModelInfo
from lmbridge.core.requests import EmbedRequest
from lmbridge.doors.gateway.ollama.shortening import shortened, shorter

INSTANCE = Instance("m#1", ModelInfo("m", "p"), Endpoint("http://127.0.0.1:9", (), "m"))
ROOM = 10


class Counting:
    """Embeds what has at most `ROOM` letters; every letter is a token.

    Args:
        told: whether its refusals tell the numbers, and its answers the tokens.
    """

    def __init__(self, told: bool = True) -> None:
        self.told, self.asked = told, 0

    async def embed(self, instance: Instance, ask: EmbedRequest) -> Embeddings:
        self.asked += 1
        longest = max(map(len, ask.inputs))
        if longest > ROOM:
            error = ContextExceeded(longest, ROOM)
            raise error if self.told else error_from_code(error.code, "Too long.") or error
        usage = Usage(sum(map(len, ask.inputs))) if self.told else None
        return Embeddings(tuple((float(len(text)),) for text in ask.inputs), "p", "m", usage)


async def embed(provider: Counting, *texts: str) -> Embeddings:
    return await shortened(provider, INSTANCE, EmbedRequest("m", texts))  # type: ignore[arg-type]


async def test_texts_that_fit_are_left_alone_and_asked_for_together() -> None:
    provider = Counting()
    assert (await embed(provider, "a", "bb")).vectors == ((1.0,), (2.0,))
    assert provider.asked == 1


async def test_only_the_text_that_does_not_fit_is_cut() -> None:
    made = await embed(Counting(), "a", "b" * 35, "ccc")
    assert made.vectors == ((1.0,), (9.0,), (3.0,))
    assert made.usage == Usage(13)


async def test_where_no_numbers_are_told_the_text_is_halved_until_it_fits() -> None:
    made = await embed(Counting(told=False), "b" * 35, "a")
    assert made.vectors == ((8.0,), (1.0,))
    assert made.usage is None


async def test_if_not_even_a_letter_fits_it_is_an_error() -> None:
    class Full(Counting):
        async def embed(self, instance: Instance, ask: EmbedRequest) -> Embeddings:
            raise ContextExceeded(50, 10)

    with pytest.raises(ContextExceeded):
        await embed(Full(), "abc")


@given(st.text(min_size=1, max_size=200), st.integers(-1, 10**9), st.integers(-1, 10**9))
def test_what_is_cut_is_the_beginning_and_shorter_whatever_the_numbers_are(
    text: str, tokens: int, room: int
) -> None:
    cut = shorter(text, ContextExceeded(tokens, room))
    assert text.startswith(cut)
    assert len(cut) < len(text)
