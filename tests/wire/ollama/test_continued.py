from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.messages import Message, ToolCall
from lmbridge.core.requests import ChatRequest
from lmbridge.wire.ollama.continued import Continuation, begun


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (Message("assistant", "Once upon"), "Once upon"),
        (Message("assistant", "Let me see.", tool_calls=(ToolCall("1", "f", "{}"),)), ""),
        (Message("assistant", ""), ""),
        (Message("user", "hi"), ""),
    ],
)
def test_an_answer_has_begun_with_the_words_of_a_last_turn_of_the_assistant(last: Message, words: str) -> None:
    assert begun(ChatRequest("m", (Message("user", "Tell me."), last))) == words


def test_nothing_has_begun_where_nothing_was_said() -> None:
    assert begun(ChatRequest("m", ())) == ""


def test_what_was_there_before_is_left_out_wherever_the_pieces_break() -> None:
    continued = Continuation("Once upon")
    assert [continued.feed(piece) for piece in ("On", "ce up", "on a", " time")] == ["", "", " a", " time"]
    assert continued.close() == ""


def test_an_engine_that_says_only_what_is_new_loses_nothing() -> None:
    continued = Continuation("Once upon")
    assert [continued.feed(piece) for piece in ("O", "h no")] == ["", "Oh no"]
    short = Continuation("Once upon")
    assert (short.feed("On"), short.close(), short.feed("more")) == ("", "On", "more")


def test_without_a_beginning_everything_is_new() -> None:
    assert Continuation("").feed("On") == "On"


@given(st.text(max_size=10), st.lists(st.text(max_size=4), max_size=10))
def test_nothing_but_the_beginning_is_ever_lost(beginning: str, pieces: list[str]) -> None:
    continued = Continuation(beginning)
    told = "".join(map(continued.feed, pieces)) + continued.close()
    assert told in ("".join(pieces), "".join(pieces).removeprefix(beginning))
