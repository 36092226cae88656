"""The command with tools, as a process and in a terminal, with the built-in model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Run, Terminal

from lmbridge.cli.exits import BAD_ANSWER

PROMPT = "> "
CTRL_C = "\x03"
TOOLS = '''
import time

def get_weather(city: str) -> str:
    """Weather in a city."""
    return f"18 degrees in {city}"
'''
TELLS = '''
from lmbridge import ToolProgress

def get_weather(city: str, progress: ToolProgress) -> str:
    """Weather in a city."""
    progress(0.5, f"half of {city}\\x1b[31m")
    return f"18 degrees in {city}"
'''
SLOW = '''
import time

def get_weather(city: str) -> str:
    """Weather in a city."""
    time.sleep(30)
    return "late"
'''
ASKED = "What is the weather in Paris?"


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    path = tmp_path / "tools.py"
    path.write_text(TOOLS)
    return path


@pytest.fixture
def terminal(home: Path, tools: Path) -> Iterator[Terminal]:
    with Terminal(home, "chat", "lmbridge-tiny", "-t", "0", "--tool", str(tools)) as open_terminal:
        open_terminal.wait_for("tools.py: get_weather")
        open_terminal.wait_for(PROMPT)
        yield open_terminal


def test_in_a_pipe_calls_are_carried_out_where_that_was_said(alone: Run, tools: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    done = alone(
        "chat",
        "lmbridge-tiny",
        "-t",
        "0",
        "-p",
        ASKED,
        "--tool",
        str(tools),
        "--files",
        str(tmp_path / "notes"),
        "--yes",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Here is the result: 18 degrees in Paris.\n"
    assert "tools.py: get_weather" in done.stderr
    assert f"{tmp_path / 'notes'}: read_file, list_directory, create_file, edit_file" in done.stderr
    assert '→ get_weather(city="Paris")' in done.stderr
    assert "✓ get_weather: 18 degrees in Paris" in done.stderr


def test_in_a_pipe_nobody_can_be_asked_and_that_is_said_at_once(alone: Run, tools: Path) -> None:
    done = alone("chat", "lmbridge-tiny", "-t", "0", "-p", ASKED, "--tool", str(tools))
    assert done.returncode == 2
    assert "--yes allows them all" in done.stderr
    assert done.stdout == ""


def test_as_json_the_answer_holds_the_tokens_of_all_rounds(alone: Run, tools: Path) -> None:
    done = alone("chat", "lmbridge-tiny", "-t", "0", "-p", ASKED, "--tool", str(tools), "--yes", "--json")
    told = json.loads(done.stdout)
    assert told["answer"] == "Here is the result: 18 degrees in Paris."
    assert (told["finish_reason"], told["provider"]) == ("stop", "embedded")
    assert told["usage"]["completion_tokens"] > 20


def test_what_tools_print_is_no_part_of_an_answer_that_programs_read(alone: Run, tools: Path) -> None:
    tools.write_text(TOOLS.replace("    return", "    print('a word')\n    return") + "print('loaded')\n")
    done = alone("chat", "lmbridge-tiny", "-t", "0", "-p", ASKED, "--tool", str(tools), "--yes", "--json")
    assert json.loads(done.stdout)["answer"] == "Here is the result: 18 degrees in Paris."
    assert "a word" in done.stderr
    assert "loaded" in done.stderr


def test_a_run_that_is_asked_to_be_short_says_so(alone: Run, tools: Path) -> None:
    done = alone(
        "chat", "lmbridge-tiny", "-t", "0", "-p", ASKED, "--tool", str(tools), "--yes", "--max-rounds", "1"
    )
    assert done.returncode == BAD_ANSWER
    assert "--max-rounds allows more" in done.stderr


def test_as_json_a_run_without_an_answer_tells_why_it_ended(alone: Run, tools: Path) -> None:
    asked = ("chat", "lmbridge-tiny", "-t", "0", "-p", ASKED, "--tool", str(tools), "--yes")
    done = alone(*asked, "--max-rounds", "1", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["answer"], told["finish_reason"]) == (BAD_ANSWER, "", "rounds")


@pytest.mark.parametrize(
    "options", [("--yes",), ("--max-rounds", "3"), ("--files", ".", "--files", "..", "--yes")]
)
def test_options_of_tools_that_have_no_use_are_refused_by_name(alone: Run, options: tuple[str, ...]) -> None:
    done = alone("chat", "-p", "hi", *options)
    assert done.returncode == 2
    assert options[0] in done.stderr


def test_a_file_that_cannot_be_used_is_told(alone: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("def f(a):\n    'Doc.'")
    done = alone("chat", "-p", "hi", "--tool", str(tmp_path / "bad.py"), "--yes")
    assert done.returncode != 0
    assert "has no annotation" in done.stderr


def test_each_call_is_asked_about(terminal: Terminal) -> None:
    terminal.enter(ASKED)
    shown = terminal.wait_for("Call it?")
    assert "The model wants to call get_weather of tools:" in shown
    assert "city: Paris" in shown
    terminal.enter("y")
    terminal.wait_for("✓ get_weather: 18 degrees in Paris")
    terminal.wait_for("Here is the result: 18 degrees in Paris.")
    terminal.wait_for(PROMPT)
    terminal.enter(ASKED)
    terminal.wait_for("Call it?")
    terminal.enter("n because it rains")
    terminal.wait_for("✗ get_weather: The user does not allow this call. because it rains")
    terminal.wait_for(PROMPT)
    terminal.enter("/quit")
    assert terminal.wait_for_end() == 0


def test_what_is_always_allowed_is_not_asked_about_again(terminal: Terminal) -> None:
    terminal.enter(ASKED)
    terminal.wait_for("Call it?")
    terminal.enter("always")
    terminal.wait_for("✓ get_weather")
    terminal.wait_for(PROMPT)
    terminal.enter("What is the weather in Rome?")
    assert "Call it?" not in terminal.wait_for("✓ get_weather")


def test_arguments_can_be_changed_and_what_is_no_json_is_asked_for_again(terminal: Terminal) -> None:
    terminal.enter(ASKED)
    terminal.wait_for("Call it?")
    terminal.enter("e")
    terminal.wait_for("Arguments:")
    terminal.enter("!")
    terminal.wait_for("That is not JSON")
    terminal.wait_for("Call it?")
    terminal.enter("e")
    terminal.wait_for("Arguments:")
    terminal.enter('\x15{"town": 1}')  # Ctrl-U: in the place of what stands there
    terminal.wait_for("It cannot be called so")
    terminal.wait_for("Call it?")
    terminal.enter("e")
    terminal.wait_for("Arguments:")
    terminal.enter("")
    terminal.wait_for("✓ get_weather: 18 degrees in Paris")


def test_ctrl_c_at_the_question_stops_the_run_and_the_conversation_goes_on(
    terminal: Terminal, tmp_path: Path
) -> None:
    terminal.enter(ASKED)
    terminal.wait_for("Call it?")
    terminal.type(CTRL_C)
    terminal.wait_for("stopped")
    terminal.wait_for(PROMPT)
    terminal.enter("/save x.json")
    terminal.wait_for("There is nothing to save yet")
    terminal.wait_for(PROMPT)
    terminal.enter(ASKED)
    terminal.wait_for("Call it?")
    terminal.enter("y")
    terminal.wait_for("Here is the result")
    terminal.wait_for(PROMPT)
    terminal.enter(f"/save {tmp_path / 'talk.json'}")
    terminal.wait_for("Saved to")
    kept = json.loads((tmp_path / "talk.json").read_text())["messages"]
    assert [message["role"] for message in kept] == ["user", "assistant", "tool", "assistant"]


def test_ctrl_c_while_a_tool_works_stops_the_run(home: Path, tools: Path) -> None:
    tools.write_text(SLOW)
    with Terminal(home, "chat", "lmbridge-tiny", "-t", "0", "--tool", str(tools), "--yes") as terminal:
        terminal.wait_for(PROMPT)
        terminal.enter(ASKED)
        terminal.wait_for("→ get_weather")
        terminal.type(CTRL_C)
        terminal.wait_for("stopped")
        terminal.wait_for(PROMPT)
        terminal.enter("/quit")
        assert terminal.wait_for_end() == 0
    assert "Traceback" not in terminal.text


def test_how_far_a_tool_is_is_seen_on_a_terminal_and_not_in_a_pipe(alone: Run, home: Path, tools: Path) -> None:
    tools.write_text(TELLS)
    ask = ("chat", "lmbridge-tiny", "-t", "0", "-p", ASKED, "--tool", str(tools), "--yes")
    with Terminal(home, *ask) as terminal:
        terminal.wait_for("50% get_weather half of Paris\N{REPLACEMENT CHARACTER}[31m")
        terminal.wait_for("Here is the result: 18 degrees in Paris.")
        assert terminal.wait_for_end() == 0
    done = alone(*ask, "--json")
    assert json.loads(done.stdout)["answer"] == "Here is the result: 18 degrees in Paris."
    assert "half of" not in done.stderr
