"""ls, ps and status: what they tell of the models and this machine."""

import json
import os
import re
from pathlib import Path

import pytest
from tests.cli.conftest import Run
from tests.fakes.openai_server import FakeOpenAI

from lmbridge.version import __version__


def test_ls_lists_the_models_by_provider(run: Run) -> None:
    done = run("ls")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    begin = lines.index("fake")
    assert lines[begin + 1].split()[:2] == ["MODEL", "KIND"]
    assert [line.split()[:2] for line in lines[begin + 2 : begin + 4]] == [
        ["fake-chat", "chat"],
        ["fake-embed", "embedding"],
    ]


def test_ls_in_json_has_every_field_of_every_model(run: Run) -> None:
    models = json.loads(run("ls", "--json").stdout)["models"]
    chat = next(model for model in models if model["id"] == "fake-chat")
    assert (chat["provider"], chat["kind"], chat["loaded"]) == ("fake", "chat", False)
    assert {"id", "size_bytes", "context_length", "quantization", "tools", "vision", "problem"} <= chat.keys()


def test_ls_shows_only_what_was_named(run: Run) -> None:
    assert [m["id"] for m in json.loads(run("ls", "FAKE-emb", "--json").stdout)["models"]] == ["fake-embed"]
    nothing = run("ls", "qwen")
    assert nothing.returncode == 0
    assert "No model has 'qwen' in its name" in nothing.stdout


def test_a_provider_that_is_down_is_shown_with_the_reason(alone: Run, home: Path) -> None:
    (home / "lmbridge.toml").write_text('[openai.gone]\nurl = "http://127.0.0.1:9"\n')
    done = alone("ls")
    assert done.returncode == 0
    assert any(line.startswith("gone ") for line in done.stdout.splitlines())


def test_a_name_of_a_model_cannot_steer_the_terminal(run: Run, server: FakeOpenAI) -> None:
    server.models = [{"id": "evil\x1b[2Jname"}]
    assert "\x1b" not in run("ls").stdout


def test_ps_without_a_gateway_says_why_there_is_nothing(run: Run) -> None:
    assert "No gateway is running" in run("ps").stdout
    assert json.loads(run("ps", "--json").stdout) == {"where": "this process", "models": []}


def test_status_tells_version_gateway_providers_and_memory(run: Run, home: Path) -> None:
    told = json.loads(run("status", "--json").stdout)
    assert (told["version"], told["home"]) == (__version__, str(home))
    assert told["gateway"] == {"running": False}
    assert {state["provider"]: state["state"] for state in told["providers"]}["fake"] == "ready"
    assert told["memory"]["total_bytes"] > told["memory"]["available_bytes"] > 0
    shown = run("status").stdout
    for expected in (__version__, str(home), "not running", "fake", "2 models", "free"):
        assert expected in shown


def test_status_tells_each_thing_once_and_what_to_do(run: Run, home: Path, server: FakeOpenAI) -> None:
    settings = home / "lmbridge.toml"
    settings.write_text(f'{settings.read_text()}[embedded]\nllama_server = "/nowhere"\n')
    out = run("status").stdout
    assert re.search(rf"^● fake +\d+ models, at {server.url}$", out, re.M)
    assert re.search(
        r"^○ embedded +unavailable, The embedded engine cannot run: /nowhere is not a program$", out, re.M
    )


@pytest.mark.skipif(os.name == "nt", reason="folders of POSIX")
@pytest.mark.parametrize("command", [["gateway", "start"], ["serve"], ["keys", "create", "a"]])
def test_a_home_that_cannot_be_made_is_told_with_the_way_out(
    alone: Run, tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "file").write_text("")
    done = alone(*command, "--json", env={"LMBRIDGE_HOME": str(tmp_path / "file")})
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["code"]) == (12, "config_invalid")
    assert str(tmp_path / "file") in error["message"]


def test_ls_tells_that_the_models_it_lists_cannot_answer(alone: Run, home: Path) -> None:
    (home / "lmbridge.toml").write_text('[embedded]\nllama_server = "/nowhere"\n')
    for arguments in ([], ["tiny"]):
        lines = alone("ls", *arguments).stdout.splitlines()
        assert any("lmbridge-tiny" in line for line in lines)
        assert lines[-1].startswith("!  The embedded engine cannot run: /nowhere is not a program")
