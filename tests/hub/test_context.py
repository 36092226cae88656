from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lmbridge.core.chat import exchanges
from lmbridge.core.errors import ContextExceeded
from lmbridge.core.messages import Message, Role, ToolCall
from lmbridge.core.requests import ChatRequest, Sampling
from lmbridge.hub.context import RESERVE, reserve, trim, without

CALL = Message("assistant", tool_calls=(ToolCall("1", "f", "{}"),))
TALK = (
    Message("system", "be kind"),
    Message("user", "one"),
    CALL,
    Message("tool", "result", tool_call_id="1"),
    Message("assistant", "first"),
    Message("developer", "be brief"),
    Message("user", "two"),
    Message("assistant", "second"),
    Message("user", "three"),
    CALL,
    Message("tool", "result", tool_call_id="1"),
)


class Counted:
    """Counts a token for each character, and how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, chat: ChatRequest) -> int:
        self.asked += 1
        return tokens(chat.turns)


def tokens(turns: Sequence[Message]) -> int:
    return sum(len(turn.text) + 1 for turn in turns)


def trimmed(chat: ChatRequest, context_length: int) -> tuple[ChatRequest, int]:
    return asyncio.run(trim(chat, context_length, Counted()))


def test_an_exchange_is_a_question_with_its_calls_results_and_answer() -> None:
    assert exchanges(TALK) == [[1, 2, 3, 4], [6, 7]]
    assert exchanges([Message("assistant", "welcome"), *TALK]) == [[0], [2, 3, 4, 5], [7, 8]]


def test_nothing_may_be_dropped_where_the_user_said_one_thing_or_none() -> None:
    assert exchanges([]) == []
    assert exchanges([Message("system", "x"), CALL]) == []
    assert exchanges(TALK[5:7]) == []


def test_instructions_and_the_last_question_with_what_follows_stay() -> None:
    chat, dropped = without(ChatRequest("m", TALK), 9)
    assert dropped == 6
    assert chat.turns == (TALK[0], TALK[5], *TALK[8:])
    assert without(ChatRequest("m", "hi"), 9) == (ChatRequest("m", "hi"), 0)


def test_room_for_the_answer_is_what_it_may_have_and_at_most_half_of_the_context() -> None:
    assert reserve(ChatRequest("m", "x"), 4096) == RESERVE
    assert reserve(ChatRequest("m", "x", sampling=Sampling(max_tokens=9)), 4096) == 9
    assert reserve(ChatRequest("m", "x", sampling=Sampling(max_tokens=9000)), 4096) == 2048


def test_what_fits_is_left_as_it_is() -> None:
    chat = ChatRequest("m", TALK)
    assert trimmed(chat, 4096) == (chat, 0)


def test_no_more_is_dropped_than_makes_it_fit() -> None:
    chat, sampling = ChatRequest("m", TALK), Sampling(max_tokens=4)
    short = ChatRequest("m", TALK, sampling=sampling)
    whole = tokens(TALK)
    assert trimmed(short, whole + 4) == (short, 0)
    kept, dropped = trimmed(short, whole + 3)
    assert (dropped, kept.turns) == (4, (TALK[0], *TALK[5:]))
    assert trimmed(chat, whole)[1] == 6, "half of the context is kept for an answer of any length"


def test_what_must_stay_may_take_the_room_of_the_answer_and_no_more_than_the_context() -> None:
    least = tokens(without(ChatRequest("m", TALK), 9)[0].turns)
    assert trimmed(ChatRequest("m", TALK), least + 1)[1] == 6
    with pytest.raises(ContextExceeded) as caught:
        trimmed(ChatRequest("m", TALK), least)
    assert (caught.value.prompt_tokens, caught.value.context_length) == (least, least)
    with pytest.raises(ContextExceeded):
        trimmed(ChatRequest("m", "hello"), 6)
    assert trimmed(ChatRequest("m", "hello"), 7)[1] == 0


def test_a_long_conversation_needs_few_counts() -> None:
    talk = [Message(role, "x" * 9) for _ in range(500) for role in ("user", "assistant")]
    count = Counted()
    chat, dropped = asyncio.run(trim(ChatRequest("m", (*talk, Message("user", "?"))), 2000, count))
    assert 0 < dropped < 1000
    assert chat.turns[0].role == "user"
    assert count.asked <= 12


roles: st.SearchStrategy[Role] = st.sampled_from(["system", "developer", "user", "assistant", "tool"])
talks = st.lists(st.builds(Message, roles, st.text(max_size=6)), min_size=1, max_size=14).map(tuple)


@given(talks, st.integers(2, 120), st.integers(1, 40))
def test_whatever_is_said_the_rules_hold(turns: tuple[Message, ...], context_length: int, most: int) -> None:
    chat = ChatRequest("m", turns, sampling=Sampling(max_tokens=most))
    least = tokens(without(chat, len(turns))[0].turns)
    if least >= context_length:
        with pytest.raises(ContextExceeded) as caught:
            trimmed(chat, context_length)
        assert caught.value.prompt_tokens == least
        return
    kept, dropped = trimmed(chat, context_length)
    assert len(turns) - len(kept.turns) == dropped
    assert tokens(kept.turns) < context_length
    assert [t for t in kept.turns if t.role in ("system", "developer")] == [
        t for t in turns if t.role in ("system", "developer")
    ]
    last = max((i for i, t in enumerate(turns) if t.role == "user"), default=0)
    assert kept.turns[len(kept.turns) - len(turns[last:]) :] == turns[last:]
    fewer = [without(chat, n)[0] for n in range(len(exchanges(turns)) + 1)]
    assume(dropped)
    room = context_length - reserve(chat, context_length)
    assert kept == next((c for c in fewer if tokens(c.turns) <= room), fewer[-1])
