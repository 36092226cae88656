from __future__ import annotations

import json

from lmbridge.core.errors import ModelNotFound
from lmbridge.wire.lmstudio.serving.events import (
    EVENTS,
    ChatStart,
    PromptProcessingStart,
    WordsPiece,
    before_content,
    error_event,
    frame,
)


def test_a_frame_has_its_type_twice() -> None:
    assert frame(PromptProcessingStart()) == (
        b'event: prompt_processing.start\ndata: {"type":"prompt_processing.start"}\n\n'
    )
    assert frame(ChatStart("m")) == b'event: chat.start\ndata: {"type":"chat.start","model_instance_id":"m"}\n\n'


def test_words_are_put_behind_a_beginning_that_is_made_once() -> None:
    assert before_content(WordsPiece) + b'"hi"}\n\n' == frame(WordsPiece("hi"))


def test_every_event_has_a_name_of_its_own() -> None:
    names = [event.__struct_config__.tag for event in EVENTS]
    assert len(set(names)) == len(names)
    assert (names[0], names[-1]) == ("chat.start", "chat.end")


def test_within_a_stream_an_error_is_an_event() -> None:
    name, data, *rest = error_event(ModelNotFound("m", ())).decode().split("\n")
    assert (name, rest) == ("event: error", ["", ""])
    frame = json.loads(data.removeprefix("data: "))
    assert (frame["type"], frame["error"]["type"]) == ("error", "model_not_found")
