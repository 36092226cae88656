"""Messages, requests and models: the little they do by themselves."""

from __future__ import annotations

import msgspec
import pytest

from lmbridge.core.errors import WrongModel
from lmbridge.core.messages import ChatMessage, ImagePart, Message, MessageRole, TextPart
from lmbridge.core.models import Download, Endpoint, LoadOptions, ModelInfo
from lmbridge.core.requests import ChatRequest


def test_the_text_of_a_message_is_its_words() -> None:
    assert Message("user", "hi").text == "hi"
    assert Message("assistant").text == ""
    assert Message("user", (TextPart("a"), ImagePart("data:x"), TextPart("b"))).text == "ab"


def test_a_role_with_a_name_is_the_string_it_stands_for() -> None:
    named = ChatMessage(role=MessageRole.USER, content="Hello")
    assert named == Message("user", "Hello")
    assert msgspec.json.encode(named) == b'{"role":"user","content":"Hello"}'
    assert msgspec.json.decode(msgspec.json.encode(named), type=Message) == named
    assert f"{MessageRole.ASSISTANT}" == "assistant"
    assert set(MessageRole) == {"system", "developer", "user", "assistant", "tool"}


def test_a_plain_string_is_one_user_turn() -> None:
    request = ChatRequest("m", "hi")
    assert request.turns == (Message("user", "hi"),)
    longer = request.with_messages([*request.turns, Message("assistant", "ho")])
    assert [m.text for m in longer.turns] == ["hi", "ho"]
    assert longer.model == "m"


def test_unset_options_are_taken_from_the_defaults() -> None:
    assert LoadOptions(parallel=2).over(LoadOptions(parallel=4, ttl=5)) == LoadOptions(parallel=2, ttl=5)
    assert LoadOptions(ttl=0).over(LoadOptions(ttl=5)).ttl == 0


def test_a_qualified_name_says_the_provider_too() -> None:
    assert ModelInfo("llama3:8b", "ollama").qualified == "ollama:llama3:8b"


def test_an_endpoint_never_shows_its_headers() -> None:
    shown = repr(Endpoint("http://x", (("authorization", "Bearer secret"),), "m"))
    assert "secret" not in shown
    assert "http://x" in shown


def test_how_far_a_download_is_is_known_where_both_numbers_are() -> None:
    assert Download("downloading", 1, 4).fraction == 0.25
    assert Download("downloading", 9, 4).fraction == 1.0
    assert Download("downloading", 1).fraction is Download("downloading", None, 4).fraction is None
    assert Download("completed").fraction == Download("already_downloaded").fraction == 1.0


def test_how_long_a_download_takes_is_known_at_the_speed_of_now() -> None:
    assert Download("downloading", 1, 4, 1.5).seconds_left == 2.0
    for unknown in (
        Download("downloading", 1, 4),
        Download("downloading", 1, 4, -1.0),
        Download("downloading", None, 4, 1.0),
        Download("downloading", 1, None, 1.0),
    ):
        assert unknown.seconds_left is None


def test_an_answer_by_another_name_is_by_another_model_where_the_endpoint_knows_its_names() -> None:
    known = Endpoint("http://x", (), "m", also=("m.gguf",))
    for good in ("m", "m.gguf", "", None, 5):
        known.check_answerer("p", good)
    Endpoint("http://x", (), "m").check_answerer("p", "other")
    with pytest.raises(WrongModel, match="'other' although 'm'"):
        known.check_answerer("p", "other")
