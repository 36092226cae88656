"""Variables in a block of a profile."""

import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmbridge.machine.programs.block import BEGIN, END, Dialect, drop, line, put, put_raw, raw, values
from lmbridge.machine.programs.change import Setting, changed, taken_back
from lmbridge.machine.programs.values import Broken

DIALECTS: tuple[Dialect, ...] = ("sh", "fish", "powershell", "env")
ODD = 'it\'s a \\ "b" $HOME `x` Größe'


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_block_is_made_filled_emptied_and_gone(dialect: Dialect) -> None:
    text = "alias ll='ls -l'"
    once = put(text, ("A",), ODD, dialect)
    assert once == f"{text}\n{BEGIN}\n{line(dialect, 'A', ODD)}\n{END}\n"
    twice = put(once, ("B",), "2", dialect)
    assert values(twice, dialect) == {"A": ODD, "B": "2"}
    assert values(put(twice, ("A",), "3", dialect), dialect) == {"A": "3", "B": "2"}
    assert drop(drop(twice, ("B",), dialect), ("A",), dialect) == f"{text}\n"
    assert drop(text, ("A",), dialect) == text
    assert drop(once, ("B",), dialect) == once


def test_lines_of_a_person_outside_of_the_block_are_left_alone() -> None:
    text = put("export A=1\n", ("A",), "2", "sh") + "export A=3\n"
    assert values(text, "sh") == {"A": "2"}
    assert drop(text, ("A",), "sh") == "export A=1\nexport A=3\n"


def test_a_line_can_be_had_and_put_back() -> None:
    text = put("", ("A",), "1", "sh")
    assert raw(text, ("A",), "sh") == "export A=1"
    assert raw("", ("A",), "sh") is None
    assert put_raw(text, ("A",), "export A=2", "sh") == put("", ("A",), "2", "sh")
    assert put_raw("", ("A",), "export A=2", "sh") == ""


@pytest.mark.parametrize("text", [f"a\n{BEGIN}\n", f"a\n{END}\n", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{END}\n" * 2])
def test_a_block_that_is_not_whole_is_broken(text: str) -> None:
    with pytest.raises(Broken) as caught:
        put(text, ("A",), "1", "sh")
    assert caught.value.line > 0


@pytest.mark.skipif(os.name != "posix", reason="a POSIX shell")
def test_a_shell_reads_the_very_value() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f'{line("sh", "A", ODD)}; printf %s "$A"'], capture_output=True, text=True, check=True
    )
    assert done.stdout == ODD


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\r")), st.sampled_from(DIALECTS))
def test_whatever_is_in_a_profile_stays_and_comes_back(text: str, dialect: Dialect) -> None:
    after, change = changed(text, dialect, (Setting(("A",), "1"), Setting(("B",), ODD)))
    assert after.startswith(text)
    assert taken_back(after, dialect, change) == (text, [])
    assert taken_back(f"# mine\n{after}", dialect, change)[0].rstrip("\n") == f"# mine\n{text}".rstrip("\n")


def test_a_profile_with_windows_line_ends_keeps_them() -> None:
    assert put("a\r\n", ("A",), "1", "powershell") == f"a\r\n{BEGIN}\r\n$env:A = '1'\r\n{END}\r\n"
    assert values(put("a\r\n", ("A",), "1", "powershell"), "powershell") == {"A": "1"}
