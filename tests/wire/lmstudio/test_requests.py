from __future__ import annotations

from collections.abc import Mapping

import pytest

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter
from lmbridge.wire.lmstudio.requests import prepare_chat, prepare_completion, prepare_embed

HELLO = {"role": "user", "content": "hello"}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
ADD = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
SUB = {"type": "function", "function": {"name": "sub"}}


def chat(**fields: object) -> dict[str, object]:
    return {"model": "m", "messages": [HELLO], **fields}


def changed(**fields: object) -> Mapping[str, object]:
    body = chat(**fields)
    new = prepare_chat(body)
    assert new is not body
    return new


@pytest.mark.parametrize(
    "body",
    [
        chat(),
        chat(
            stream=True, stream_options={"include_usage": True}, temperature=0, max_tokens=-1, stop=["x"], seed=3
        ),
        chat(tools=[ADD], tool_choice="required", parallel_tool_calls=False),
        chat(messages=[{"role": "user", "content": [{"type": "text", "text": "a"}, PICTURE]}]),
        chat(response_format={"type": "text"}),
        chat(response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}),
        chat(ttl=300, draft_model="small", preset="p", min_p=0.1, logit_bias={"1": 2}, reasoning_effort="none"),
        chat(n=1, logprobs=False, top_logprobs=0, typical_p=1.0, dry_multiplier=0, grammar="", n_probs=0),
        chat(cache_prompt=True, timings_per_token=True, user="u", metadata={}),
        chat(messages="nonsense"),
        chat(messages=[7, {"role": "user", "content": ["x"]}]),
        {},
    ],
)
def test_a_body_that_needs_no_change_is_given_back_itself(body: dict[str, object]) -> None:
    assert prepare_chat(body) is body


def test_content_is_always_there() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    bare = {"role": "assistant", "tool_calls": [call]}
    turns = [HELLO, bare, {**bare, "content": None}]
    new = changed(messages=turns)["messages"]
    assert isinstance(new, list)
    assert new[0] is HELLO
    assert [m["content"] for m in new[1:]] == ["", ""]
    assert "content" not in bare  # the caller's own stays as it was


def test_a_call_without_an_id_is_refused() -> None:
    turn = {"role": "assistant", "content": "", "tool_calls": [{"id": "", "function": {"name": "add"}}]}
    with pytest.raises(InvalidRequest, match="id") as refused:
        prepare_chat(chat(messages=[turn]))
    assert refused.value.param == "messages[0].tool_calls[0].id"


def test_a_developer_is_the_system() -> None:
    assert changed(messages=[{"role": "developer", "content": "Be brief."}])["messages"] == [
        {"role": "system", "content": "Be brief."}
    ]


def test_parts_of_other_kinds_become_text_or_are_refused() -> None:
    turn = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}, {"type": "refusal"}]}
    [new] = changed(messages=[turn])["messages"]  # type: ignore[misc]
    assert new["content"] == [{"type": "text", "text": "No."}, {"type": "text", "text": ""}]
    for kind in ("input_audio", "file"):
        with pytest.raises(UnsupportedParameter, match=kind):
            prepare_chat(chat(messages=[{"role": "user", "content": [{"type": kind}]}]))


@pytest.mark.parametrize("url", ["http://example.com/a.png", "file:///a.png", "data:image/png,raw", "", None, 7])
def test_a_picture_that_is_not_in_the_request_is_refused(url: object) -> None:
    part = {"type": "image_url", "image_url": {"url": url}}
    with pytest.raises(InvalidRequest, match="base64") as refused:
        prepare_chat(chat(messages=[{"role": "user", "content": [part]}]))
    assert refused.value.param == "messages[0].content[0].image_url.url"


def test_a_picture_in_short_form_gets_the_usual_one() -> None:
    part = {"type": "image_url", "image_url": "data:image/png;base64,AAAA"}
    [new] = changed(messages=[{"role": "user", "content": [part]}])["messages"]  # type: ignore[misc]
    assert new["content"] == [PICTURE]


def test_a_named_tool_is_the_only_one_and_required() -> None:
    new = changed(tools=[ADD, SUB], tool_choice={"type": "function", "function": {"name": "add"}})
    assert (new["tools"], new["tool_choice"]) == ([ADD], "required")
    new = changed(tools=[ADD, SUB], tool_choice={"type": "function", "name": "add"})
    assert new["tools"] == [ADD]


def test_a_named_tool_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="'mul'"):
        prepare_chat(chat(tools=[ADD], tool_choice={"type": "function", "function": {"name": "mul"}}))
    with pytest.raises(InvalidRequest, match="'mul'"):
        prepare_chat(chat(tools=["?"], tool_choice={"type": "function", "function": {"name": "mul"}}))
    for choice in ({"type": "allowed_tools"}, {"type": "function"}):
        with pytest.raises(UnsupportedParameter, match="tool_choice"):
            prepare_chat(chat(tools=[ADD], tool_choice=choice))


def test_a_function_without_parameters_says_so() -> None:
    new = changed(tools=[ADD, SUB])["tools"]
    assert isinstance(new, list)
    assert new[0] is ADD
    assert new[1]["function"]["parameters"] == {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({"max_completion_tokens": 9}, 9),
        ({"max_completion_tokens": 9, "max_tokens": 5}, 5),
        ({"n_predict": -1}, -1),
        ({"n_predict": -1, "max_tokens": 4}, 4),
        ({"max_completion_tokens": None, "max_tokens": 4}, 4),
    ],
)
def test_a_limit_has_the_one_name_that_is_known(fields: dict[str, object], limit: int) -> None:
    new = changed(**fields)
    assert new["max_tokens"] == limit
    assert not {"max_completion_tokens", "n_predict"} & new.keys()
    assert "max_tokens" not in changed(max_completion_tokens=None)


def test_any_json_object_is_a_schema_that_says_object() -> None:
    assert changed(response_format={"type": "json_object"})["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "strict": True, "schema": {"type": "object"}},
    }
    schema = {"type": "object", "properties": {"a": {}}}
    for fields in ({"response_format": {"type": "json_object", "schema": schema}}, {"json_schema": schema}):
        shape = changed(**fields)["response_format"]
        assert isinstance(shape, dict)
        assert shape["json_schema"]["schema"] == schema
    named = {"type": "json_schema", "json_schema": {"name": "mine", "strict": False}}
    assert changed(response_format=named)["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "mine", "strict": False, "schema": {"type": "object"}},
    }
    assert "json_schema" not in changed(json_schema=schema)
    odd = chat(response_format={"type": "json_schema", "json_schema": 7})
    assert prepare_chat(odd) is odd


def test_a_random_seed_is_no_seed() -> None:
    assert "seed" not in changed(seed=-1)


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 2},
        {"logprobs": True},
        {"logprobs": 0},
        {"top_logprobs": 3},
        {"grammar": "root ::= 'a'"},
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"parse_tool_calls": False},
        {"reasoning_format": "none"},
        {"logit_bias": [[1, 2]]},
    ],
)
def test_what_would_be_ignored_in_silence_is_refused_by_name(fields: dict[str, object]) -> None:
    [name] = fields
    with pytest.raises(UnsupportedParameter, match=name) as refused:
        prepare_chat(chat(**fields))
    assert refused.value.hint


def test_a_prompt_is_one_text() -> None:
    body = {"model": "m", "prompt": "Once", "max_tokens": 3, "best_of": 1, "suffix": "", "echo": False}
    assert prepare_completion(body) is body
    assert prepare_completion({"prompt": ["Once"]})["prompt"] == "Once"
    for prompt in (["a", "b"], [1, 2], [[1]], []):
        with pytest.raises(InvalidRequest, match="one text"):
            prepare_completion({"prompt": prompt})
    for name, value in (("n", 2), ("best_of", 3), ("logprobs", 0), ("suffix", "x"), ("echo", True)):
        with pytest.raises(UnsupportedParameter, match=name):
            prepare_completion({"prompt": "a", name: value})


def test_vectors_are_asked_for_as_numbers() -> None:
    body = {"model": "m", "input": ["a", "b"], "encoding_format": "float"}
    assert prepare_embed(body) is body
    assert prepare_embed({"input": "a", "encoding_format": "base64"}) == {"input": "a"}
    for given in ([1, 2], [[1], [2]]):
        with pytest.raises(InvalidRequest, match="texts"):
            prepare_embed({"input": given})
    with pytest.raises(UnsupportedParameter, match="dimensions"):
        prepare_embed({"input": "a", "dimensions": 64})
