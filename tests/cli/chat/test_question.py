import io
import os
import tty
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lmbridge.cli.chat import question
from lmbridge.cli.chat.question import question_from, refuse_if_blind
from lmbridge.core.errors import InvalidRequest
from lmbridge.core.models import ModelInfo


def test_somebody_at_a_terminal_without_a_prompt_wants_to_talk() -> None:
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    with open(theirs) as terminal, open(ours):
        assert question_from(None, terminal) is None
        assert question_from("hi", terminal) == "hi"


def test_a_device_or_nothing_at_all_is_not_waited_for() -> None:
    with open(os.devnull) as nothing:
        assert question_from("hi", nothing) == "hi"
        assert question_from(None, nothing) is None
    assert question_from("hi", None) == "hi"
    assert question_from(None, None) is None
    assert question_from("hi", nothing) == "hi"  # closed
    assert question_from("hi", io.StringIO("no file behind it")) == "hi"


def test_a_file_as_standard_input_is_read(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.write_text("ünï\n\nlines\n", encoding="utf-8")
    with notes.open() as file:
        assert question_from("Read:", file) == "Read:\n\nünï\n\nlines"


def test_a_pipe_that_stays_empty_is_waited_for_and_that_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(question, "SILENCE_S", 0.01)
    ours, theirs = os.pipe()
    with open(ours) as pipe, ThreadPoolExecutor() as threads:
        asked = threads.submit(question_from, "hi", pipe)
        with open(theirs, "w") as late:
            while "</dev/null" not in capsys.readouterr().err:  # bounded by the test's own limit
                assert not asked.done()
            late.write("there")
        assert asked.result(timeout=30) == "hi\n\nthere"


def test_a_model_that_is_known_not_to_see_gets_no_picture() -> None:
    with pytest.raises(InvalidRequest, match="'words' cannot see"):
        refuse_if_blind(ModelInfo("words", "x", vision=False))
    refuse_if_blind(ModelInfo("eyes", "x", vision=True))
    refuse_if_blind(ModelInfo("who-knows", "x"))
