"""MCP servers that a chat names: by their names, by what starts them, by their address."""

import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Run, Terminal

SERVER = Path(__file__).parents[3] / "docs" / "examples" / "mcp" / "weather_server.py"
QUESTION = "What is the weather in Paris?"
ANSWER = "18 degrees, sunny in Paris."


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path)}


@pytest.fixture
def settings(home: Path) -> None:
    """The server is one of the user's."""
    (home / "lmbridge.toml").write_text(f'[mcp.weather]\ncommand = "{sys.executable}"\nargs = ["{SERVER}"]\n')


def test_a_model_uses_a_server_that_was_typed_and_so_agreed_to(alone: Run, env: dict[str, str]) -> None:
    line = f"{sys.executable} {SERVER}"
    done = alone("chat", "lmbridge-tiny", "-t", "0", "-p", QUESTION, "--mcp-command", line, "--yes", env=env)
    assert done.returncode == 0, done.stderr
    assert ANSWER in done.stdout
    assert "get_weather" in done.stderr


@pytest.mark.usefixtures("settings")
def test_a_server_of_the_user_needs_his_agreement_and_no_yes_replaces_it(alone: Run, env: dict[str, str]) -> None:
    ask = ("chat", "lmbridge-tiny", "-t", "0", "-p", QUESTION, "--mcp", "weather")
    refused = alone(*ask, "--yes", env=env)
    assert (refused.returncode, "lmbridge mcp servers allow weather" in refused.stderr) == (7, True)
    alone("mcp", "servers", "allow", "weather", "--yes", env=env)
    assert ANSWER in alone(*ask, "--yes", env=env).stdout
    assert alone("chat", "-p", QUESTION, "--mcp", "wether", env=env).returncode == 3
    # Without --yes somebody has to be there who can be asked about the calls.
    nobody = alone(*ask, env=env)
    assert (nobody.returncode, nobody.stdout) == (2, "")
    assert "Nobody can be asked here about calls of get_weather of weather" in nobody.stderr
    assert "--yes allows all" in nobody.stderr


@pytest.mark.usefixtures("settings")
def test_in_a_pipe_what_is_always_allowed_is_called_and_what_is_to_be_asked_about_is_not_offered(
    alone: Run, home: Path, env: dict[str, str]
) -> None:
    alone("mcp", "servers", "allow", "weather", "get_weather", "--yes", env=env)
    ask = ("chat", "lmbridge-tiny", "-t", "0", "-p", QUESTION, "--mcp", "weather", "--no-gateway")
    done = alone(*ask, env=env)
    assert (done.returncode, ANSWER in done.stdout) == (0, True)
    assert '→ get_weather(city="Paris")' in done.stderr
    assert "Nobody can be asked" not in done.stderr
    # A server that was typed has no answers of the user: its tools are to be asked about.
    typed = alone(*ask, "--mcp-command", f"{sys.executable} {SERVER}", env=env)
    assert (typed.returncode, ANSWER in typed.stdout) == (0, True)
    assert "Nobody can be asked here about calls of get_weather of " in typed.stderr
    # Other tools have no rules of their own: nobody would ever allow them.
    (home / "notes").mkdir()
    files = alone(*ask, "--files", str(home / "notes"), env=env)
    assert (files.returncode, "--yes allows them all" in files.stderr) == (2, True)


@pytest.mark.usefixtures("settings")
def test_on_a_terminal_the_server_is_asked_about_once_and_a_call_each_time(
    home: Path, env: dict[str, str]
) -> None:
    arguments = ("chat", "lmbridge-tiny", "-t", "0", "-p", QUESTION, "--mcp", "weather", "--no-gateway")
    with Terminal(home, *arguments, **env) as terminal:
        terminal.wait_for("now and in future? [y/N]:")
        terminal.enter("y")
        terminal.wait_for("The model wants to call get_weather of weather")
        terminal.wait_for("Call it?")
        terminal.enter("y")
        terminal.wait_for(ANSWER)
        assert terminal.wait_for_end() == 0


@pytest.mark.usefixtures("settings")
def test_a_tool_that_is_always_allowed_is_not_asked_about_and_a_forbidden_one_not_offered(
    alone: Run, home: Path, env: dict[str, str]
) -> None:
    alone("mcp", "servers", "allow", "weather", "get_weather", "--yes", env=env)
    arguments = ("chat", "lmbridge-tiny", "-t", "0", "-p", QUESTION, "--mcp", "weather", "--no-gateway")
    with Terminal(home, *arguments, **env) as terminal:
        terminal.wait_for(ANSWER)
        assert terminal.wait_for_end() == 0
        assert "Call it?" not in terminal.text
    alone("mcp", "servers", "forbid", "weather", "get_weather", env=env)
    done = alone(*arguments, "--yes", env=env)
    assert "get_weather" not in done.stderr


def test_an_address_at_which_nobody_is_is_an_error(alone: Run, env: dict[str, str]) -> None:
    done = alone("chat", "-p", "x", "--mcp-url", "http://127.0.0.1:9/mcp", "--yes", env=env)
    assert done.returncode == 4
    wrong = alone("chat", "-p", "x", "--mcp-url", "nothing", "--yes", env=env)
    assert (wrong.returncode, "must begin with http" in wrong.stderr) == (4, True)
