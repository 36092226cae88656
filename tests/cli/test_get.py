"""`lmbridge get`, and --get at other commands, where the embedded engine keeps the models."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from tests.cli.conftest import Run, Terminal
from tests.fakes.model_hub import FakeHub, model_hub

from lmbridge.machine.model_folders import BUILTIN

NAME = "someone/small-GGUF"
MODEL = "small"


@pytest.fixture
def models() -> Iterator[FakeHub]:
    """A model hub with one model, which answers."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(model_hub()) as hub:
        content = (BUILTIN / "lmbridge-tiny.gguf").read_bytes()
        hub.add(NAME, {"small-Q4_K_M.gguf": content, "small-Q8_0.gguf": content + b"\0" * 32})
        yield hub


@pytest.fixture
def surroundings(models: FakeHub, tmp_path: Path) -> dict[str, str]:
    return {"HF_ENDPOINT": models.url, "HF_HOME": str(tmp_path / "no-login"), "NO_PROXY": "*", "HF_TOKEN": ""}


@pytest.fixture
def lmbridge(alone: Run, surroundings: dict[str, str]) -> Run:
    def run(
        *arguments: str, input: str | bytes = b"", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return alone(*arguments, input=input, env={**surroundings, **(env or {})})

    return run


def test_a_model_is_downloaded_listed_and_answers(lmbridge: Run) -> None:
    done = lmbridge("get", NAME)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"^{MODEL} \(embedded\) is here, .* MB, after .*\.$", done.stdout, re.M)
    assert done.stderr.startswith(f"Downloading {NAME} …\n")
    assert "100%" in done.stderr
    assert json.loads(lmbridge("ls", MODEL, "--json").stdout)["models"][0]["id"] == MODEL
    answered = json.loads(lmbridge("chat", MODEL, "-p", "Hello", "-n", "3", "--json").stdout)
    assert answered["model"] == MODEL


def test_what_is_here_is_not_downloaded_again(lmbridge: Run, models: FakeHub) -> None:
    first = json.loads(lmbridge("get", NAME, "--json").stdout)
    assert (first["model"]["provider"], first["state"]) == ("embedded", "completed")
    sent = models.sent
    again = lmbridge("get", NAME)
    assert again.returncode == 0
    assert f"{MODEL} (embedded) was here already." in again.stdout
    assert json.loads(lmbridge("get", NAME, "--json").stdout)["state"] == "already_downloaded"
    assert models.sent == sent


def test_one_of_several_quantizations_is_chosen_by_option_or_name(lmbridge: Run, home: Path) -> None:
    for arguments in ([NAME, "--quantization", "q8_0"], [f"{NAME}@q8_0"]):
        assert lmbridge("get", *arguments).returncode == 0
    assert [path.name for path in (home / "models").rglob("*.gguf")] == ["small-Q8_0.gguf"]


def test_a_model_that_nobody_has_is_an_error(lmbridge: Run) -> None:
    done = lmbridge("get", "no-one/has-this")
    assert done.returncode == 3
    assert "no-one/has-this" in done.stderr
    told = json.loads(lmbridge("get", "no-one/has-this", "--json").stdout)
    assert told["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("name", ["", " ", "../x", "/x.gguf", "~/x"])
def test_what_is_no_name_of_a_model_is_refused_before_anything_is_asked(
    lmbridge: Run, models: FakeHub, name: str
) -> None:
    done = lmbridge("get", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert "OWNER/REPOSITORY" in done.stderr
    assert models.requests == []


@pytest.mark.parametrize("name", ["lmbridge-tiny", "embedded:lmbridge-tiny"])
def test_a_model_that_comes_with_the_package_is_here_already(lmbridge: Run, models: FakeHub, name: str) -> None:
    done = lmbridge("get", name)
    assert done.returncode == 0
    assert "lmbridge-tiny (embedded) was here already." in done.stdout
    assert models.requests == []


def test_a_missing_model_is_downloaded_first_only_where_that_was_asked_for(lmbridge: Run, models: FakeHub) -> None:
    assert lmbridge("chat", NAME, "-p", "Hello").returncode == 3
    assert models.requests == []
    done = lmbridge("chat", NAME, "--get", "-p", "Hello", "-n", "3", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    assert json.loads(done.stdout)["model"] == MODEL
    sent = models.sent
    assert lmbridge("chat", MODEL, "--get", "-p", "Hello", "-n", "3").returncode == 0
    assert models.sent == sent


def test_load_can_download_first(lmbridge: Run, home: Path) -> None:
    (home / "lmbridge.toml").write_text("[gateway]\nport = 0\n")
    try:
        done = lmbridge("load", NAME, "--get", "--context-length", "256")
        assert done.returncode == 0, done.stderr
        assert f"{MODEL} (embedded) is loaded" in done.stdout
    finally:
        assert lmbridge("gateway", "stop").returncode == 0


def test_on_a_terminal_a_bar_moves_and_is_gone_in_the_end(
    models: FakeHub, home: Path, surroundings: dict[str, str]
) -> None:
    models.pace = 200_000
    with Terminal(home, "get", NAME, **surroundings) as terminal:
        terminal.wait_for("━")
        terminal.wait_for(" of ")
        terminal.wait_for("small (embedded) is here")
        assert terminal.wait_for_end() == 0
        assert "%" not in terminal.text.rpartition("\n\n")[2].splitlines()[-1]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_stops_a_download_which_then_goes_on_where_it_stopped(
    models: FakeHub, home: Path, surroundings: dict[str, str], lmbridge: Run
) -> None:
    models.pace = 2_000
    with Terminal(home, "get", NAME, **surroundings) as terminal:
        terminal.wait_for(" of ")
        terminal.type("\x03")
        terminal.wait_for(f"Stopped. `lmbridge get {NAME}` goes on where it stopped.")
        assert terminal.wait_for_end() == 130
        assert "Traceback" not in terminal.text
    assert not list((home / "models").rglob("*.gguf")), "what is not whole is not shown"
    models.pace = 0
    assert lmbridge("get", NAME).returncode == 0
