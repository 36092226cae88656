"""YAML, changed in place."""

import subprocess
import sys

import pytest
import yaml as reader
from hypothesis import given, settings
from hypothesis import strategies as st

from lmbridge.machine.programs.change import Setting, changed, taken_back
from lmbridge.machine.programs.values import Broken
from lmbridge.machine.programs.yaml import drop, put, put_raw, raw, values

PATH = ("models", "lmbridge")
MODEL = {"model": "qwen3-8b", "apiBase": "http://127.0.0.1:1235/v1", "apiKey": "y", "roles": ["chat", "edit"]}

WRITTEN = """\
# mine
name: Mine   # the name
models:
    - name: big
      model: gpt
      systemMessage: |
        Two
        lines

    # a thought
    - model: small
      name: "little"   # last

rules: [a, b] # rules
"""


def test_an_item_is_added_below_the_last_and_everything_else_stays() -> None:
    after = put(WRITTEN, PATH, MODEL)
    added = """\
    - name: lmbridge
      model: qwen3-8b
      apiBase: http://127.0.0.1:1235/v1
      apiKey: "y"
      roles: ["chat", "edit"]
"""
    assert after == WRITTEN.replace("# last\n", f"# last\n{added}")
    assert drop(after, PATH) == WRITTEN
    assert reader.safe_load(after)["models"][-1] == {"name": "lmbridge", **MODEL}


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("", "models:\n  - name: lmbridge\n    a: b\n"),
        ("# none\n", "# none\nmodels:\n  - name: lmbridge\n    a: b\n"),
        ("x: 1", "x: 1\nmodels:\n  - name: lmbridge\n    a: b\n"),
        ("models: []\nx: 1\n", "models:\n  - name: lmbridge\n    a: b\nx: 1\n"),
        ("models: # none\nx: 1\n", "models: # none\n  - name: lmbridge\n    a: b\nx: 1\n"),
        ("models:", "models:\n  - name: lmbridge\n    a: b\n"),
        ("models:\n- name: x", "models:\n- name: x\n- name: lmbridge\n  a: b\n"),
        ("models:\r\n- name: x\r\n", "models:\r\n- name: x\r\n- name: lmbridge\r\n  a: b\r\n"),
        (
            "models:\n- name: x\n  t: |\n    a\n\n\ny: 1\n",
            "models:\n- name: x\n  t: |\n    a\n\n\n- name: lmbridge\n  a: b\ny: 1\n",
        ),
        ("models:\n- name: lmbridge\n  c: d\n- name: x\n", "models:\n- name: lmbridge\n  a: b\n- name: x\n"),
        (
            "models:\n  - name: lmbridge\n    c: d\n\n  # of x\n  - name: x\n",
            "models:\n  - name: lmbridge\n    a: b\n\n  # of x\n  - name: x\n",
        ),
    ],
)
def test_the_first_item_finds_its_place(text: str, after: str) -> None:
    assert put(text, PATH, {"a": "b"}) == after


def test_a_table_in_an_item_is_written_over_lines() -> None:
    after = put("", ("mcpServers", "lmbridge"), {"command": "/a b", "env": {"HOME": "/x"}})
    assert reader.safe_load(after) == {
        "mcpServers": [{"name": "lmbridge", "command": "/a b", "env": {"HOME": "/x"}}]
    }


def test_a_line_at_the_top_is_added_replaced_and_dropped() -> None:
    assert put("a: 1\n", ("version",), "1.0.0") == 'a: 1\nversion: "1.0.0"\n'
    assert put(WRITTEN, ("name",), "Other") == WRITTEN.replace("Mine   #", "Other   #")
    assert drop("a: 1\nversion: 2 # two\nb: 3\n", ("version",)) == "a: 1\nb: 3\n"
    assert drop("a: 1\n", ("version",)) == "a: 1\n"
    assert drop("models: [{name: lmbridge}]\n", PATH) == "models: [{name: lmbridge}]\n"


def test_what_is_written_can_be_had_and_put_back() -> None:
    assert raw(WRITTEN, ("name",)) == "Mine"
    assert raw(WRITTEN, ("version",)) is None
    assert put_raw(WRITTEN, ("name",), "Yours") == WRITTEN.replace("Mine ", "Yours ")
    assert put_raw(WRITTEN, ("version",), "1") == WRITTEN
    item = raw(WRITTEN, ("models", "little"))
    assert item == 'model: small\n      name: "little"'
    after = put_raw(put(WRITTEN, ("models", "little"), {"a": "b"}), ("models", "little"), item)
    assert reader.safe_load(after) == reader.safe_load(WRITTEN)


def test_an_item_is_put_back_with_the_indent_of_its_new_place() -> None:
    item = "name: lmbridge\n  env:\n    A: b # c\n\n  x: y"
    for indent in ("", "      "):
        text = f"models:\n{indent}- name: lmbridge\n{indent}  a: b\n"
        after = put_raw(text, PATH, item)
        assert reader.safe_load(after) == {"models": [{"name": "lmbridge", "env": {"A": "b"}, "x": "y"}]}
        assert f"\n{indent}  env:\n{indent}    A: b # c\n\n" in after


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: [1\n", 3),
        ("a: 1\n  b: 2\n", 2),
        ("- a\n", 1),
        ("a: !strange 1\n", 1),
        ("a: 2024-99-99\n", 0),
        ("models: [{name: x}]\n", 1),
        ("models: text\n", 1),
        ("{models: []}\n", 1),
        ("models: []\nmodels: []\n", 2),
        ("a: 1\n---\nb: 2\n", 2),
    ],
)
def test_what_is_broken_or_cannot_be_added_to_is_told_with_its_line(text: str, line: int) -> None:
    with pytest.raises(Broken) as caught:
        changed(text, "yaml", (Setting(PATH, MODEL),))
    assert caught.value.line == line


def test_a_text_that_says_nothing_means_nothing() -> None:
    for text in ("", "\n# no\n", "---\n", "null\n"):
        assert values(text) == {}


def test_without_the_package_the_error_says_what_installs_it() -> None:
    code = (
        "import sys; sys.modules['yaml'] = None\n"
        "from lmbridge.core.errors import MissingExtra\n"
        "from lmbridge.machine.programs.yaml import put, values\n"
        "assert put('', ('a',), 'b') == 'a: b\\n'\n"
        "try:\n    values('a: b')\nexcept MissingExtra as error:\n    print(error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "pip install 'lmbridge[yaml]'" in done.stdout


PLAIN = st.sampled_from(
    ["a", "b1", "x y", "'q'", '"z" # c', "1.5", "[1, 2]", "{a: b}", "null", "~", ">-\n      folded\n"]
)
PAIR = st.builds("{}: {}\n".format, st.sampled_from(["k", "l", "models2"]), PLAIN)
ITEM = st.builds(
    "  - name: {}\n    url: {}\n{}".format,
    st.sampled_from(["p", "q"]),
    PLAIN,
    st.sampled_from(["", "\n", "    # c\n"]),
)
TEXTS = st.builds(
    lambda before, items, after: (
        "".join(before) + (f"models:\n{''.join(items)}" if items else "") + "".join(after)
    ),
    st.lists(PAIR, max_size=2, unique_by=lambda text: text[:2]),
    st.lists(ITEM, max_size=3),
    st.lists(st.sampled_from(["# c\n", "\n", "z: |\n  text\n"]), max_size=3, unique=True),
)
OURS = (
    Setting(("schema",), "v1", only_if_missing=True),
    Setting(PATH, MODEL),
    Setting(("mcpServers", "lmbridge"), {"command": "x"}),
)


@settings(deadline=None, max_examples=60)
@given(TEXTS)
def test_whatever_is_written_stays_and_what_is_put_in_goes_again(text: str) -> None:
    try:
        before = values(text)
    except Broken:
        return
    after, change = changed(text, "yaml", OURS)
    assert [line for line in text.splitlines() if line not in after] == []
    assert changed(after, "yaml", OURS)[0] == after
    assert taken_back(after, "yaml", change) == (text, [])
    once_more, differ = taken_back(f"{after}# a line of somebody's\n", "yaml", change)
    assert not differ
    assert isinstance(before, dict)
    assert values(once_more) == {**before, "schema": "v1"}
