import io
import json
import sys
import traceback

import click
import pytest

from lmbridge.cli import render
from lmbridge.core.errors import BridgeError, ContextExceeded, ModelNotFound


def test_what_could_steer_a_terminal_is_replaced() -> None:
    nasty = "a\x1b[2Jb\x07c\x9b31md\u202ee\r"
    assert not render.CONTROL.search(render.printable(nasty))
    assert render.printable("tab\tand\nline, ünï 漢字 👍\r\n") == "tab\tand\nline, ünï 漢字 👍\n"


def test_a_pipe_gets_no_colours_and_a_terminal_none_that_it_did_not_want(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    screen: object = Terminal()
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert render.paint("x", "bold") == "x"
    assert render.paint("x", "bold", stream=screen) == "\x1b[1mx\x1b[0m"  # type: ignore[arg-type]
    monkeypatch.setenv("NO_COLOR", "1")
    assert render.paint("x", "bold", stream=screen) == "x"  # type: ignore[arg-type]


def test_a_sentence_is_broken_between_words_where_a_terminal_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def shown(text: str, hang: int = 0, room: str = "20") -> list[str]:
        monkeypatch.setenv("COLUMNS", room)
        screen = Terminal()
        monkeypatch.setattr(sys, "stdout", screen)
        render.sentence(text, hang)
        return screen.getvalue().splitlines()

    assert shown("one two three four five six") == ["one two three four", "five six"]
    assert shown("  ✓ name   words of it that go on", 4) == ["  ✓ name   words of", "    it that go on"]
    assert shown("\x1b[2mone two three four\x1b[0m five", 2) == ["\x1b[2mone two three four\x1b[0m", "  five"]
    assert shown("see https://example.org/a/long/path now") == ["see https://example.org/a/long/path", "now"]
    assert shown("Run it with `lmbridge ls`. Now.") == ["Run it with", "`lmbridge ls`. Now."]
    assert shown("Run `one two three four five`, no?") == ["Run `one two three", "four five`, no?"]
    assert shown("one ` two three four five") == ["one ` two three four", "five"]
    assert shown("first line\nsecond line") == ["first line", "second line"]
    assert shown("one two three four five", 18)[1] == "      five"  # never only blanks


def test_a_sentence_in_a_pipe_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    render.sentence("word " * 100)
    assert capsys.readouterr().out.count("\n") == 1


def test_a_table_aligns_its_columns_and_leaves_empty_ones_out(capsys: pytest.CaptureFixture[str]) -> None:
    render.table(("NAME", "SIZE", "WHY"), [("short", "9", ""), ("much longer", "1000", "")], right=("SIZE",))
    assert capsys.readouterr().out == "NAME         SIZE\nshort           9\nmuch longer  1000\n"


def test_a_table_leaves_out_what_can_be_spared_before_it_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def shown(room: str) -> list[str]:
        monkeypatch.setenv("COLUMNS", room)
        screen = Terminal()
        monkeypatch.setattr(sys, "stdout", screen)
        render.table(("NAME", "QUANT", "CAN"), [("qwen", "Q4_K_M", "tools")], spare=("QUANT",))
        return click.unstyle(screen.getvalue()).splitlines()

    assert shown("19") == ["NAME  QUANT   CAN", "qwen  Q4_K_M  tools"]
    assert shown("18") == ["NAME  CAN", "qwen  tools"]
    assert shown("9") == ["NAME  CAN", "qwen  to…"]


def test_a_table_in_a_pipe_is_not_cut_off(capsys: pytest.CaptureFixture[str]) -> None:
    render.table(("A",), [("x" * 500,)])
    assert "x" * 500 in capsys.readouterr().out


def test_an_error_is_told_with_what_to_do_about_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert render.failure(ModelNotFound("qwen3-9b", ["qwen3-8b"]), as_json=False) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "lmbridge: No model named 'qwen3-9b' (1 known).\n  Did you mean 'qwen3-8b'?\n"


def test_with_json_an_error_is_an_object_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert render.failure(ContextExceeded(900, 512), as_json=True) == 10
    out, err = capsys.readouterr()
    assert err == ""
    error = json.loads(out)["error"]
    assert error["code"] == "context_length_exceeded"
    assert error["param"] == "messages"
    assert "900" in error["message"]


def test_an_error_in_a_group_of_one_is_told_as_itself(capsys: pytest.CaptureFixture[str]) -> None:
    group = BaseExceptionGroup("tasks", [BaseExceptionGroup("inner", [ModelNotFound("a", [])])])
    assert render.failure(group, as_json=False) == 3


def test_a_fault_of_ours_is_short_unless_debugging(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LMBRIDGE_DEBUG", raising=False)
    assert render.failure(KeyError("oops"), as_json=False) == 1
    err = capsys.readouterr().err
    assert "KeyError" in err
    assert "LMBRIDGE_DEBUG=1" in err
    assert "Traceback" not in err
    monkeypatch.setenv("LMBRIDGE_DEBUG", "1")
    try:
        raise KeyError("oops")
    except KeyError as error:
        render.failure(error, as_json=False)
        assert traceback.format_exc() in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_named_without_a_fuss(capsys: pytest.CaptureFixture[str]) -> None:
    assert render.failure(PermissionError(13, "Permission denied", "/x/y"), as_json=False) == 1
    assert capsys.readouterr().err == "lmbridge: /x/y: Permission denied.\n"


def test_an_error_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    render.failure(BridgeError("bad \x1b[2J name", hint="\x1b]0;title\x07"), as_json=False)
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, ""), (0, "0 B"), (999, "999 B"), (9_600_000, "9.6 MB"), (3_149_000_000, "3.1 GB"), (1500, "1.5 kB")],
)
def test_sizes_are_for_people(count: int | None, text: str) -> None:
    assert render.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0351, "35 ms"), (1.24, "1.2 s"), (240, "4 min"), (3600, "1 h"), (7500, "2 h 5 min")],
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert render.duration(seconds) == text
