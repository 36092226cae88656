from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.errors import InvalidRequest
from lmbridge.core.messages import ImagePart, Message, TextPart, ToolCall
from lmbridge.wire.anthropic.requests import decode_count_body
from lmbridge.wire.anthropic.turns import as_json, to_messages

PIXEL = "data:image/png;base64,AAAA"
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
USE = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Bern"}}


def text(words: str) -> dict[str, object]:
    return {"type": "text", "text": words}


def result(content: object, **more: object) -> dict[str, object]:
    return {"type": "tool_result", "tool_use_id": "toolu_1", "content": content, **more}


def messages(*turns: tuple[str, object], system: object = None) -> list[Message]:
    body = {"messages": [{"role": role, "content": content} for role, content in turns], "system": system}
    return list(to_messages(decode_count_body(json.dumps(body).encode())))


def refused(*turns: tuple[str, object]) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        messages(*turns)
    return caught.value


def test_a_conversation_keeps_its_turns() -> None:
    assert messages(("user", "a"), ("assistant", "b"), ("user", [text("c")]), system="s") == [
        Message("system", "s"),
        Message("user", "a"),
        Message("assistant", "b"),
        Message("user", "c"),
    ]


def test_instructions_in_blocks_become_one_text() -> None:
    assert messages(("user", "a"), system=[text("s"), text(""), text("t")])[0] == Message("system", "s\n\nt")
    assert messages(("user", "a"), system=[])[0] == Message("user", "a")


def test_what_claude_code_tells_anthropics_accounts_is_no_instruction() -> None:
    billing = text("x-anthropic-billing-header: cc_version=2.1.101.e51; cc_entrypoint=cli; cch=a5145;")
    assert messages(("user", "a"), system=[billing, text("s")])[0] == Message("system", "s")
    assert messages(("user", "a"), system=[billing])[0] == Message("user", "a")


def test_instructions_before_the_first_turn_join_the_others() -> None:
    told = messages(("system", "s"), ("system", [text("t"), text("u")]), ("user", "a"), system="r")
    assert told == [Message("system", "r\n\ns\n\nt\n\nu"), Message("user", "a")]


def test_later_instructions_are_words_of_the_user_in_their_place() -> None:
    told = messages(("user", "a"), ("system", [text("s")]), ("assistant", "b"), ("system", "t"), ("user", "c"))
    assert told == [
        Message("user", "a\n\n<system-reminder>\ns\n</system-reminder>"),
        Message("assistant", "b"),
        Message("user", "<system-reminder>\nt\n</system-reminder>\n\nc"),
    ]
    assert messages(("user", "a"), ("assistant", "b"), ("system", ""), ("user", "c"))[2] == Message("user", "c")


def test_empty_instructions_at_the_end_leave_the_turn_before_them_last() -> None:
    assert messages(("user", "a"), ("assistant", "b"), ("system", ""))[-1] == Message("assistant", "b")


def test_turns_of_the_same_role_become_one() -> None:
    assert messages(("user", "a"), ("user", [text("b"), text("c")])) == [Message("user", "a\n\nb\n\nc")]
    assert messages(("user", "a"), ("assistant", "b"), ("assistant", "c"), ("user", "d"))[1] == Message(
        "assistant", "b\n\nc"
    )


def test_calls_and_thoughts_of_the_assistant_are_kept_apart_from_its_words() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": ""}
    hidden = {"type": "redacted_thinking", "data": "x"}
    told = messages(("user", "a"), ("assistant", [thought, hidden, text("b"), USE]), ("user", [result("sunny")]))
    call = ToolCall("toolu_1", "weather", '{"city": "Bern"}')
    assert told[1:] == [
        Message("assistant", "b", reasoning="hm", tool_calls=(call,)),
        Message("tool", "sunny", tool_call_id="toolu_1"),
    ]


def test_a_turn_of_calls_alone_has_no_words() -> None:
    assert messages(("user", "a"), ("assistant", [USE]), ("user", [result("x")]))[1].content is None


def test_results_come_before_the_words_of_their_turn() -> None:
    told = messages(
        ("user", "a"), ("assistant", [USE]), ("user", [text("and now?"), result([text("x"), text("y")])])
    )
    assert told[2:] == [Message("tool", "x\n\ny", tool_call_id="toolu_1"), Message("user", "and now?")]


def test_a_result_may_be_empty() -> None:
    assert messages(("user", [{"type": "tool_result", "tool_use_id": "toolu_1"}])) == [
        Message("tool", "", tool_call_id="toolu_1")
    ]


def test_a_failure_of_a_tool_is_told_to_the_model() -> None:
    assert messages(("user", [result("no such city", is_error=True)]))[0].content == "Error: no such city"
    assert messages(("user", [result("", is_error=True)]))[0].content == "Error:"


def test_a_tool_that_was_found_is_named() -> None:
    found = result([{"type": "tool_reference", "tool_name": "weather"}])
    assert messages(("user", [found]))[0].content == "The tool weather is there."


def test_pictures_in_a_result_follow_it() -> None:
    assert messages(("user", [result([text("x"), PICTURE]), text("What is it?")])) == [
        Message("tool", "x", tool_call_id="toolu_1"),
        Message("user", (ImagePart(PIXEL), TextPart("What is it?"))),
    ]
    assert messages(("user", [result([PICTURE])]))[0].content == "See the picture that follows."


@pytest.mark.parametrize(
    ("turn", "param"),
    [
        (("user", ""), "messages[0].content"),
        (("user", []), "messages[0].content"),
        (("user", [text("")]), "messages[0].content[0]"),
        (("user", [USE]), "messages[0].content[0]"),
        (("assistant", [PICTURE]), "messages[0].content[0]"),
        (("system", [text("a"), PICTURE]), "messages[0].content[1]"),
        (("system", []), "messages[0].content"),
    ],
)
def test_a_turn_that_cannot_be_is_refused_by_its_place(turn: tuple[str, object], param: str) -> None:
    assert refused(turn).param == param


def test_what_was_called_needs_results() -> None:
    assert "tool_result" in refused(("user", "a"), ("assistant", [USE])).hint


@pytest.mark.parametrize("turns", [[("system", "s")], [("assistant", [])], [("assistant", "")]])
def test_without_anything_to_answer_there_is_no_answer(turns: list[tuple[str, object]]) -> None:
    assert refused(*turns).param == "messages"


def test_an_empty_last_turn_of_the_assistant_is_left_out() -> None:
    assert messages(("user", "a"), ("assistant", "")) == [Message("user", "a")]
    assert messages(("user", "a"), ("assistant", []), ("user", "b"))[1] == Message("assistant", "")


def test_input_that_cannot_be_written_again_is_refused() -> None:
    deep: dict[str, object] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(InvalidRequest):
        as_json(deep)


@given(st.lists(st.tuples(st.sampled_from(["user", "assistant", "system"]), st.text(min_size=1)), min_size=1))
def test_no_word_is_lost_and_roles_alternate(turns: list[tuple[str, str]]) -> None:
    if all(role == "system" for role, _ in turns):
        return
    told = messages(*turns)
    said = "".join(m.text for m in told)
    for mark in ("<system-reminder>", "</system-reminder>", "\n"):
        said = said.replace(mark, "")
    assert sorted(said) == sorted("".join(words for _, words in turns).replace("\n", ""))
    assert all(a.role != b.role for a, b in pairwise(told))
