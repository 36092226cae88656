from __future__ import annotations

import json

import pytest

from lmbridge.wire.openai.thinking import ThoughtsApart, whole_apart

DONE = b"data: [DONE]\n\n"
TAGGED = "<think>Hm, so.</think>\n\nYes <think>"


def piece(reason: str | None = None, index: int = 0, **delta: object) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": reason, "vendor": 1}
    return b"data: " + json.dumps({"id": "i", "choices": [choice]}).encode() + b"\n\n"


def told(events: bytes) -> tuple[str, str]:
    """What is said and what is thought in a stream."""
    said = thought = ""
    for event in events.decode().split("\n\n"):
        if event.startswith("data: {"):
            delta = json.loads(event.removeprefix("data: "))["choices"][0]["delta"]
            said += delta.get("content") or ""
            thought += delta.get("reasoning_content") or ""
    return said, thought


@pytest.mark.parametrize("size", [1, 3, 7, 100])
@pytest.mark.parametrize("together", [True, False])
def test_thoughts_between_tags_are_moved(size: int, together: bool) -> None:
    pieces = [piece(role="assistant", content=None)]
    pieces += [piece(content=TAGGED[k : k + size]) for k in range(0, len(TAGGED), size)]
    pieces += [piece("stop"), DONE]
    apart = ThoughtsApart()
    fed = [b"".join(pieces)] if together else pieces
    got = b"".join(map(apart.feed, fed))
    assert told(got) == ("Yes <think>", "Hm, so.")
    assert got.endswith(DONE)
    assert b'"role": "assistant"' in got
    assert b'"vendor":1' in got
    assert apart.passing


@pytest.mark.parametrize(
    "pieces",
    [
        [piece(content="Hello <think>"), piece(content="</think>"), piece("stop"), DONE],
        [piece(content="<b>")],
        [piece(reasoning_content="Hm"), piece(content="<think>")],
        [piece(reasoning="Hm"), piece(content="<think>")],
        [piece(tool_calls=[{"index": 0}]), piece(content="<think>")],
        [piece(content="<think>", index=1)],
        [b": a comment\n\n", b'data: {"choices": []}\n\n', DONE],
        [b'data: {"usage": {}}\n\n'],
        [b'data: {"choices":\ndata: []}\n\n', piece(content="<think>")],
    ],
)
def test_everything_else_passes_as_it_is(pieces: list[bytes]) -> None:
    apart = ThoughtsApart()
    assert b"".join(map(apart.feed, pieces)) == b"".join(pieces)


def test_what_might_have_been_a_tag_is_not_lost() -> None:
    apart = ThoughtsApart()
    assert told(apart.feed(piece(content="<thi")) + apart.feed(piece("length"))) == ("<thi", "")
    apart = ThoughtsApart()
    assert told(apart.feed(piece(content="<think>so")) + apart.feed(piece("length", content="</thi"))) == (
        "",
        "so</thi",
    )


def answer(*messages: dict[str, object]) -> bytes:
    choices = [{"index": k, "message": m, "finish_reason": "stop"} for k, m in enumerate(messages)]
    return json.dumps({"id": "i", "choices": choices}).encode()


def test_thoughts_of_a_whole_answer_are_moved() -> None:
    got = json.loads(whole_apart(answer({"role": "assistant", "content": TAGGED}, {"content": "No"})))
    assert got["choices"][0]["message"] == {
        "role": "assistant",
        "content": "Yes <think>",
        "reasoning_content": "Hm, so.",
    }
    assert got["choices"][1]["message"] == {"content": "No"}


@pytest.mark.parametrize(
    "message",
    [
        {"content": "Yes"},
        {"content": "Yes <think>no</think>"},
        {"content": None, "vendor": "<think>"},
        {"content": TAGGED, "reasoning_content": "Hm"},
        {"content": TAGGED, "reasoning": "Hm"},
    ],
)
def test_a_whole_answer_without_such_thoughts_keeps_its_bytes(message: dict[str, object]) -> None:
    body = answer(message)
    assert whole_apart(body) is body
