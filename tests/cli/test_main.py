import json
import os
import shutil
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


def at_home(folder: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("LMBRIDGE_")}
    return {**own, "LMBRIDGE_HOME": str(folder)}


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
    assert "Did you mean 'chat'?" in err
    assert "`lmbridge --help`" in err


@pytest.mark.parametrize("group", ["gateway", "keys"])
def test_a_group_without_its_command_shows_its_help_and_nothing_else(
    capsys: pytest.CaptureFixture[str], group: str
) -> None:
    code, out, err = ended(capsys, group)
    assert (code, out) == (2, "")
    assert err.startswith(f"Usage: lmbridge {group} ")
    assert err.count("--help") == 1


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_the_help_fits_a_terminal_of_eighty_columns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    output = CliRunner().invoke(lmbridge, [*name.split(), "--help"]).output
    assert [line for line in output.splitlines() if len(line) > 80] == []


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
@pytest.mark.parametrize(
    ("arguments", "code"), [("ls --json >&-", 0), ("ls >&- 2>&-", 0), ("nonsense 2>&-", 2), ("nonsense >&-", 2)]
)
def test_what_the_caller_has_closed_is_not_written_to(tmp_path: Path, arguments: str, code: int) -> None:
    command = ["sh", "-c", f'exec "{sys.executable}" -m lmbridge {arguments}']
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=at_home(tmp_path), check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("group", ["lmstudio", "gateway", "keys"])
def test_the_commands_of_a_group_are_listed_as_one_needs_them_each_in_a_line(group: str) -> None:
    listed = CliRunner().invoke(lmbridge, [group, "--help"], terminal_width=80).output
    commands = listed.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert commands[0].split()[0] == {"lmstudio": "status", "gateway": "start", "keys": "create"}[group]
    assert not [line for line in commands if line.endswith("...")]


@pytest.mark.parametrize("name", [name for name, each in COMMANDS.items() if isinstance(each, click.Group)])
def test_what_a_group_says_of_its_commands_is_never_cut_off(name: str) -> None:
    listed = CliRunner().invoke(lmbridge, [*name.split(), "--help"], terminal_width=60).output
    assert "..." not in listed.partition("Commands:\n")[2].partition("Examples:")[0]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_under_the_output_is_an_error_of_its_own(tmp_path: Path) -> None:
    command = ["sh", "-c", f'exec "{sys.executable}" -m lmbridge ls > /dev/full']
    environ = at_home(tmp_path)
    environ.pop("PYTHONUNBUFFERED", None)  # with it nothing would be left to be written at the end
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environ, check=False)
    assert done.returncode == 5
    assert done.stderr.count("No space left") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_under_json_is_told_in_words_where_there_is_room(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "lmbridge", "presets", "list", "--json"]
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, env=at_home(tmp_path), check=False
        )
    assert done.returncode == 5
    assert done.stderr.count("No space left on the disk for the output") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_that_shows_at_the_very_end_is_told_too(tmp_path: Path) -> None:
    environ = at_home(tmp_path)
    environ.pop("PYTHONUNBUFFERED", None)
    script = (
        "import lmbridge.cli.main as m, sys; m._run = lambda arguments: sys.stdout.write('x') and 0; m.main([])"
    )
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-c", script]
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, env=environ, check=False
        )
    assert done.returncode == 5
    assert done.stderr.count("No space left") == 1


def test_a_terminal_without_our_symbols_still_tells_good_from_bad(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lmbridge", "doctor"]
    environ = {**at_home(tmp_path), "PYTHONIOENCODING": "ascii", "LMBRIDGE_DISABLED": "lmstudio"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environ, check=False)
    assert "+ version" in done.stdout
    assert "- gateway" in done.stdout
    assert "?" not in done.stdout


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


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("prompt", ["It costs $5, or $(id) and $$", "-x", "\"quoted\" 'twice'", "naïve 你好"])
def test_make_run_asks_what_was_typed(tmp_path: Path, prompt: str) -> None:
    makefile = Path(__file__).parents[2] / "Makefile"
    (tmp_path / "show.mk").write_text(f"include {makefile}\nshow:\n\t@printf '%s' \"$$PROMPT\"\n")
    command = ["make", "-s", "-f", str(tmp_path / "show.mk"), "show", f"PROMPT={prompt}"]
    assert subprocess.run(command, capture_output=True, timeout=60, check=True).stdout.decode() == prompt
