from __future__ import annotations

import pytest

from lmbridge.core.errors import InvalidRequest
from lmbridge.core.messages import ImagePart, Message, TextPart, ToolCall
from lmbridge.wire.anthropic.asking.turns import encode_turns

PNG = "data:image/png;base64,iVBORw0KGgo="


def text(words: str) -> dict[str, object]:
    return {"type": "text", "text": words}


def test_leading_instructions_are_one_text_and_later_ones_words_of_the_user() -> None:
    system, turns = encode_turns(
        [
            Message("system", "Be brief."),
            Message("developer", " "),
            Message("developer", "Be kind."),
            Message("user", "Hello"),
            Message("system", "Be quick."),
            Message("system", ""),
            Message("assistant", "Hi"),
        ]
    )
    assert system == "Be brief.\n\nBe kind."
    reminder = "<system-reminder>\nBe quick.\n</system-reminder>"
    assert turns == [
        {"role": "user", "content": [text("Hello"), text(reminder)]},
        {"role": "assistant", "content": [text("Hi")]},
    ]


def test_calls_and_their_results_are_blocks_and_results_come_first() -> None:
    calls = (ToolCall("call_1", "one", '{"a": 1}'), ToolCall("call_2", "two", ""))
    _, turns = encode_turns(
        [
            Message("user", "Do both"),
            Message("assistant", None, tool_calls=calls),
            Message("tool", "1", tool_call_id="call_1"),
            Message("user", "and"),
            Message("tool", "", tool_call_id="call_2"),
        ]
    )
    assert turns[1]["content"] == [
        {"type": "tool_use", "id": "call_1", "name": "one", "input": {"a": 1}},
        {"type": "tool_use", "id": "call_2", "name": "two", "input": {}},
    ]
    assert turns[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "call_1", "content": [text("1")]},
        {"type": "tool_result", "tool_use_id": "call_2"},
        text("and"),
    ]


@pytest.mark.parametrize("arguments", ['{"a": ', "[1]", "[" * 100_000])
def test_arguments_that_are_no_object_are_shown_as_they_were_written(arguments: str) -> None:
    _, turns = encode_turns(
        [Message("user", "x"), Message("assistant", "\n", tool_calls=(ToolCall("c", "f", arguments),))]
    )
    assert turns[1]["content"] == [
        {"type": "tool_use", "id": "c", "name": "f", "input": {"arguments": arguments}},
    ]


def test_an_id_that_the_api_would_refuse_becomes_another_and_the_same_everywhere() -> None:
    _, turns = encode_turns(
        [
            Message("user", "x"),
            Message("assistant", None, tool_calls=(ToolCall("call|1: ö", "f", "{}"),)),
            Message("tool", "1", tool_call_id="call|1: ö"),
            Message("tool", "2"),
        ]
    )
    made = turns[1]["content"][0]["id"]  # type: ignore[index]
    assert made.startswith("toolu_")
    assert made == turns[2]["content"][0]["tool_use_id"]  # type: ignore[index]


def test_pictures_are_shown_in_their_place_and_in_results() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    shown = (TextPart("Look:"), ImagePart(PNG), TextPart(" "))
    _, turns = encode_turns([Message("user", shown), Message("tool", shown, tool_call_id="c")])
    content = turns[0]["content"]
    assert content[1:] == [text("Look:"), {"type": "image", "source": source}]  # type: ignore[index]
    assert content[0]["content"] == [text("Look:"), {"type": "image", "source": source}]  # type: ignore[index]


def test_a_jpg_is_a_jpeg() -> None:
    _, turns = encode_turns([Message("user", (ImagePart("data:image/JPG;base64,/9j/"),))])
    assert turns[0]["content"][0]["source"]["media_type"] == "image/jpeg"  # type: ignore[index]


@pytest.mark.parametrize("url", ["https://h/x.png", "data:image/tiff;base64,x", "data:image/png,x", ""])
def test_other_pictures_are_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match="PNG, JPEG, GIF or WebP"):
        encode_turns([Message("user", (ImagePart(url),))])


def test_what_an_earlier_answer_thought_is_left_out() -> None:
    _, turns = encode_turns([Message("user", "x"), Message("assistant", "y", reasoning="z")])
    assert turns[1] == {"role": "assistant", "content": [text("y")]}


@pytest.mark.parametrize("turns", [[], [Message("system", "x")], [Message("user", " ")]])
def test_a_conversation_in_which_nothing_is_said_is_refused(turns: list[Message]) -> None:
    with pytest.raises(InvalidRequest, match="nothing to answer"):
        encode_turns(turns)
