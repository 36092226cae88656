import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from tests.cli.conftest import Run, Terminal
from tests.fakes.openai_server import FakeOpenAI

PROMPT = "> "
CTRL_C, CTRL_D, ALT_ENTER, TAB = "\x03", "\x04", "\x1b\r", "\t"


@pytest.fixture
def terminal(run: Run, home: Path) -> Iterator[Terminal]:
    with Terminal(home, "chat") as open_terminal:
        open_terminal.wait_for("/help for commands")
        open_terminal.wait_for(PROMPT)
        yield open_terminal


def asked(server: FakeOpenAI) -> list[list[dict[str, object]]]:
    return [
        cast("list[dict[str, object]]", body["messages"]) for route, body in server.requests if "chat" in route
    ]


def test_what_is_typed_is_answered_and_the_conversation_goes_on(terminal: Terminal, server: FakeOpenAI) -> None:
    terminal.enter("hello")
    terminal.wait_for("You said: hello")
    terminal.wait_for("fake · fake-chat · 124 tokens/s")
    terminal.enter("again")
    terminal.wait_for("You said: again")
    terminal.enter("/quit")
    assert terminal.wait_for_end() == 0
    assert [message["role"] for message in asked(server)[-1]] == ["user", "assistant", "user"]


def test_ctrl_d_leaves(terminal: Terminal) -> None:
    terminal.type(CTRL_D)
    assert terminal.wait_for_end() == 0


def test_a_conversation_that_has_become_too_long_is_told_with_what_to_do(
    run: Run, server: FakeOpenAI, home: Path
) -> None:
    server.models = [{"id": "fault:context"}]
    with Terminal(home, "chat", "fault:context") as terminal:
        terminal.wait_for(PROMPT)
        terminal.enter("hello")
        terminal.wait_for("the loaded context has room for")
        terminal.wait_for("/clear begins a new conversation")
        terminal.wait_for(PROMPT)


def test_ctrl_c_stops_the_answer_and_not_the_program(terminal: Terminal, server: FakeOpenAI) -> None:
    server.pace = 0.05
    terminal.enter("word " * 500)
    terminal.wait_for("You said: word word")
    terminal.type(CTRL_C)
    terminal.wait_for("stopped")
    terminal.wait_for(PROMPT)
    server.pace = 0.0
    terminal.enter("still there?")
    terminal.wait_for("You said: still there?")
    # What had come of the stopped answer is part of the conversation.
    partial = str(asked(server)[-1][1]["content"])
    assert partial.startswith("You said: word")
    assert len(partial) < 1000


def test_ctrl_c_twice_at_the_prompt_leaves_and_once_only_drops_the_line(
    terminal: Terminal, server: FakeOpenAI
) -> None:
    terminal.type("never mind" + CTRL_C)
    terminal.wait_for(PROMPT)
    terminal.enter("hello")
    terminal.wait_for("You said: hello")
    assert "again" not in terminal.text
    terminal.wait_for(PROMPT)
    terminal.type(CTRL_C)
    terminal.wait_for("Ctrl-C again")
    terminal.wait_for(PROMPT)
    terminal.type(CTRL_C)
    assert terminal.wait_for_end() == 0
    assert "Traceback" not in terminal.text


def test_alt_enter_makes_a_new_line_and_a_block_in_quotes_is_one_message(
    terminal: Terminal, server: FakeOpenAI
) -> None:
    terminal.enter(f"one{ALT_ENTER}two")
    terminal.wait_for("You said: one two")
    terminal.wait_for(PROMPT)
    terminal.enter('"""')
    terminal.enter("three")
    terminal.enter('four"""')
    terminal.wait_for("You said: three four")
    assert [turns[-1]["content"] for turns in asked(server)] == ["one\ntwo", "three\nfour"]


def test_a_paste_of_several_lines_stays_one_message(terminal: Terminal, server: FakeOpenAI) -> None:
    terminal.type("\x1b[200~first\nsecond\nthird\x1b[201~")
    terminal.enter("")
    terminal.wait_for("You said: first second third")
    assert asked(server)[-1][-1]["content"] == "first\nsecond\nthird"


def test_keys_typed_during_an_answer_wait_for_the_next_line(terminal: Terminal, server: FakeOpenAI) -> None:
    server.pace = 0.02
    terminal.enter("word " * 20)
    terminal.wait_for("You said:")
    terminal.enter("next one")
    terminal.wait_for("You said: next one")


def test_help_lists_every_command(terminal: Terminal) -> None:
    terminal.enter("/help")
    shown = terminal.wait_for("Ctrl-R")
    for command in ("/help", "/model [NAME]", "/system [TEXT]", "/clear", "/save [FILE]", "/load FILE", "/stats"):
        assert command in shown
    assert "/quit" in shown


def test_an_unknown_command_is_not_sent_to_the_model(terminal: Terminal, server: FakeOpenAI) -> None:
    terminal.enter("/sistem x")
    terminal.wait_for("Did you mean /system?")
    terminal.enter("/")
    terminal.wait_for("/help lists the commands.")
    assert not asked(server)


def test_a_path_is_no_command(terminal: Terminal) -> None:
    terminal.enter("/usr/bin/env does what?")
    terminal.wait_for("You said: /usr/bin/env does what?")


def test_the_model_can_be_changed(terminal: Terminal, server: FakeOpenAI, home: Path) -> None:
    server.models = [{"id": "fake-chat"}, {"id": "other-chat"}]
    terminal.enter("/model other-chat")
    terminal.wait_for("No model named")  # the list is some seconds old
    terminal.enter("/model fake:fake-chat")
    terminal.wait_for("fake-chat (fake) answers from now on.")
    terminal.enter("/model")
    terminal.wait_for("> fake-chat  (fake)")


def test_instructions_are_set_shown_and_dropped(terminal: Terminal, server: FakeOpenAI) -> None:
    terminal.enter("/system Be brief")
    terminal.wait_for("System: Be brief")
    terminal.enter("hello")
    terminal.wait_for("You said: hello")
    assert asked(server)[-1][0] == {"role": "system", "content": "Be brief"}
    terminal.enter("/system none")
    terminal.wait_for("There are no instructions.")
    terminal.enter("bye")
    terminal.wait_for("You said: bye")
    assert asked(server)[-1][0]["role"] == "user"


def test_clear_begins_a_new_conversation(terminal: Terminal, server: FakeOpenAI) -> None:
    terminal.enter("hello")
    terminal.wait_for("You said: hello")
    terminal.enter("/clear")
    terminal.wait_for("A new conversation.")
    terminal.enter("bye")
    terminal.wait_for("You said: bye")
    assert asked(server)[-1] == [{"role": "user", "content": "bye"}]


def test_a_conversation_is_saved_and_loaded_and_never_replaced_unasked(
    terminal: Terminal, server: FakeOpenAI, tmp_path: Path
) -> None:
    file = tmp_path / "talk.json"
    terminal.enter(f"/save {file}")
    terminal.wait_for("nothing to save yet")
    terminal.enter("hello")
    terminal.wait_for("You said: hello")
    terminal.enter(f"/save {file}")
    terminal.wait_for("Saved to")
    before = file.read_text()
    assert [message["content"] for message in json.loads(before)["messages"]] == ["hello", "You said: hello "]
    terminal.enter("more")
    terminal.wait_for("You said: more")
    terminal.enter(f"/save {file}")
    terminal.wait_for("[y/N]")
    terminal.enter("n")
    terminal.wait_for("Not saved.")
    assert file.read_text() == before
    terminal.enter("/clear")
    terminal.wait_for("A new conversation.")
    terminal.enter(f"/load {file}")
    terminal.wait_for("2 messages loaded")
    terminal.enter("and on")
    terminal.wait_for("You said: and on")
    assert [turn["content"] for turn in asked(server)[-1]] == ["hello", "You said: hello ", "and on"]
    terminal.enter(f"/save {file}")
    terminal.wait_for("[y/N]")
    terminal.enter("y")
    terminal.wait_for("Saved to")
    assert len(json.loads(file.read_text())["messages"]) == 4


def test_a_file_that_cannot_be_loaded_is_told_and_the_talk_goes_on(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    terminal.enter(f"/load {tmp_path}/x.json")
    terminal.wait_for("is not a saved conversation")
    terminal.enter("hello")
    terminal.wait_for("You said: hello")


def test_stats_tell_tokens_and_times(terminal: Terminal) -> None:
    terminal.enter("/stats")
    terminal.wait_for("No answer yet.")
    terminal.enter("hello")
    terminal.wait_for("You said: hello")
    terminal.enter("/stats")
    terminal.wait_for("124 tokens/s")
    terminal.wait_for("All answers: 1, 3 tokens written")


def test_an_answer_that_fails_leaves_the_conversation_as_it_was(
    terminal: Terminal, server: FakeOpenAI, home: Path
) -> None:
    terminal.enter("hello")
    terminal.wait_for("You said: hello")
    server.key = "from now on"
    terminal.enter("lost")
    terminal.wait_for("lmbridge:")
    server.key = ""
    terminal.enter("found")
    terminal.wait_for("You said: found")
    assert [turn["content"] for turn in asked(server)[-1]] == ["hello", "You said: hello ", "found"]


def test_earlier_lines_come_back_in_the_next_talk_and_are_the_users_alone(
    terminal: Terminal, run: Run, home: Path
) -> None:
    terminal.enter("hello")
    terminal.wait_for("You said: hello")
    terminal.enter("/quit")
    assert terminal.wait_for_end() == 0
    assert stat.S_IMODE((home / "history").stat().st_mode) == 0o600
    with Terminal(home, "chat") as later:
        later.wait_for(PROMPT)
        later.type("\x1b[A\x1b[A\r")
        later.wait_for("You said: hello")


def test_a_command_is_completed_with_the_tab_key(terminal: Terminal) -> None:
    terminal.type("/sta")
    terminal.wait_for("tokens and times")
    terminal.enter(TAB)
    terminal.wait_for("No answer yet.")


def test_nobody_to_talk_with_is_an_error_at_the_start(run: Run, home: Path) -> None:
    with Terminal(home, "chat", "no-such-model") as terminal:
        assert terminal.wait_for_end() == 3
        assert "No model named 'no-such-model'" in terminal.text
