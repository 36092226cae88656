from __future__ import annotations

import json

import pytest

from lmbridge.core.errors import (
    BridgeError,
    BrokenAnswer,
    ContextExceeded,
    InvalidRequest,
    ModelNotFound,
    NoModels,
    Unauthorized,
    WrongModelKind,
)
from lmbridge.core.events import Answer, Finished, TextDelta, Usage
from lmbridge.core.messages import Message, ToolCall
from lmbridge.wire.openai.quirks import (
    QuirkyEncoder,
    as_lmstudio_reads,
    quirky_body,
    quirky_event,
    quirky_status,
)


def picture(url: str) -> dict[str, object]:
    return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}


def read(**fields: object) -> object:
    return json.loads(as_lmstudio_reads(json.dumps(fields).encode()))


def test_fields_that_it_does_not_know_are_passed_over() -> None:
    assert read(model="m", messages=[], n=2, logprobs=True, store=True, made_up=1) == {
        "model": "m",
        "messages": [],
    }
    assert read(input="a", encoding_format="base64") == {"input": "a"}


@pytest.mark.parametrize("ttl", [-1, "soon", None, True])
def test_a_time_that_is_none_is_passed_over(ttl: object) -> None:
    assert read(input="a", ttl=ttl) == {"input": "a"}
    assert read(input="a", ttl=60) == {"input": "a", "ttl": 60}


@pytest.mark.parametrize("raw", [b"{", b"[1]", b"\xff"])
def test_what_is_no_body_is_left_to_who_reads_it_next(raw: bytes) -> None:
    assert as_lmstudio_reads(raw) is raw


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tool_choice": {"type": "function"}}, "Invalid tool_choice type: 'object'"),
        ({"response_format": {"type": "json_object"}}, "'response_format.type' must be"),
        ({"messages": [{"role": "assistant"}]}, "must be a string or an array of objects"),
        ({"messages": [{"role": "user", "content": None}]}, "must be a string or an array of objects"),
        ({"messages": [picture("http://h/x.png")]}, "'url' field must be a base64 encoded image."),
    ],
)
def test_forms_that_it_refuses_are_refused_in_its_words(fields: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        read(**fields)
    assert read(tool_choice="auto", response_format={"type": "text"})
    good = [picture("data:image/png;base64,AA"), {"role": "user", "content": ["text", {"type": "text"}]}, "odd"]
    assert read(messages=good) == {"messages": good}
    assert read(messages="none") == {"messages": "none"}


def test_an_empty_name_is_one_of_no_model() -> None:
    with pytest.raises(ModelNotFound):
        read(model="")


def test_an_answer_has_its_empty_fields() -> None:
    encoder = QuirkyEncoder("i", 7, "m")
    told = json.loads(encoder.whole(Answer(Message("assistant", "Hi"), Finished("stop", Usage(1, 2)), "p", "m")))
    assert told["choices"][0]["message"] == {
        "role": "assistant",
        "content": "Hi",
        "reasoning_content": "",
        "tool_calls": [],
    }
    assert (told["stats"], told["system_fingerprint"]) == ({}, "m")
    call = Message("assistant", None, tool_calls=(ToolCall("1", "f", "{}"),))
    said = json.loads(encoder.whole(Answer(call, Finished("tool_calls"), "p", "m")))["choices"][0]["message"]
    assert (said["content"], len(said["tool_calls"])) == ("", 1)
    piece = json.loads(encoder.feed(TextDelta("Hi")).removeprefix(b"data: "))
    assert piece["system_fingerprint"] == "m"
    assert "stats" not in piece


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ContextExceeded(5000, 4096), "greater than the context length: The prompt has 5,000 tokens"),
        (WrongModelKind("m", "chat", "embeddings"), "The model 'm' is not embedding."),
        (WrongModelKind("m", "embedding", "chat"), "cannot serve chat"),
        (InvalidRequest("`messages` is missing.", param="messages"), "'messages' field is required"),
    ],
)
def test_errors_are_told_in_the_words_that_its_clients_look_for(error: BridgeError, words: str) -> None:
    assert words in json.loads(quirky_body(error))["error"]
    assert words in quirky_event(error).decode()


def test_an_unknown_model_is_an_invalid_identifier() -> None:
    told = json.loads(quirky_body(ModelNotFound("no/such", ["no/much"])))["error"]
    assert told["message"].startswith('Invalid model identifier "no/such".')
    assert told["code"] == "model_not_found"
    assert json.loads(quirky_body(NoModels()))["error"]["code"] == "no_models"


def test_errors_are_bare_texts_unless_they_are_about_models_or_keys() -> None:
    assert json.loads(quirky_body(InvalidRequest("It is wrong.", hint="Mend it."))) == {"error": "It is wrong."}
    assert json.loads(quirky_body(ModelNotFound("m", [])))["error"]["param"] == "model"
    assert json.loads(quirky_body(Unauthorized()))["error"]["code"] == "unauthorized"


def test_what_is_wrong_with_a_request_has_status_400() -> None:
    assert [quirky_status(status) for status in (400, 404, 413, 401, 403, 500, 503)] == [
        400, 400, 400, 401, 403, 500, 503,
    ]  # fmt: skip


def test_a_stream_that_fails_ends_with_its_event() -> None:
    assert quirky_event(BrokenAnswer("p", "cut")).startswith(
        b'event: error\ndata: {"error":{"message":"The provider'
    )
