from __future__ import annotations

import json

import msgspec
import pytest
from openai.types.responses import Response

from lmbridge.core.errors import EngineMissing
from lmbridge.core.events import Usage
from lmbridge.wire.openai.responding.requests import decode_response_body
from lmbridge.wire.openai.responding.response import (
    Cached,
    Failure,
    ResponseObject,
    Spent,
    Thought,
    begun,
    encode_response,
    failure,
    spent,
)

CLOCK = {"type": "function", "name": "clock"}
SPACE = {"type": "namespace", "name": "room__", "tools": [CLOCK]}


def made(quirks: bool = False, **fields: object) -> ResponseObject:
    body, question = decode_response_body(json.dumps({"model": "m", "input": "hi", **fields}).encode())
    return begun(body, question, id="resp_1", created=7, stored=True, quirks=quirks)


def shown(**fields: object) -> dict[str, object]:
    value = msgspec.json.decode(encode_response(made(**fields)))
    assert isinstance(value, dict)
    return value


def test_the_object_has_every_field_that_openais_package_insists_on() -> None:
    Response.model_validate_json(encode_response(made()), strict=True)


def test_what_was_asked_is_repeated() -> None:
    asked = {
        "instructions": "Be kind.",
        "max_output_tokens": 5,
        "previous_response_id": "resp_0",
        "temperature": 0.5,
        "top_p": 0.9,
        "truncation": "auto",
        "user": "u",
        "metadata": {"a": "b"},
        "parallel_tool_calls": False,
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "max_tool_calls": 3,
        "presence_penalty": 0.5,
        "frequency_penalty": 1.0,
    }
    told = shown(**asked, reasoning={"effort": "low"})
    assert {name: told[name] for name in asked} == asked
    assert told["reasoning"] == {"effort": "low", "summary": None}
    assert (told["id"], told["created_at"], told["status"], told["store"]) == ("resp_1", 7, "in_progress", True)


def test_what_was_not_asked_is_told_honestly() -> None:
    told = shown()
    assert (told["temperature"], told["top_p"], told["usage"], told["error"]) == (None, None, None, None)
    assert (told["tool_choice"], told["tools"], told["truncation"]) == ("auto", [], "disabled")
    assert (told["parallel_tool_calls"], told["background"], told["metadata"]) == (True, False, {})


def test_lm_studio_writes_false_for_a_probability_that_is_not_set() -> None:
    assert made(quirks=True).top_p is False
    assert made(quirks=True, top_p=0.5).top_p == 0.5


def test_an_answer_in_the_background_is_queued_first() -> None:
    assert (made(background=True).status, made(background=True).background) == ("queued", True)


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"type": "json_object"}, {"type": "json_object"}),
        (
            {"type": "json_schema", "name": "n", "schema": {}},
            {"type": "json_schema", "name": "n", "schema": {}, "strict": True},
        ),
        (
            {"type": "json_schema", "name": "n", "schema": {}, "strict": False, "description": "d"},
            {"type": "json_schema", "name": "n", "schema": {}, "strict": False, "description": "d"},
        ),
    ],
)
def test_the_shape_of_the_answer_is_repeated(form: object, told: object) -> None:
    assert made(text={"format": form}).text == {"format": told, "verbosity": "medium"}


def test_tools_are_told_as_the_model_is_shown_them() -> None:
    told = made(tools=[CLOCK], tool_choice={"type": "function", "name": "clock"})
    assert told.tool_choice == {"type": "function", "name": "clock"}
    empty = {"type": "object", "properties": {}}
    assert told.tools == [{**CLOCK, "description": None, "parameters": empty, "strict": False}]
    Response.model_validate_json(encode_response(told), strict=True)


def test_a_tool_of_a_namespace_is_chosen_by_both_names() -> None:
    chosen = {"type": "function", "name": "clock", "namespace": "room__"}
    told = made(tools=[SPACE], tool_choice=chosen)
    assert (told.tool_choice, told.tools[0]["name"]) == (chosen, "room__clock")


def test_tokens_are_told_as_they_were_counted() -> None:
    assert spent(None) is None
    assert spent(Usage(9, 4, 2, 3)) == Spent(9, Cached(2), 4, Thought(3), 13)


def test_a_failure_says_what_to_do() -> None:
    error = EngineMissing("no wheel")
    assert failure(error) == Failure("engine_missing", f"{error.message} {error.hint}")
