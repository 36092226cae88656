from __future__ import annotations

import json

import pytest

from lmbridge.wire.openai.progress import without_progress


def piece(**fields: object) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": {"content": "Hi"}}], **fields}).encode() + b"\n\n"


def reading(processed: int, total: int = 200) -> bytes:
    return piece(prompt_progress={"total": total, "processed": processed, "cache": 0})


def test_events_that_tell_of_the_prompt_are_taken_out_and_the_last_one_counts() -> None:
    assert without_progress(reading(0) + reading(50)) == (b"", 0.25)
    assert without_progress(reading(200) + piece()) == (piece(), 1.0)
    assert without_progress(piece()) == (piece(), None)
    assert without_progress(b": a comment\n\n") == (b": a comment\n\n", None)


def test_a_prompt_of_nothing_is_read() -> None:
    assert without_progress(reading(0, 0)) == (b"", 1.0)


@pytest.mark.parametrize(
    "event", [piece(prompt_progress=None), piece(prompt_progress="x"), piece(words='"prompt_progress"')]
)
def test_what_only_speaks_of_it_passes(event: bytes) -> None:
    assert without_progress(event) == (event, None)
