import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from lmbridge.cli.command import BridgeCommand, BridgeGroup
from lmbridge.cli.main import SECTIONS, lmbridge, main
from lmbridge.version import __version__

NAMES = [name for commands in SECTIONS.values() for name in commands]


def every_command() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(lmbridge)
    for name in NAMES:
        command = lmbridge.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", command.commands[inner]) for inner in command.commands)


COMMANDS = dict(every_command())


def ended(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    out, err = capsys.readouterr()
    assert isinstance(caught.value.code, int)
    return caught.value.code, out, err


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_says_what_it_does_and_ends_with_examples(name: str) -> None:
    result = CliRunner().invoke(lmbridge, [*name.split(), "--help"])
    assert result.exit_code == 0
    before, _, examples = result.output.partition("Examples:\n")
    assert COMMANDS[name].help
    assert f"Usage: lmbridge {name}" in before.replace("\n", " ")
    assert f"lmbridge {name}" in examples


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_in_a_help_can_be_parsed(name: str) -> None:
    command = COMMANDS[name]
    assert isinstance(command, BridgeCommand | BridgeGroup)
    assert command.examples
    for line, remark in command.examples:
        assert "lmbridge" in line
        assert remark


def test_the_main_help_lists_every_command_by_section() -> None:
    output = CliRunner().invoke(lmbridge, ["--help"]).output
    for section, commands in SECTIONS.items():
        assert f"\n{section}:\n" in output
        assert all(f"  {name} " in output and help in output for name, help in commands.items())


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ended(capsys)
    assert (code, err) == (0, "")
    assert "lmbridge chat" in out


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_is_shown(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    assert ended(capsys, flag) == (0, f"lmbridge {__version__}\n", "")


def test_an_unknown_command_is_an_error_with_a_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ended(capsys, "caht")
    assert (code, out) == (2, "")
    assert "caht" in err
    assert "`lmbridge --help`" in err


def test_a_wrong_option_is_an_error_that_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = ended(capsys, "chat", "--temperatur", "1")
    assert code == 2
    assert "--temperatur" in err
    assert "`lmbridge chat --help`" in err


def test_with_json_a_wrong_option_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ended(capsys, "ls", "--json", "--nonsense")
    assert (code, err) == (2, "")
    assert json.loads(out)["error"]["code"] == "invalid_request"


@pytest.mark.parametrize("arguments", [["-c", "import lmbridge.cli.main"], ["-m", "lmbridge", "--version"]])
def test_the_start_imports_nothing_heavy(arguments: list[str]) -> None:
    script = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    heavy = {"asyncio", "msgspec", "rich", "prompt_toolkit", "uvicorn", "xllamacpp", "lmbridge.config", "socket"}
    assert "click" in imported
    assert not heavy & imported


def test_it_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lmbridge", "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == f"lmbridge {__version__}\n"


def test_a_wrong_setting_is_told_with_its_file_and_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LMBRIDGE_HOME", str(tmp_path))
    (tmp_path / "lmbridge.toml").write_text("[gateway]\nprot = 1\n")
    code, out, err = ended(capsys, "ls")
    assert (code, out) == (12, "")
    assert str(tmp_path / "lmbridge.toml") in err
    assert "gateway.prot" in err
    assert "port" in err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    code, out, _ = ended(capsys, "completion", shell)
    assert code == 0
    assert "_LMBRIDGE_COMPLETE" in out
