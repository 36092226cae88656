"""OpenAI's messages, to and from our own."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmbridge.core.errors import InvalidRequest
from lmbridge.core.messages import ImagePart, Message, TextPart, ToolCall
from lmbridge.core.openai_messages import from_openai, to_openai

TEXT = st.text(max_size=20)
PARTS = st.lists(
    st.one_of(st.builds(TextPart, TEXT), st.builds(lambda t: ImagePart(f"data:{t}"), TEXT)), min_size=1, max_size=3
).map(tuple)
FILLED = st.text(min_size=1, max_size=20)
MESSAGES = st.builds(
    Message,
    st.sampled_from(["system", "developer", "user", "assistant", "tool"]),
    st.one_of(st.none(), TEXT, PARTS),
    st.one_of(st.none(), FILLED),
    st.one_of(st.none(), FILLED),
    st.lists(st.builds(ToolCall, FILLED, FILLED, TEXT), max_size=2).map(tuple),
    st.one_of(st.none(), FILLED),
)


@settings(deadline=None)
@given(st.lists(MESSAGES, max_size=4).map(tuple))
def test_nothing_is_lost_on_the_way_there_and_back(messages: tuple[Message, ...]) -> None:
    assert from_openai(to_openai(messages)) == messages


def test_fields_that_hold_nothing_are_let_pass() -> None:
    told = {"role": "assistant", "content": "hi", "refusal": None, "annotations": [], "audio": None}
    assert from_openai([told]) == (Message("assistant", "hi"),)


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ({"role": "user", "content": "x", "mood": "good"}, "mood"),
        ({"role": "robot", "content": "x"}, "robot"),
        ({"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}, "input_audio"),
        ({"role": "user", "content": 3}, r"messages\[0\].*content"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}, "fetched"),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}}]},
            "low|detail",
        ),
        ({"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "custom"}]}, "custom|function"),
    ],
)
def test_what_cannot_be_carried_is_refused_by_name(message: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        from_openai([message])


@pytest.mark.parametrize("messages", [None, "hi", [5], {"role": "user"}])
def test_what_is_no_list_of_messages_is_refused_with_how_one_looks(messages: object) -> None:
    with pytest.raises(InvalidRequest, match="is no list of messages"):
        from_openai(messages)  # type: ignore[arg-type]
