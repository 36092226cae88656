from __future__ import annotations

import pytest

from lmbridge.core import errors
from lmbridge.core.errors import (
    BridgeError,
    InvalidRequest,
    ModelNotFound,
    NoSpace,
    ProviderRefused,
    RequestTooLarge,
    UnsupportedMediaType,
    all_errors,
    error_from_code,
)


def test_every_code_belongs_to_one_class() -> None:
    codes = [error.code for error in all_errors()]
    assert len(codes) == len(set(codes))


def test_an_error_says_what_is_wrong_and_then_what_to_do() -> None:
    error = BridgeError("It is broken.", hint="Mend it.", param="thing")
    assert (str(error), error.message, error.hint, error.param) == (
        "It is broken. Mend it.",
        "It is broken.",
        "Mend it.",
        "thing",
    )
    assert str(InvalidRequest("Wrong.")) == "Wrong."


def test_numbers_and_foreign_text_are_shown_in_a_readable_length() -> None:
    assert "1,048,576 bytes" in str(RequestTooLarge(2**20))
    assert len(str(UnsupportedMediaType("x" * 10_000))) < 250
    assert "not none" in str(UnsupportedMediaType(""))


def test_an_error_of_another_lmbridge_comes_back_as_the_class_it_was() -> None:
    error = error_from_code("model_not_found", "No model.", "Look again.", "model")
    assert isinstance(error, ModelNotFound)
    assert (str(error), error.hint, error.param) == ("No model. Look again.", "Look again.", "model")


@pytest.mark.parametrize("code", ["internal_error", "invented", ""])
def test_a_code_of_somebody_else_is_left_to_the_caller(code: str) -> None:
    assert error_from_code(code, "x") is None


MADE = [
    BridgeError("x"),
    InvalidRequest("x", hint="y"),
    errors.UnsupportedParameter("logit_zap"),
    RequestTooLarge(5),
    UnsupportedMediaType("text/plain"),
    errors.Unauthorized(),
    errors.Forbidden("x", hint="y"),
    errors.RouteNotFound("x", hint="y"),
    errors.MethodNotAllowed("PUT", "/v1/models", ["GET"]),
    ModelNotFound("abc", ["abd"]),
    errors.ModelNotLoaded("abc"),
    errors.NoModels(),
    errors.WrongModelKind("m", "embedding", "chat"),
    errors.BadModelFile("m.gguf", "it is cut off"),
    errors.NotEnoughMemory("m", 2**33, 2**32),
    errors.NoSpace("/x"),
    errors.ProviderNeedsKey("p", 401),
    errors.ForeignServer("p", "http://127.0.0.1:1234", "it is a web page"),
    errors.WrongModel("p", "a", "b"),
    errors.ModelGone("p", "m"),
    errors.RuntimeMissing("LM Studio", "LM Studio is not installed.", hint="y"),
    errors.MissingExtra("mcp", "MCP"),
    errors.TooDeep(),
    errors.ToolServerUnavailable("files", "it ended with status 1"),
    errors.ToolServerNotFound("flies", ["files"]),
    errors.ToolServerNotAllowed("files", "Nobody has agreed to the MCP server 'files'."),
    errors.CommandFailed("lms ls", "it printed garbage", hint="y"),
    errors.DownloadFailed("m", "it stopped"),
    errors.JobNotFound("job_0123456789"),
    errors.ContextExceeded(9, 5),
    errors.ResponseNotFound("resp_1"),
    errors.PreviousResponseNotFound("resp_1"),
    errors.EngineMissing("no wheel"),
    errors.LoadFailed("m", "no reason"),
    errors.EngineCrashed("m", "signal 9"),
    errors.ProviderUnavailable("p", "refused"),
    errors.ProviderRefused("p", 429, "slow down"),
    errors.BrokenAnswer("p", "cut off"),
    errors.ProviderTimeout("p", "idle", 5),
    errors.ModelBusy("m", 2),
    errors.ShuttingDown(),
    errors.ConfigInvalid("lmbridge.toml", "bad", hint="y"),
    errors.AddressInUse("127.0.0.1", 1235, "nginx (pid 7)"),
    errors.UnsafeBind("192.0.2.1"),
    errors.NotRunning(),
    errors.NotRunning("http://gpu:1235"),
    errors.AlreadyRunning("http://127.0.0.1:1235", 7),
    errors.Cancelled(),
]
WITHOUT_A_HINT = {"internal_error", "provider_refused", "cancelled"}
"""A fault of ours, somebody else's words, and the user's own wish."""


def test_every_error_is_tried_here() -> None:
    assert {type(error) for error in MADE} == set(all_errors())


@pytest.mark.parametrize("error", MADE, ids=lambda error: error.code)
def test_every_error_is_a_sentence_and_says_what_to_do(error: BridgeError) -> None:
    assert error.code in WITHOUT_A_HINT or error.hint
    assert str(error).startswith(error.message)
    assert "  " not in str(error)


def test_a_name_without_end_is_neither_repeated_nor_compared() -> None:
    error = ModelNotFound("x" * 10**7, ["x" * 10**6])
    assert len(str(error)) < 1000
    assert "Did you mean" not in error.hint


def test_a_full_disk_is_told_with_both_numbers_where_they_are_known() -> None:
    assert "needs 2.00 GB on a disk that has 1.00 GB left" in str(NoSpace("/x", 2 * 10**9, 10**9))
    assert str(NoSpace("/x", 5)).startswith("No space left on the disk for /x.")


@pytest.mark.parametrize(
    ("seconds", "hint"),
    [(None, ""), (0, "Try again."), (1, "Try again in 1 second."), (9, "Try again in 9 seconds.")],
)
def test_a_refusal_tells_when_to_try_again(seconds: int | None, hint: str) -> None:
    error = ProviderRefused("cloud", 429, "Slowly.", retry_after=seconds)
    assert (error.retry_after, error.hint) == (seconds, hint)
