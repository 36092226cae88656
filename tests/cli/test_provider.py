"""--provider, at every command that names a model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from tests.cli.conftest import PATIENCE_S, Run, environment

from lmbridge.cli.provider import qualified


@pytest.mark.parametrize(
    ("name", "provider", "meant"),
    [
        ("qwen", "", "qwen"),
        ("qwen", "lmstudio", "lmstudio:qwen"),
        ("", "lmstudio", "lmstudio:"),
        ("lmstudio:qwen", "lmstudio", "lmstudio:qwen"),
        ("llama3:8b", "ollama", "ollama:llama3:8b"),
        ("/models/x.gguf", "embedded", "/models/x.gguf"),
    ],
)
def test_a_provider_makes_a_name_its_own(name: str, provider: str, meant: str) -> None:
    assert qualified(name, provider) == meant


def test_a_file_belongs_to_no_other_provider_than_the_engine() -> None:
    with pytest.raises(click.UsageError, match="embedded engine, not by lmstudio"):
        qualified("/models/x.gguf", "lmstudio")


def test_the_provider_chooses_whose_model_answers(run: Run) -> None:
    told = json.loads(run("chat", "--provider", "fake", "-p", "hello", "--json").stdout)
    assert (told["provider"], told["model"]) == ("fake", "fake-chat")
    assert json.loads(run("chat", "--provider", "embedded", "-p", "hello", "-n", "1", "--json").stdout)[
        "provider"
    ] == ("embedded")


def test_lists_show_one_provider_alone(run: Run) -> None:
    models = json.loads(run("ls", "--provider", "fake", "--json").stdout)["models"]
    assert {model["provider"] for model in models} == {"fake"}
    providers = json.loads(run("status", "--provider", "fake", "--json").stdout)["providers"]
    assert [state["provider"] for state in providers] == ["fake"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls"],
        ["ps"],
        ["status"],
        ["chat", "-p", "x"],
        ["demo"],
        ["load", "x"],
        ["unload", "x"],
        ["unload", "--all"],
        ["get", "x"],
    ],
)
def test_a_provider_that_is_none_is_an_error_with_the_names_of_those_that_are(
    run: Run, arguments: list[str]
) -> None:
    done = run(*arguments, "--provider", "fakke")
    assert done.returncode == 2
    assert "There is no provider 'fakke'." in done.stderr
    assert "Did you mean 'fake'?" in done.stderr
    assert "embedded" in done.stderr


def test_the_tab_key_completes_the_names_of_the_providers(home: Path) -> None:
    (home / "lmbridge.toml").write_text('[openai.fake]\nurl = "http://127.0.0.1:9"\n')
    words = {"_LMBRIDGE_COMPLETE": "bash_complete", "COMP_WORDS": "lmbridge ls --provider ", "COMP_CWORD": "3"}
    asked = [
        sys.executable,
        "-c",
        "import sys; sys.argv[0] = 'lmbridge'; from lmbridge.cli.main import main; main()",
    ]
    done = subprocess.run(
        asked, env=environment(home, **words), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert {"plain,embedded", "plain,fake"} <= set(done.stdout.split(os.linesep))


def test_a_provider_that_is_disabled_is_told_with_what_brings_it_back(run: Run) -> None:
    done = run("ls", "--provider", "lmstudio")
    assert (done.returncode, "is disabled" in done.stderr) == (2, True)
    assert "`lmbridge providers enable lmstudio`" in done.stderr
