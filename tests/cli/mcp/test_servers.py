"""`lmbridge mcp servers`: what is there, what it would start, and that nothing starts before the user agreed."""

import json
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Run, Terminal

ROOT = Path(__file__).parents[3]
FAKE = {
    "command": sys.executable,
    "args": ["-m", "tests.fakes.mcp_server"],
    "cwd": str(ROOT),
    "env": {"FAKE_SECRET": "s3cret-s3cret"},
}


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A user with LM Studio's mcp.json."""
    write(tmp_path, {"mcpServers": {"fake": FAKE, "broken": {"comand": "x"}}})
    return {"HOME": str(tmp_path)}


def write(user: Path, content: object) -> Path:
    file = user / ".lmstudio" / "mcp.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content))
    return file


def test_every_server_is_listed_with_its_state_and_no_secret(alone: Run, home: Path, env: dict[str, str]) -> None:
    (home / "lmbridge.toml").write_text('[mcp.ours]\nurl = "https://mcp.example/mcp?key=s3cret-s3cret"\n')
    listed = alone("mcp", "servers", "list", env=env)
    states = {line.split()[0]: line for line in listed.stdout.splitlines()[1:]}
    assert list(states) == ["fake", "broken", "ours"]
    assert "not agreed to yet" in states["fake"]
    assert "unusable: it has neither" in states["broken"]
    assert "allowed" in states["ours"]
    told = json.loads(alone("mcp", "servers", "list", "--json", env=env).stdout)["servers"]
    assert told[0]["variables"] == ["FAKE_SECRET"]
    shown = alone("mcp", "servers", "show", "fake", env=env).stdout
    assert "tests.fakes.mcp_server" in shown
    assert json.loads(alone("mcp", "servers", "show", "fake", "--json", env=env).stdout) == told[0]
    assert "s3cret" not in f"{listed.stdout}{listed.stderr}{told}{shown}"


def test_without_servers_it_says_where_they_would_be(alone: Run, tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path)}
    assert "neither in" in alone("mcp", "servers", "list", env=env).stdout
    (tmp_path / ".lmstudio").mkdir()
    (tmp_path / ".lmstudio" / "mcp.json").write_text("{")
    assert "is not JSON" in alone("mcp", "servers", "list", env=env).stderr


def test_nothing_is_started_before_somebody_agreed_and_who_cannot_be_asked_is_told_the_command(
    alone: Run, env: dict[str, str]
) -> None:
    refused = alone("mcp", "servers", "tools", "fake", env=env)
    assert refused.returncode == 7
    assert "`lmbridge mcp servers allow fake` agrees to it." in refused.stderr
    assert "-m tests.fakes.mcp_server` with FAKE_SECRET in its environment" in refused.stderr
    asked = alone("mcp", "servers", "allow", "fake", env=env)
    assert asked.returncode == 2
    assert "--yes" in asked.stderr
    assert alone("mcp", "servers", "allow", "fake", "--yes", env=env).stdout == "'fake' may be started.\n"
    listed = alone("mcp", "servers", "tools", "fake", env=env).stdout
    assert "add" in listed
    assert "memo://today" in listed
    assert "greet" in listed
    found = json.loads(alone("mcp", "servers", "tools", "fake", "--json", env=env).stdout)
    assert {tool["policy"] for tool in found["tools"]} == {"ask"}
    assert [each["name"] for each in found["prompts"]] == ["greet"]


def test_on_a_terminal_one_is_shown_the_command_line_and_asked_once(home: Path, env: dict[str, str]) -> None:
    with Terminal(home, "mcp", "servers", "call", "fake", "add", '{"a": 1, "b": 2}', **env) as terminal:
        shown = terminal.wait_for("now and in future? [y/N]:")
        assert "tests.fakes.mcp_server" in "".join(shown.split())
        assert "with these variables set: FAKE_SECRET" in shown
        terminal.enter("y")
        terminal.wait_for("3")
        assert terminal.wait_for_end() == 0
    with Terminal(home, "mcp", "servers", "call", "fake", "add", '{"a": 1, "b": 2}', **env) as terminal:
        terminal.wait_for("3")
        assert terminal.wait_for_end() == 0
        assert "in future" not in terminal.text


def test_who_says_no_starts_nothing(home: Path, env: dict[str, str]) -> None:
    with Terminal(home, "mcp", "servers", "tools", "fake", **env) as terminal:
        terminal.wait_for("[y/N]:")
        terminal.enter("n")
        terminal.wait_for("nobody has agreed")
        assert terminal.wait_for_end() == 7
    assert not (home / "mcp-consent.json").exists()


def test_a_changed_command_is_asked_for_again(alone: Run, tmp_path: Path, env: dict[str, str]) -> None:
    alone("mcp", "servers", "allow", "fake", "--yes", env=env)
    write(tmp_path, {"mcpServers": {"fake": {**FAKE, "args": ["-m", "tests.fakes.mcp_server", "--more"]}}})
    assert alone("mcp", "servers", "tools", "fake", env=env).returncode == 7


def test_tools_are_allowed_and_forbidden_one_by_one(alone: Run, env: dict[str, str]) -> None:
    said = alone("mcp", "servers", "allow", "fake", "add", "steps", "--yes", env=env).stdout
    assert said == "add, steps of 'fake': called without asking.\n"
    assert alone("mcp", "servers", "forbid", "fake", "fail", env=env).stdout == "fail of 'fake': never called.\n"
    called = alone("mcp", "servers", "call", "fake", "fail", '{"reason": "x"}', env=env)
    assert (called.returncode, called.stdout) == (6, "fail is not to be called: forbidden.\n")
    again = alone("mcp", "servers", "forbid", "fake", "fail", "--ask", env=env)
    assert again.stdout == "fail of 'fake': asked for each time.\n"
    assert alone("mcp", "servers", "forbid", "fake", "--ask", env=env).returncode == 2
    told = json.loads(alone("mcp", "servers", "show", "fake", "--json", env=env).stdout)
    assert told["policies"] == {"add": "always", "steps": "always", "fail": "ask"}
    assert alone("mcp", "servers", "forbid", "fake", env=env).stdout == "'fake' is not used any more.\n"
    assert alone("mcp", "servers", "tools", "fake", env=env).returncode == 7
    alone("mcp", "servers", "forbid", "fake", "add", env=env)
    every = alone("mcp", "servers", "allow", "fake", "--all-tools", "--yes", env=env)
    assert every.stdout == "All tools of 'fake': called without asking.\n"
    assert "What you forbade stays so: add." in every.stderr
    told = json.loads(alone("mcp", "servers", "show", "fake", "--json", env=env).stdout)
    assert told["policies"] == {"add": "never", "steps": "always", "*": "always"}


def test_a_tool_is_called_by_hand(alone: Run, env: dict[str, str]) -> None:
    alone("mcp", "servers", "allow", "fake", "--yes", env=env)
    done = alone("mcp", "servers", "call", "fake", "steps", '{"count": 2}', env=env)
    assert (done.stdout, done.stderr) == ("done\n", "50% step 1\n100% step 2\n")
    picture = alone("mcp", "servers", "call", "fake", "picture", env=env)
    assert (picture.stdout, picture.stderr) == ("a pixel\n", "And 1 picture, not shown here.\n")
    told = json.loads(alone("mcp", "servers", "call", "fake", "crash", "{}", "--json", env=env).stdout)
    assert told["is_error"]
    assert "the disk is on fire (…)" in told["text"]
    assert alone("mcp", "servers", "call", "fake", "add", "[]", env=env).returncode == 2
    assert alone("mcp", "servers", "call", "fake", "add", "{", env=env).returncode == 2


def test_unknown_and_unusable_servers_are_told_apart(alone: Run, env: dict[str, str]) -> None:
    unknown = alone("mcp", "servers", "show", "fkae", env=env)
    assert (unknown.returncode, "Did you mean 'fake'?" in unknown.stderr) == (3, True)
    broken = alone("mcp", "servers", "tools", "broken", env=env)
    assert (broken.returncode, "neither a command nor a URL" in broken.stderr) == (4, True)
    allowed = alone("mcp", "servers", "allow", "broken", "--yes", env=env)
    assert (allowed.returncode, "neither a command nor a URL" in allowed.stderr) == (4, True)


def test_a_server_that_cannot_be_reached_is_told_with_what_can_be_done(alone: Run, tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path)}
    write(tmp_path, {"mcpServers": {"far": {"url": "http://127.0.0.1:1/mcp"}}})
    assert "'far' may be used." in alone("mcp", "servers", "allow", "far", "--yes", env=env).stdout
    done = alone("mcp", "servers", "tools", "far", env=env)
    assert (done.returncode, "See that it runs, and at this address." in done.stderr) == (4, True)
    typed = alone(
        "chat", "-p", "Hi", "--yes", "--mcp-command", f'"{sys.executable}" -c "raise SystemExit(3)"', env=env
    )
    assert (typed.returncode, "Run its command by hand" in typed.stderr) == (4, True)


def test_a_file_of_the_other_form_is_mended_after_it_was_shown(alone: Run, tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path)}
    file = write(tmp_path, {"servers": [{"name": "fake", **FAKE}]})
    assert "mend" in alone("mcp", "servers", "list", env=env).stderr
    refused = alone("mcp", "servers", "mend", env=env)
    assert (refused.returncode, '+  "mcpServers": {' in refused.stdout) == (2, True)
    done = alone("mcp", "servers", "mend", "--yes", env=env)
    assert "The file as it was:" in done.stdout
    assert json.loads(file.read_text()) == {"mcpServers": {"fake": FAKE}}
    assert "nothing to mend" in alone("mcp", "servers", "mend", env=env).stdout


def test_on_a_terminal_allowing_and_mending_can_be_declined(home: Path, tmp_path: Path) -> None:
    write(tmp_path, {"servers": [{"name": "fake", **FAKE}]})
    for arguments in (("allow", "fake"), ("mend",)):
        with Terminal(home, "mcp", "servers", *arguments, HOME=str(tmp_path)) as terminal:
            terminal.wait_for("[y/N]:")
            terminal.enter("n")
            terminal.wait_for("Nothing was changed.")
            assert terminal.wait_for_end() == 0
