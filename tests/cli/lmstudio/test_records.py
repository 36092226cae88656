import json
import re

import pytest

from lmbridge.cli.lmstudio.records import lines


def record(**data: object) -> bytes:
    return json.dumps({"timestamp": 1_750_000_000_000, "data": data}).encode()


def told(**data: object) -> list[str]:
    return list(lines(record(**data)))


def test_a_record_of_the_server_is_its_time_and_its_words() -> None:
    (line,) = told(type="server.log", content="Running chat completion", level="info")
    assert re.fullmatch(r"\d\d:\d\d:\d\d  Running chat completion", line)


def test_a_level_is_shown_where_it_is_not_the_usual_one() -> None:
    assert told(type="server.log", content="x", level="error")[0].endswith("  ERROR x")
    assert told(type="runtime.log", message="slow", level="warn", engineName="llama.cpp")[0].endswith(
        "  WARN llama.cpp: slow"
    )


def test_a_prompt_and_its_answer_are_told_apart_with_their_model_and_figures() -> None:
    asked = told(type="llm.prediction.input", modelIdentifier="qwen", input="Hello\nyou")
    assert [line[10:] for line in asked] == ["→ qwen", "Hello", "you"]
    stats = {"tokensPerSecond": 33.4, "predictedTokensCount": 12, "stopReason": "eosFound"}
    answered = told(type="llm.prediction.output", modelIdentifier="qwen", output="Hi", stats=stats)
    assert [line[10:] for line in answered] == ["← qwen (12 tokens, 33 tokens/s, eosFound)", "Hi"]


def test_further_lines_stand_below_the_first() -> None:
    first, second = told(type="server.log", content="one\ntwo")
    assert first[10:] == "one"
    assert second == f"{'':<10}two"


@pytest.mark.parametrize("data", [b"not JSON", b"{}", b"[1]", b'{"data": 3}', b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_record_is_passed_on(data: bytes) -> None:
    assert list(lines(data)) == [data.decode("utf-8", "replace")]


def test_a_record_of_a_kind_that_is_not_known_is_shown_whole() -> None:
    assert '"colour":"blue"' in told(type="new.kind", colour="blue")[0]


def test_fields_of_other_types_than_usual_do_no_harm() -> None:
    assert told(type="server.log", content=5, level=None)
    assert told(type="llm.prediction.output", output=None, stats={"tokensPerSecond": "fast"})
    assert list(lines(b'{"timestamp": 1e300, "data": {"type": "server.log", "content": "x"}}'))


def test_a_record_cannot_steer_the_terminal() -> None:
    assert "\x1b" not in told(type="server.log", content="a\x1b[2Jb")[0]
