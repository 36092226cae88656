from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.errors import BrokenAnswer
from lmbridge.core.events import Event, Finished, ReasoningDelta, Started, TextDelta, ToolCallDelta
from lmbridge.wire.thoughts import MAX_BLANK, Thoughts

STARTED = Started("p", "m")
END = Finished("stop")


def fed(*events: Event, structured: bool = False, end: Finished = END) -> tuple[str, str, list[Event]]:
    """Thoughts, words, and all events."""
    thoughts = Thoughts("p", structured=structured)
    got = [e for event in (STARTED, *events, end) for e in thoughts.feed(event)]
    assert (got[0], got[-1]) == (STARTED, end)
    thought = "".join(e.text for e in got if isinstance(e, ReasoningDelta))
    return thought, "".join(e.text for e in got if isinstance(e, TextDelta)), got


TAGGED = "\n<think>\nHm </th> <think> so.</think>\n\nThe <think>answer</think>.\n"


@given(st.lists(st.integers(0, len(TAGGED))))
def test_tags_are_found_however_the_text_is_split(cuts: list[int]) -> None:
    edges = sorted({0, *cuts, len(TAGGED)})
    thought, words, _ = fed(*(TextDelta(TAGGED[a:b]) for a, b in pairwise(edges)))
    assert thought == "\nHm </th> <think> so."
    assert words == "The <think>answer</think>.\n"


@pytest.mark.parametrize("text", ["Hello", "<thin", "<", " <b>bold</b>", "a <think>b</think>", "\n", "</think>x"])
def test_text_without_a_tag_at_its_beginning_stays_as_it_is(text: str) -> None:
    for pieces in ([text], list(text)):
        assert fed(*map(TextDelta, pieces))[:2] == ("", text)


def test_words_come_as_soon_as_they_can_be_no_tag() -> None:
    thoughts = Thoughts("p")
    assert thoughts.feed(TextDelta("<thi")) == []
    assert thoughts.feed(TextDelta("s")) == [TextDelta("<this")]
    assert thoughts.feed(TextDelta(" is")) == [TextDelta(" is")]


def test_an_answer_cut_within_its_thoughts_is_all_thoughts() -> None:
    thought, words, _ = fed(TextDelta("<think>so far</th"), end=Finished("length"))
    assert (thought, words) == ("so far</th", "")


def test_a_tag_is_part_of_the_answer_where_thoughts_have_a_field_of_their_own() -> None:
    assert fed(ReasoningDelta("Hm."), TextDelta("<think>x</think>"))[:2] == ("Hm.", "<think>x</think>")


def test_what_was_held_back_comes_before_a_tool_call() -> None:
    call = ToolCallDelta(0, "c", "add", "{}")
    assert fed(TextDelta("<thi"), call)[2][1:-1] == [TextDelta("<thi"), call]
    assert fed(TextDelta("<think>a</thi"), call)[2][1:-1] == [ReasoningDelta("a"), ReasoningDelta("</thi"), call]
    assert fed(call)[2][1:-1] == [call]


def test_other_choices_pass_as_they_are() -> None:
    other = [TextDelta("<think>", 1), ReasoningDelta("{", 1), Finished("stop", index=1)]
    assert fed(*other, TextDelta("a"), structured=True)[2][1:-1] == [*other, TextDelta("a")]


@pytest.mark.parametrize("pieces", [['{"a": 1}'], ["\n", " {", '"a":', "1}"], ["[1]"]])
def test_json_among_the_thoughts_is_the_answer_that_was_asked_for(pieces: list[str]) -> None:
    thought, words, _ = fed(*map(ReasoningDelta, pieces), structured=True)
    assert (thought, words) == ("", "".join(pieces))


def test_thoughts_that_only_look_like_json_stay_thoughts() -> None:
    assert fed(ReasoningDelta("{so"), ReasoningDelta(" what"), structured=True)[:2] == ("{so what", "")
    assert fed(ReasoningDelta("{}"), TextDelta("{}"), structured=True)[:2] == ("{}", "{}")
    assert fed(ReasoningDelta("\n"), ReasoningDelta("Hm"), TextDelta("{}"), structured=True)[:2] == ("\nHm", "{}")
    assert fed(TextDelta("{}"), ReasoningDelta("{}"), structured=True)[:2] == ("{}", "{}")
    call = ToolCallDelta(0, "c", "add", "{}")
    assert fed(ReasoningDelta("{}"), call, structured=True)[2][1:-1] == [ReasoningDelta("{}"), call]


def test_json_among_the_thoughts_is_a_thought_where_text_was_asked_for() -> None:
    assert fed(ReasoningDelta("{}"))[:2] == ("{}", "")


def test_an_answer_that_says_nothing_is_broken_unless_it_was_cut() -> None:
    with pytest.raises(BrokenAnswer, match="without having said anything"):
        fed()
    with pytest.raises(BrokenAnswer):
        fed(TextDelta("<think></think>\n"))
    assert fed(end=Finished("length"))[2] == [STARTED, Finished("length")]


def test_an_answer_may_say_nothing_where_that_is_an_answer() -> None:
    assert Thoughts("p", may_be_empty=True).feed(END) == [END]


def test_a_tag_is_not_waited_for_without_end() -> None:
    space = " " * (MAX_BLANK + 1)
    assert fed(TextDelta(space), TextDelta("<think>x"))[:2] == ("", f"{space}<think>x")
