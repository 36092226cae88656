from __future__ import annotations

import json

import pytest

from lmbridge.core.errors import BridgeError, InvalidRequest, ModelNotFound, all_errors, error_from_code
from lmbridge.wire.ollama.errors import error_body, error_line


def test_an_error_is_one_text_that_ends_with_what_to_do() -> None:
    assert json.loads(error_body(InvalidRequest("No.", hint="Send less."))) == {"error": "No. Send less."}
    assert error_body(InvalidRequest("No.")) == b'{"error":"No."}'


def test_in_a_stream_it_is_the_last_line() -> None:
    assert error_line(InvalidRequest("No.")) == b'{"error":"No."}\n'


def test_a_model_that_is_not_here_is_said_so_in_the_words_that_clients_look_for() -> None:
    told = json.loads(error_body(ModelNotFound("qwen3", ["qwen3-8b"])))["error"]
    assert told == "model 'qwen3' not found. Did you mean 'qwen3-8b'?"
    assert len(error_body(ModelNotFound("x\x00" * 5000, []))) < 3000
    assert b"\\u0000" not in error_body(ModelNotFound("\x00", []))


def test_one_that_is_not_elsewhere_is_told_with_the_place() -> None:
    told = json.loads(error_body(ModelNotFound("a/b", [], where="Hugging Face")))["error"]
    assert "at Hugging Face" in told


@pytest.mark.parametrize("error", list(all_errors()), ids=lambda error: error.code)
def test_every_error_can_be_told(error: type[BridgeError]) -> None:
    made = error_from_code(error.code, "It went wrong.", "Mend it.") or BridgeError(
        "It went wrong.", hint="Mend it."
    )
    assert json.loads(error_body(made)) == {"error": "It went wrong. Mend it."}
