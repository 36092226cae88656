"""Where an answer is shown while it comes, when nobody looks at it."""

from __future__ import annotations

import pytest

from lmbridge.cli.chat.screens import PlainText, screen, show
from lmbridge.core.events import Finished, PromptProgress, ReasoningDelta, Started, TextDelta, ToolCallDelta


def test_a_pipe_gets_the_words_of_the_answer_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with screen() as shown:
        assert isinstance(shown, PlainText)
        for event in (
            Started("p", "m"),
            PromptProgress(1, 2),
            ReasoningDelta("hm"),
            TextDelta("one"),
            TextDelta("other choice", 1),
            ToolCallDelta(0, "c", "f", "{}"),
            TextDelta(""),
            Finished("stop"),
        ):
            show(event, shown)
        shown.say("a line of ours")
    assert capsys.readouterr().out == "one\n"


def test_an_answer_that_ends_its_line_gets_no_further_one(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainText() as shown:
        shown.feed("one\n")
    with PlainText():
        pass
    assert capsys.readouterr().out == "one\n"
