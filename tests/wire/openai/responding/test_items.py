from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter
from lmbridge.core.messages import ImagePart, Message, TextPart, ToolCall
from lmbridge.wire.openai.responding.items import Item, check_results, input_items, to_messages

PNG = "data:image/png;base64,AAAA"
CALL = {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"a": 1}'}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "3"}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}
SAID = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "It is ", "annotations": [], "logprobs": []}],
}


def messages(*items: object) -> tuple[Message, ...]:
    return to_messages(msgspec.convert(items, list[Item]))


def test_a_text_is_what_the_user_says() -> None:
    assert to_messages("hello") == (Message("user", "hello"),)


def test_messages_need_no_type_and_their_text_no_parts() -> None:
    assert messages(
        {"role": "user", "content": "a"},
        {
            "role": "developer",
            "content": [{"type": "input_text", "text": "b"}, {"type": "input_text", "text": "c"}],
        },
        {"type": "message", "role": "system", "content": []},
    ) == (Message("user", "a"), Message("system", "b\nc"), Message("system", ""))


def test_a_picture_stays_a_part() -> None:
    parts = [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": PNG, "detail": "low"}]
    assert messages({"role": "user", "content": parts}) == (Message("user", (TextPart("see"), ImagePart(PNG))),)


def test_thought_words_and_calls_are_one_turn_of_the_assistant() -> None:
    second = {**CALL, "call_id": "c2", "arguments": None, "namespace": "sums__"}
    assert messages({"role": "user", "content": "?"}, THOUGHT, SAID, CALL, second, RESULT) == (
        Message("user", "?"),
        Message(
            "assistant",
            "It is ",
            reasoning="hm",
            tool_calls=(ToolCall("c1", "add", '{"a": 1}'), ToolCall("c2", "sums__add", "{}")),
        ),
        Message("tool", "3", tool_call_id="c1"),
    )


def test_what_the_assistant_says_after_something_is_a_turn_of_its_own() -> None:
    assert messages(SAID, SAID, CALL, SAID, CALL, THOUGHT, SAID) == (
        Message("assistant", "It is "),
        Message("assistant", "It is ", tool_calls=(ToolCall("c1", "add", '{"a": 1}'),)),
        Message("assistant", "It is ", tool_calls=(ToolCall("c1", "add", '{"a": 1}'),)),
        Message("assistant", "It is ", reasoning="hm"),
    )


def test_thoughts_that_led_to_nothing_are_left_out() -> None:
    assert messages(THOUGHT, {"role": "user", "content": "?"}, THOUGHT) == (Message("user", "?"),)


def test_a_summary_stands_for_thoughts_that_were_not_sent() -> None:
    summary = [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}]
    thought = {"type": "reasoning", "summary": summary, "content": None, "encrypted_content": "xyz"}
    assert messages(thought, THOUGHT, SAID) == (Message("assistant", "It is ", reasoning="a\nb\nhm"),)


def test_a_refusal_and_a_text_of_several_parts_are_what_was_said() -> None:
    parts = [{"type": "output_text", "text": "I "}, {"type": "refusal", "refusal": "won't"}]
    assert messages({"role": "assistant", "content": parts}) == (Message("assistant", "I won't"),)


def test_a_result_may_be_parts() -> None:
    result = {**RESULT, "output": [{"type": "input_text", "text": "3"}]}
    assert messages(CALL, result)[1] == Message("tool", "3", tool_call_id="c1")


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"role": "nobody", "content": "x"}, "input[0].role"),
        ({"content": "x"}, "input[0].role"),
        ({"role": "user"}, "input[0].content"),
        ({"role": "user", "content": [{"type": "input_text"}]}, "input[0].content[0].text"),
        ({"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}, "input[0].content[0].type"),
        ({"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}, "input[0].content[0].type"),
        ({"role": "user", "content": [{"type": "input_audio"}]}, "input[0].content[0].type"),
        (
            {"role": "user", "content": [{"type": "input_image", "image_url": "http://127.0.0.1/x.png"}]},
            "input[0].content[0].image_url",
        ),
        ({"role": "assistant", "content": [{"type": "input_image", "image_url": PNG}]}, "input[0].content"),
        ({**CALL, "call_id": None}, "input[0].call_id"),
        ({**CALL, "name": None}, "input[0].name"),
        ({**RESULT, "call_id": None}, "input[0].call_id"),
        ({**RESULT, "output": None}, "input[0].output"),
        ({"id": "msg_1"}, "input[0]"),
        ({"type": "item_reference", "id": "msg_1"}, "input[0]"),
        ({"type": "computer_call_output", "call_id": "c"}, "input[0].type"),
    ],
)
def test_an_item_that_is_wrong_is_named(item: object, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        messages(item)
    assert caught.value.param == param


def test_items_that_do_not_exist_here_are_unsupported() -> None:
    with pytest.raises(UnsupportedParameter, match="'web_search_call'"):
        messages({"type": "web_search_call", "id": "ws_1"})


def test_a_result_belongs_to_a_call_made_before() -> None:
    called, answered = messages(CALL)[0], messages(RESULT)
    check_results((called,), answered)
    check_results((), (called, *answered))
    for before in ((), answered):
        with pytest.raises(InvalidRequest, match="'c1'") as caught:
            check_results(before, answered)
        assert caught.value.param == "input"


def test_what_was_asked_is_listed_as_items() -> None:
    asked = (
        Message("user", (TextPart("see"), ImagePart(PNG))),
        Message("assistant", "ok", reasoning="hm", tool_calls=(ToolCall("c1", "add", "{}"),)),
        Message("assistant", None, tool_calls=(ToolCall("c2", "add", "{}"),)),
        Message("tool", "3", tool_call_id="c1"),
    )
    listed = input_items("resp_ab", asked)
    assert [item["id"] for item in listed] == ["msg_ab_0", "rs_ab_1", "msg_ab_2", "fc_ab_3", "fc_ab_4", "fco_ab_5"]
    assert [item["type"] for item in listed] == [
        "message",
        "reasoning",
        "message",
        "function_call",
        "function_call",
        "function_call_output",
    ]
    assert listed[0]["content"] == [
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": PNG, "detail": "auto"},
    ]


TEXTS = st.text(min_size=1, max_size=9)
CALLS = st.builds(ToolCall, TEXTS, TEXTS, TEXTS)
TURNS = st.one_of(
    st.builds(Message, st.sampled_from(["user", "system"]), TEXTS),
    st.builds(
        Message, st.just("assistant"), TEXTS, reasoning=st.none() | TEXTS, tool_calls=st.lists(CALLS).map(tuple)
    ),
    st.builds(Message, st.just("tool"), TEXTS, tool_call_id=TEXTS),
)


@given(st.lists(TURNS, max_size=6))
def test_messages_survive_the_way_out_and_back(turns: list[Message]) -> None:
    listed = msgspec.convert(input_items("resp_0", turns), list[Item])
    assert to_messages(listed) == tuple(turns)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["message", "reasoning", "function_call", "function_call_output", "x"]) | ANYTHING,
        "role": st.sampled_from(["user", "assistant", "system", "developer"]) | ANYTHING,
        "content": st.lists(st.fixed_dictionaries({"type": st.sampled_from(["input_text", "refusal"])}))
        | ANYTHING,
        "call_id": ANYTHING,
        "name": ANYTHING,
        "output": ANYTHING,
        "summary": ANYTHING,
        "id": ANYTHING,
    },
)


@given(st.lists(FIELDS, max_size=4))
def test_no_item_is_too_strange(items: list[object]) -> None:
    try:
        given_items = msgspec.convert(items, list[Item])
    except msgspec.ValidationError:
        return
    with suppress(InvalidRequest):
        to_messages(given_items)
