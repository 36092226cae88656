"""How each engine trap is mended in the request, without an engine. `test_provider` shows that it works."""

from __future__ import annotations

import copy

import pytest

from lmbridge.core.errors import InvalidRequest, UnsupportedParameter
from lmbridge.providers.embedded.requests import prepare
from lmbridge.providers.embedded.traits import Traits

Body = dict[str, object]

TRAITS = Traits("tiny", tools=True, slots=4, call_opening="<tool_call>\n", call_closing="</tool_call>")
USER = {"role": "user", "content": "hi"}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def tool(name: str, parameters: object = None) -> Body:
    return {"type": "function", "function": {"name": name, "parameters": parameters or {"type": "object"}}}


def chat(**fields: object) -> Body:
    return {"model": "tiny", "messages": [USER], **fields}


def prepared(body: Body, traits: Traits = TRAITS) -> Body:
    """The prepared body; the one given must be left as it was."""
    before = copy.deepcopy(body)
    after = prepare(traits, body)
    assert body == before
    return dict(after)


@pytest.mark.parametrize(
    "body",
    [
        chat(),
        chat(stream=True, temperature=0.2, max_tokens=5, stop=["x"], n=2, logprobs=True),
        chat(tools=[tool("a"), tool("b")]),
        chat(tools=[tool("a")], tool_choice="auto", parallel_tool_calls=True),
        chat(response_format={"type": "json_object"}),
        chat(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}),
        chat(messages=[{"role": "user", "content": [{"type": "text", "text": "hi"}]}]),
        chat(seed=-1),
        chat(seed=7, cache_prompt=False),
        {"prompt": "Once", "max_tokens": 5},
        {"input": ["a", "b"], "encoding_format": "base64"},
    ],
)
def test_what_the_engine_understands_is_passed_on_as_the_same_object(body: Body) -> None:
    assert prepare(TRAITS, body) is body


def test_tools_that_may_not_be_called_are_not_shown() -> None:
    after = prepared(chat(tools=[tool("a")], tool_choice="none", parallel_tool_calls=False))
    assert after == chat()


def test_a_named_tool_is_the_only_one_and_its_call_is_begun() -> None:
    choice = {"type": "function", "function": {"name": "b"}}
    after = prepared(chat(tools=[tool("a"), tool("b")], tool_choice=choice, stop="x"))
    assert after["tools"] == [tool("b")]
    assert after["tool_choice"] == "required"
    assert after["parallel_tool_calls"] is False
    assert after["stop"] == ["x", "</tool_call>"]
    assert after["messages"] == [USER, {"role": "assistant", "content": "<tool_call>\n"}]
    assert (after["continue_final_message"], after["add_generation_prompt"]) == (True, False)


def test_a_required_call_is_begun_with_any_tool() -> None:
    after = prepared(chat(tools=[tool("a"), tool("b")], tool_choice="required"))
    assert after["tools"] == [tool("a"), tool("b")]
    assert after["messages"] == [USER, {"role": "assistant", "content": "<tool_call>\n"}]
    assert "stop" not in after


def test_where_no_opening_is_known_a_call_is_merely_required() -> None:
    after = prepared(chat(tools=[tool("a")], tool_choice="required"), Traits("tiny", tools=True))
    assert after == chat(tools=[tool("a")], tool_choice="required")


def test_one_call_at_a_time_ends_with_the_first() -> None:
    after = prepared(chat(tools=[tool("a")], parallel_tool_calls=False))
    assert after["stop"] == ["</tool_call>"]
    assert after["messages"] == [USER]


def test_a_named_tool_that_is_not_there_is_refused() -> None:
    choice = {"type": "function", "function": {"name": "c"}}
    with pytest.raises(InvalidRequest, match="'c'"):
        prepared(chat(tools=[tool("a")], tool_choice=choice))


def test_tools_for_a_model_that_knows_none_are_refused() -> None:
    with pytest.raises(UnsupportedParameter, match="knows no tools"):
        prepared(chat(tools=[tool("a")]), Traits("plain"))


def test_tools_for_a_model_that_knows_none_may_be_forbidden() -> None:
    assert prepared(chat(tools=[tool("a")], tool_choice="none"), Traits("plain")) == chat()


@pytest.mark.parametrize("field", [{"grammar": 'root ::= "x"'}, {"json_schema": {}}])
def test_tools_and_a_grammar_exclude_each_other(field: Body) -> None:
    with pytest.raises(InvalidRequest, match="exclude"):
        prepared(chat(tools=[tool("a")], **field))


def test_a_forced_call_cannot_have_another_shape_too() -> None:
    with pytest.raises(InvalidRequest, match="both a tool call and"):
        prepared(chat(tools=[tool("a")], tool_choice="required", response_format={"type": "json_object"}))


def test_tools_are_not_left_aside_in_silence_because_of_a_shape() -> None:
    shaped = chat(tools=[tool("a")], response_format={"type": "json_object"})
    with pytest.raises(InvalidRequest, match="no room for a tool call") as caught:
        prepared(shaped)
    assert caught.value.param == "response_format"
    assert "tools" not in prepared({**shaped, "tool_choice": "none"})
    assert prepared({**shaped, "response_format": {"type": "text"}})["tools"] == [tool("a")]


def test_a_wrong_schema_of_a_tool_is_named_with_its_place() -> None:
    with pytest.raises(InvalidRequest, match=r"The tool 'b' cannot be used here\..*#/properties/x/type") as caught:
        prepared(chat(tools=[tool("a"), tool("b", {"properties": {"x": {"type": "objekt"}}})]))
    assert caught.value.param == "tools[1].function.parameters"


def test_a_schema_that_would_be_ignored_is_refused_for_answers_and_tolerated_for_tools() -> None:
    loose = {"type": "object", "properties": {"x": {"type": "number", "minimum": 1}}}
    prepared(chat(tools=[tool("a", loose)]))
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": loose}}
    with pytest.raises(InvalidRequest, match="minimum") as caught:
        prepared(chat(response_format=wanted))
    assert caught.value.param == "response_format.json_schema.schema"


def test_a_strict_tool_is_held_to_its_schema() -> None:
    strict = tool("a", {"type": "object", "minProperties": 1})
    strict["function"] = {**strict["function"], "strict": True}  # type: ignore[dict-item]
    with pytest.raises(InvalidRequest, match="minProperties"):
        prepared(chat(tools=[strict]))


@pytest.mark.parametrize("where", ["json_schema", "json_object", "top", "tool"])
def test_patterns_are_rewritten_wherever_a_schema_may_be(where: str) -> None:
    theirs, ours = {"type": "string", "pattern": r"^\d$"}, {"type": "string", "pattern": "^[0-9]$"}

    def body(schema: Body) -> Body:
        holder = {"type": "object", "properties": {"x": schema}}
        match where:
            case "json_schema":
                return chat(
                    response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": holder}}
                )
            case "json_object":
                return chat(response_format={"type": "json_object", "schema": holder})
            case "top":
                return {"prompt": "x", "json_schema": holder}
            case _:
                return chat(tools=[tool("a", holder)])

    assert prepared(body(theirs)) == body(ours)


def test_a_format_without_its_schema_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="missing"):
        prepared(chat(response_format={"type": "json_schema", "json_schema": {"name": "x"}}))


def test_pictures_for_a_model_that_cannot_see_are_refused() -> None:
    parts = [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    with pytest.raises(InvalidRequest, match="cannot see") as caught:
        prepared(chat(messages=[{"role": "user", "content": parts}]))
    assert caught.value.param == "messages[0].content[1]"


@pytest.mark.parametrize("url", ["http://127.0.0.1/x.png", "file:///etc/passwd", "//x", ""])
def test_pictures_are_never_fetched(url: str) -> None:
    parts = [{"type": "image_url", "image_url": {"url": url}}]
    with pytest.raises(InvalidRequest, match="not fetched"):
        prepared(chat(messages=[{"role": "user", "content": parts}]), Traits("v", vision=True))


def test_pictures_for_a_model_that_can_see_pass() -> None:
    body = chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PIXEL}}]}])
    assert prepare(Traits("v", vision=True), body) is body


def test_sound_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="input_audio"):
        prepared(chat(messages=[{"role": "user", "content": [{"type": "input_audio"}]}]))


def called(*arguments: object) -> Body:
    function = dict(zip(("name", "arguments"), ("a", *arguments), strict=False))
    call = {"id": "c", "type": "function", "function": function}
    return chat(messages=[USER, {"role": "assistant", "content": None, "tool_calls": [call]}])


@pytest.mark.parametrize("arguments", ["{bad", '{"a":1e400}', '{"a":"\\ud800"}', '{"a":NaN}', "[" * 10**5])
def test_past_calls_whose_arguments_are_not_json_are_named(arguments: str) -> None:
    with pytest.raises(InvalidRequest, match="is not JSON") as caught:
        prepared(called(arguments))
    assert caught.value.param == "messages[1].tool_calls[0].function.arguments"


def test_past_calls_without_arguments_get_empty_ones() -> None:
    assert prepared(called("")) == prepared(called()) == prepared(called(None)) == called("{}")
    assert prepare(TRAITS, (body := called("{}"))) is body


def test_a_seed_reads_the_prompt_anew() -> None:
    assert prepared(chat(seed=7)) == chat(seed=7, cache_prompt=False)


@pytest.mark.parametrize(("seed", "ours"), [(2**32 - 1, 0), (2**40, 256), (-5, 2**32 - 6)])
def test_a_seed_that_the_engine_would_take_for_none_is_folded(seed: int, ours: int) -> None:
    assert prepared(chat(seed=seed))["seed"] == ours


def test_an_empty_stop_is_no_stop() -> None:
    assert prepared(chat(stop=""))["stop"] == []
    assert prepared(chat(stop=["", "x"]))["stop"] == ["x"]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_an_answer_of_no_tokens_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="at least 1") as caught:
        prepared(chat(**{name: 0}))
    assert caught.value.param == name


def test_more_answers_than_the_model_was_loaded_for_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="loaded for 4"):
        prepared(chat(n=5))


def test_a_continuation_is_completed_to_what_the_engine_wants() -> None:
    assert prepared(chat(continue_final_message=True))["add_generation_prompt"] is False


def test_vectors_cannot_be_shortened() -> None:
    traits = Traits("embed", dimensions=64)
    body: Body = {"input": "x", "dimensions": 64}
    assert prepare(traits, body) is body
    with pytest.raises(UnsupportedParameter, match="64 values"):
        prepare(traits, {"input": "x", "dimensions": 8})


def test_fields_of_a_message_that_are_null_are_left_out_as_clients_send_answers_back_whole() -> None:
    answer: Body = {"role": "assistant", "content": None, "name": None, "refusal": None, "tool_calls": None}
    body = chat(messages=[USER, answer, {"role": "tool", "content": "x", "tool_call_id": "1", "name": None}])
    assert prepared(body)["messages"] == [
        USER,
        {"role": "assistant", "content": None},
        {"role": "tool", "content": "x", "tool_call_id": "1"},
    ]
    alone = chat(messages=[{"role": "assistant", "content": None}])
    assert prepare(TRAITS, alone) is alone


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (chat(logit_bias={str(token): 1 for token in range(1025)}), "logit_bias"),
        ({"prompt": "x", "logit_bias": [[token, 1] for token in range(1025)]}, "logit_bias"),
        (chat(messages=[USER] * 4097), "messages"),
    ],
)
def test_what_would_keep_the_engine_busy_for_minutes_is_refused(body: Body, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        prepare(TRAITS, body)
    assert caught.value.param == param
