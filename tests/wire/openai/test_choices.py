from __future__ import annotations

import json

import pytest

from lmbridge.core.errors import BrokenAnswer, ProviderRefused
from lmbridge.core.events import Usage
from lmbridge.wire.openai.choices import Choices


def event(index: int, reason: str | None = None, **delta: object) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": reason}
    return json.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [choice]}).encode()


def cost(prompt: int, made: int) -> bytes:
    usage = {"prompt_tokens": prompt, "completion_tokens": made, "prompt_tokens_details": {"cached_tokens": 2}}
    return json.dumps({"choices": [], "usage": usage, "timings": {"predicted_n": made}}).encode()


def test_choices_are_put_together_and_their_costs_added() -> None:
    choices = Choices("p", 2)
    for data in (
        event(1, role="assistant", content=None),
        event(1, content="b"),
        event(0, role="assistant", content=None),
        event(0, content="a", reasoning_content="hm"),
        event(1, content="B"),
        event(0, content="A"),
        event(1, "stop"),
        cost(7, 3),
        event(0, "length"),
        cost(7, 4),
    ):
        choices.feed(data)
    choices.feed(b"[DONE]")
    choices.close()
    assert choices.usage == Usage(7, 7, 2)
    whole = json.loads(choices.whole())
    assert (whole["id"], whole["object"]) == ("c", "chat.completion")
    assert [(c["index"], c["message"]["content"], c["finish_reason"]) for c in whole["choices"]] == [
        (0, "aA", "length"),
        (1, "bB", "stop"),
    ]
    assert whole["choices"][0]["message"]["reasoning_content"] == "hm"
    assert whole["usage"]["total_tokens"] == 14


def test_costs_of_single_choices_are_not_passed_on() -> None:
    choices = Choices("p", 2)
    assert choices.feed(event(0, content="a")).startswith(b'data: {"id":"c"')
    assert choices.feed(cost(1, 1)) == b""
    assert choices.feed(b"null") == b""
    finished = json.dumps(
        {"choices": [{"index": 0, "text": "x"}], "usage": {"completion_tokens": 3}, "timings": {}}
    )
    assert b"usage" not in choices.feed(finished.encode())
    assert b"timings" not in choices.feed(finished.encode())


@pytest.mark.parametrize("wanted", [True, False])
def test_a_stream_ends_with_the_whole_cost_if_it_was_wanted(wanted: bool) -> None:
    choices = Choices("p", 1)
    choices.feed(event(0, "stop", content="a"))
    choices.feed(cost(5, 6))
    last = choices.last_events(wanted)
    assert last.endswith(b"data: [DONE]\n\n")
    assert (b'"completion_tokens":6' in last) is wanted


def test_tool_calls_grow_piece_by_piece_and_lose_their_numbers() -> None:
    choices = Choices("p", 1)
    call = {"index": 0, "id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a'}}
    choices.feed(event(0, tool_calls=[call]))
    choices.feed(event(0, tool_calls=[{"index": 0, "function": {"arguments": '":1}'}}]))
    choices.feed(event(0, "tool_calls", tool_calls=[{"index": 1, "id": "2", "function": {"name": "g"}}]))
    message = json.loads(choices.whole())["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"] == [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "2", "function": {"name": "g"}},
    ]


def test_of_several_reasons_to_finish_the_last_one_counts() -> None:
    choices = Choices("p", 2)
    for data in (event(0, "length", content="a"), event(0, "stop")):
        choices.feed(data)
    (choice,) = json.loads(choices.whole())["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("stop", "a")


def test_log_probabilities_are_joined() -> None:
    choices = Choices("p", 1)
    for token in "ab":
        choice = {"index": 0, "text": token, "logprobs": {"content": [{"token": token}]}, "finish_reason": None}
        choices.feed(json.dumps({"object": "text_completion", "choices": [choice]}).encode())
    whole = json.loads(choices.whole())
    assert whole["choices"][0]["text"] == "ab"
    assert [item["token"] for item in whole["choices"][0]["logprobs"]["content"]] == ["a", "b"]
    assert whole["object"] == "text_completion"


def test_several_prompts_are_all_counted() -> None:
    choices = Choices("p", 2)  # two prompts of 3 and 5 tokens, two choices each
    for prompt in (3, 3, 5, 5):
        choices.feed(cost(prompt, 1))
    assert choices.usage == Usage(8, 4, 4)


@pytest.mark.parametrize(
    "data",
    [b"{", b"[]", b'"x"', b"{}", b'{"choices":[7]}', b'{"choices":[{"index":"x"}]}', b"[" * 100_000],
    ids=lambda data: str(data[:20]),
)
def test_what_is_no_part_of_an_answer_is_an_error(data: bytes) -> None:
    with pytest.raises(BrokenAnswer):
        Choices("p", 2).feed(data)


def test_an_error_in_the_stream_is_raised() -> None:
    with pytest.raises(ProviderRefused, match="no more"):
        Choices("p", 2).feed(b'{"error":{"message":"no more","code":500}}')


def test_a_stream_that_was_cut_is_an_error() -> None:
    for pieces in ([], [event(0, content="a")], [event(0, "stop"), event(1, content="b")]):
        choices = Choices("p", 2)
        for data in pieces:
            choices.feed(data)
        with pytest.raises(BrokenAnswer, match="ended"):
            choices.close()
    choices = Choices("p", 2)
    choices.feed(event(0, "stop"))
    choices.close()
