from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.wire.ollama.shapes import ChatLoaded, GenerateLoaded, Said, rfc3339


def test_a_moment_is_told_to_the_nanosecond() -> None:
    assert rfc3339(1_700_000_000_000_000_007) == "2023-11-14T22:13:20.000000007Z"


@given(st.integers(0, 2**63 - 1))
def test_any_moment_can_be_read_again(ns: int) -> None:
    read = datetime.fromisoformat(rfc3339(ns)[:26] + "+00:00")
    assert read == datetime.fromtimestamp(ns // 10**9, UTC).replace(microsecond=ns % 10**9 // 1000)


def test_what_was_not_said_is_left_out_but_never_the_content() -> None:
    assert msgspec.json.encode(Said("assistant", "")) == b'{"role":"assistant","content":""}'


def test_a_model_that_was_only_loaded_is_told_of_with_the_reason() -> None:
    chat = ChatLoaded(model="m", created_at="now", done_reason="load")
    assert msgspec.to_builtins(chat) == {
        "model": "m",
        "created_at": "now",
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": "load",
    }
    generate = GenerateLoaded(model="m", created_at="now", done_reason="unload")
    assert msgspec.to_builtins(generate)["response"] == ""
