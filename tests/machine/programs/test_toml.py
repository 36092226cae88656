"""TOML, changed in place."""

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmbridge.machine.programs.change import Setting, changed, taken_back
from lmbridge.machine.programs.toml import drop, put, put_raw, raw, values
from lmbridge.machine.programs.values import Broken

WRITTEN = '''\
# mine
model = "gpt" # the best
notes = """
[not.a.table]
model = "no" """
list = [
  "a", # one
  "]",
]

[model_providers."a.b"]
name = 'x' # "

[[things]]
model = 1
[[things]]
model = 2
'''


def test_a_key_at_the_top_goes_after_the_last_one_there() -> None:
    after = put(WRITTEN, ("model_provider",), "lmbridge")
    assert after == WRITTEN.replace('"]",\n]\n', '"]",\n]\nmodel_provider = "lmbridge"\n')
    assert drop(after, ("model_provider",)) == WRITTEN


def test_a_value_is_replaced_and_its_comment_stays() -> None:
    after = put(WRITTEN, ("model",), "qwen")
    assert after == WRITTEN.replace('"gpt"', '"qwen"')
    assert raw(WRITTEN, ("model",)) == '"gpt"'
    assert put_raw(after, ("model",), '"gpt"') == WRITTEN


def test_a_table_is_made_at_the_end_and_filled() -> None:
    after = put(put(WRITTEN, ("mcp", "lm bridge", "args"), ["a", "b"]), ("mcp", "lm bridge", "env"), {"A": "1"})
    assert after == WRITTEN + '\n[mcp."lm bridge"]\nargs = ["a", "b"]\nenv = { A = "1" }\n'
    assert drop(after, ("mcp", "lm bridge")) == WRITTEN
    for path in (("mcp", "lm bridge", "env"), ("mcp", "lm bridge", "args")):
        after = drop(after, path)
    assert after == WRITTEN + '\n[mcp."lm bridge"]\n'
    assert drop(after, ("mcp", "lm bridge")) == WRITTEN


def test_a_table_goes_with_all_that_is_below_it() -> None:
    below = "[mcp.lm]\na = 1\n\n[mcp.lm.tools.x]\nb = 1 # c\n\n[[mcp.lm.d]]\ne = 1\n"
    assert drop(f"{WRITTEN}\n{below}[z]\n", ("mcp", "lm")) == f"{WRITTEN}[z]\n"


def test_a_table_that_is_there_gets_another_line() -> None:
    after = put(WRITTEN, ("model_providers", "a.b", "url"), "x")
    assert after == WRITTEN.replace("name = 'x' # \"\n", 'name = \'x\' # "\nurl = "x"\n')


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("", 'a = "1"\n'),
        ("[t]\nb = 1\n", 'a = "1"\n\n[t]\nb = 1\n'),
        ("# only\n", 'a = "1"\n# only\n'),
        ("b = 1", 'b = 1\na = "1"\n'),
        ("b = 1\r\n", 'b = 1\r\na = "1"\r\n'),
        ("b = 1979-05-27 07:32:00 # then\n", 'b = 1979-05-27 07:32:00 # then\na = "1"\n'),
        ("a.b = 1\n", 'a.b = 1\na = "1"\n'),
    ],
)
def test_the_first_line_finds_its_place(text: str, after: str) -> None:
    assert put(text, ("a",), "1") == after


def test_texts_are_written_so_that_toml_reads_them() -> None:
    text = 'Größe 🙂 "\\\x7f\n'
    assert tomllib.loads(put("", ("a",), text)) == {"a": text}


@pytest.mark.parametrize(
    ("text", "line"), [("a = 1\nb = \n", 2), ("a = 1\na = 2\n", 2), ("[a\n", 1), ('a = "\n', 1)]
)
def test_what_is_broken_is_told_with_its_line(text: str, line: int) -> None:
    with pytest.raises(Broken) as caught:
        values(text)
    assert caught.value.line == line


def test_what_is_nested_without_end_is_broken() -> None:
    with pytest.raises(Broken):
        values("a = " + "[" * 100_000)


def test_nothing_is_dropped_or_replaced_where_nothing_is() -> None:
    assert drop(WRITTEN, ("other",)) == WRITTEN
    assert drop(WRITTEN, ("model_providers", "a")) == WRITTEN
    assert put_raw(WRITTEN, ("other",), "1") == WRITTEN
    assert raw(WRITTEN, ("model_providers", "a.b")) is None


BARE = st.text("abcz_-09", min_size=1, max_size=4)
SCALAR = st.sampled_from(
    ["1", "'x # y'", '"""\n[a]\n"""', "'''\nb = 1'''", "[1, [2, '[']]", "{ x = 1 }", "1.5", "nan", "true", '"\\""']
)
LINE = st.builds(
    "{}{} ={}{} {}\n".format,
    st.sampled_from(["", " "]),
    BARE,
    st.sampled_from(["", " "]),
    SCALAR,
    st.sampled_from(["", "# c"]),
)
HEADER = st.builds(
    "[{}]{}\n".format, st.lists(BARE, min_size=1, max_size=2).map(".".join), st.sampled_from(["", " # h"])
)
TEXTS = st.lists(LINE | HEADER | st.just("\n") | st.just("# comment\n"), max_size=8).map("".join)
OURS = (
    Setting(("model",), "qwen"),
    Setting(("model_providers", "lmbridge", "base_url"), "http://x/v1"),
    Setting(("model_providers", "lmbridge", "wire_api"), "responses"),
    Setting(("mcp_servers", "lmbridge", "args"), ["mcp"]),
)


@settings(deadline=None, max_examples=60)
@given(TEXTS, st.booleans())
def test_whatever_is_written_stays_and_what_is_put_in_goes_again(text: str, windows: bool) -> None:
    try:
        before = values(text)
    except Broken:
        return
    text = text.replace("\n", "\r\n") if windows else text
    after, change = changed(text, "toml", OURS)
    assert isinstance(before, dict)
    assert [line for line in text.splitlines() if line not in after] == []
    assert changed(after, "toml", OURS)[0] == after
    assert taken_back(after, "toml", change) == (text, [])
    once_more, differ = taken_back(f"{after}# a line of somebody's\n", "toml", change)
    assert not differ
    assert repr(values(once_more)) == repr(values(text))
