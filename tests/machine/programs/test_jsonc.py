"""JSON with comments, changed in place."""

import json

import pytest

from lmbridge.machine.programs.jsonc import DEEPEST, drop, put, put_raw, raw, values
from lmbridge.machine.programs.values import Broken

PATH = ("servers", "lmbridge")
ENTRY = {"command": "/bin/lmbridge", "args": ["mcp"]}

COMMENTED = """\
// my settings
{
  "theme": "dark", // at night
  /* servers: */
  "servers": {
    "other": { "command": "x" }, // mine
    // "old": {}
  },
}
"""


def test_comments_and_the_form_of_everything_else_survive() -> None:
    after = put(COMMENTED, PATH, ENTRY, comments=True)
    lines = COMMENTED.splitlines()
    assert [line for line in after.splitlines() if line in lines] == lines
    assert '    "lmbridge": {\n      "command": "/bin/lmbridge",\n      "args": ["mcp"]\n    },\n' in after
    assert values(after, comments=True) == {
        "theme": "dark",
        "servers": {"other": {"command": "x"}, "lmbridge": ENTRY},
    }


def test_what_was_put_in_can_be_dropped_again() -> None:
    assert drop(put(COMMENTED, PATH, ENTRY, comments=True), PATH, comments=True) == COMMENTED


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("{}", '{\n  "a": 1\n}'),
        ("{ // none\n}", '{ // none\n  "a": 1\n}'),
        ('{"b": 2}', '{"b": 2, "a": 1}'),
        ('{\n\t"b": 2\n}\n', '{\n\t"b": 2,\n\t"a": 1\n}\n'),
        ('{\r\n    "b": 2 // two\r\n}', '{\r\n    "b": 2, // two\r\n    "a": 1\r\n}'),
        ('{\n  "b": 2 }', '{\n  "b": 2,\n  "a": 1 }'),
        ('{"a": 3, "b": 2}', '{"a": 1, "b": 2}'),
        ("", '{\n  "a": 1\n}\n'),
        ("// nothing yet", '// nothing yet\n{\n  "a": 1\n}\n'),
        ("\ufeff{}", '\ufeff{\n  "a": 1\n}'),
    ],
)
def test_a_member_is_added_in_the_form_that_the_file_has(text: str, after: str) -> None:
    assert put(text, ("a",), 1, comments=True) == after


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ('{"a": 1}', "{}"),
        ('{"a": 1, "b": 2}', '{ "b": 2}'),
        ('{"b": 2, "a": 1}', '{"b": 2}'),
        ('{\n  "b": 2, // two\n  "a": 1 // one\n}', '{\n  "b": 2 // two\n   // one\n}'),
        ('{\n  // b\n  "a": 1 }', "{\n  // b\n }"),
        ('{\n  "b": 2,\n  "a": 1,\n}', '{\n  "b": 2,\n}'),
        ('{\n  "a": 1,\n  "b": 2\n}', '{\n  "b": 2\n}'),
        ('{"b": 2}', '{"b": 2}'),
        ('{"b": {"a": 1}}', '{"b": {"a": 1}}'),
        ("", ""),
    ],
)
def test_a_member_goes_with_its_comma_and_its_line(text: str, after: str) -> None:
    assert drop(text, ("a",), comments=True) == after
    assert values(after, comments=True) == {
        key: value for key, value in dict(values(text, comments=True)).items() if key != "a"
    }


def test_what_is_written_for_a_value_can_be_had_and_put_back() -> None:
    text = '{"a": {"b": /* two */ 2.0}}'
    assert raw(text, ("a",), comments=True) == '{"b": /* two */ 2.0}'
    assert raw(text, ("c",), comments=True) is None
    assert put_raw('{"a": 1}', ("a",), "2.0", comments=True) == '{"a": 2.0}'
    assert put_raw('{"a": 1}', ("b",), "2.0", comments=True) == '{"a": 1}'


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[]", 1, "object"),
        ('{\n "a": 1\n "b": 2}', 3, "`,` or `}`"),
        ('{\n "a" 1}', 2, "`:`"),
        ("{\n\n a: 1}", 3, "double quotes"),
        ('{"a": }', 1, "value"),
        ('{"a": 01}', 1, "value"),
        ('{"a": "\\x"}', 1, "string"),
        ('{"a": [1 2]}', 1, "`,` or `]`"),
        ('{"a": 1} x', 1, "the end"),
        ('{"a":\nNaN}', 2, "value"),
        ('{"a": 1', 1, "missing"),
        ('{"a": "b', 1, "no use for"),
        ('{\n"a": ' + "[" * 400 + "]" * 400 + "}", 2, f"more than {DEEPEST}"),
        ('{"a": ' + "1" * 5000 + "}", 1, "too long"),
        ('{"servers": []}', 1, "'servers' should be an object"),
        ('{"servers": null}', 1, "'servers' should be an object"),
        ('{"servers": {},\n "servers": {}}', 2, "there twice"),
    ],
)
def test_what_is_broken_is_told_with_its_line(text: str, line: int, said: str) -> None:
    with pytest.raises(Broken) as caught:
        put(text, PATH, ENTRY, comments=True)
    assert caught.value.line == line
    assert said in caught.value.reason


@pytest.mark.parametrize("text", ["{} // no", '{"a": 1,}', '{"a": [1,]}', "/* no */ {}"])
def test_what_only_some_programs_read_is_refused_for_the_others(text: str) -> None:
    assert isinstance(values(text, comments=True), dict)
    with pytest.raises(Broken, match="this program reads none"):
        values(text, comments=False)


def test_letters_beyond_ascii_are_written_as_they_are() -> None:
    after = put("{}", ("a",), "Größe 🙂", comments=False)
    assert "Größe 🙂" in after
    assert json.loads(after) == {"a": "Größe 🙂"}
