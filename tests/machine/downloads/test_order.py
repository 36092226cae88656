"""Which hub is asked and as whom, and errors on their way between processes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from lmbridge.core.errors import (
    BadModelFile,
    BridgeError,
    ConfigInvalid,
    DownloadFailed,
    InvalidRequest,
    ModelNotFound,
    NoSpace,
    ProviderUnavailable,
)
from lmbridge.machine.downloads.order import PUBLIC, Account, Failed, Order, failed, failure


def test_without_settings_the_public_hub_is_asked_as_nobody(tmp_path: Path) -> None:
    assert Account.read({}, tmp_path) == Account(PUBLIC)


@pytest.mark.parametrize("variable", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"])
def test_the_environment_names_hub_token_and_mood(variable: str, tmp_path: Path) -> None:
    environ = {"HF_ENDPOINT": "https://mirror.example/", variable: " hf_abc ", "HF_HUB_OFFLINE": "1"}
    assert Account.read(environ, tmp_path) == Account("https://mirror.example", "hf_abc", True)


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({}, ".cache/huggingface/token"),
        ({"XDG_CACHE_HOME": "{home}/cache"}, "cache/huggingface/token"),
        ({"HF_HOME": "{home}/hf"}, "hf/token"),
        ({"HF_TOKEN_PATH": "{home}/mine"}, "mine"),
    ],
)
def test_the_login_of_the_hubs_own_program_is_used(environ: dict[str, str], place: str, tmp_path: Path) -> None:
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_text("hf_kept\n")
    environ = {name: value.format(home=tmp_path) for name, value in environ.items()}
    assert Account.read(environ, tmp_path).token == "hf_kept"
    assert Account.read({**environ, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}, tmp_path).token == ""


def test_a_garbled_login_is_no_login(tmp_path: Path) -> None:
    for content in (b"\xff\xfe", b"two words", b""):
        (tmp_path / "token").write_bytes(content)
        assert Account.read({"HF_TOKEN_PATH": str(tmp_path / "token")}, tmp_path).token == ""


@pytest.mark.parametrize("endpoint", ["mirror.example", "ftp://mirror.example", "https://", "https://a:b@mirror"])
def test_a_hub_that_is_no_address_is_refused(endpoint: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="HF_ENDPOINT"):
        Account.read({"HF_ENDPOINT": endpoint}, tmp_path)


def test_a_token_that_cannot_be_sent_is_refused_without_being_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="HF_TOKEN") as caught:
        Account.read({"HF_TOKEN": "hf_se\ncret"}, tmp_path)
    assert "cret" not in str(caught.value)


def test_a_token_is_shown_by_nothing() -> None:
    assert "hf_secret" not in repr(Order("a/b", "/models", Account(PUBLIC, "hf_secret")))


@pytest.mark.parametrize(
    "error",
    [
        BadModelFile("/a", "broken"),
        ConfigInvalid("HF_ENDPOINT", "is no address", hint="Mend it."),
        DownloadFailed("a/b", "cut", hint="Again."),
        ModelNotFound("a/b", ["c/d"], where="hub", hint="Try c/d."),
        NoSpace("/a", 5, 3),
        ProviderUnavailable("hub", "down", hint="Wait."),
    ],
    ids=lambda error: error.code,
)
def test_an_error_is_the_same_on_the_other_side(error: BridgeError) -> None:
    made = failure(msgspec.json.decode(msgspec.json.encode(failed(error)), type=Failed))
    assert type(made) is type(error)
    assert str(made) == str(error)
    assert vars(made) == {**vars(error), **({"known": ("c/d",)} if made.code == "model_not_found" else {})}


def test_any_other_error_becomes_a_failed_download() -> None:
    assert "strange" in failure(failed(InvalidRequest("A strange thing."))).message.lower()
