"""What connecting changes in a text, and how it is taken back."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmbridge.machine.programs.change import Change, Setting, Written, changed, empty, taken_back, text_digest
from lmbridge.machine.programs.languages import LanguageName
from lmbridge.machine.programs.values import Broken, digest

OURS = (
    Setting(("mcpServers", "lmbridge"), {"command": "/x", "args": ["mcp"]}),
    Setting(("env", "ANTHROPIC_BASE_URL"), "http://127.0.0.1:1235"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
TABLE = st.dictionaries(st.text(), JSON)
COMMENTS = st.sampled_from(["", " ", "\n", "// c\n", "/* c */", " \t\n // { \n", "/*\n*/"])


@st.composite
def written(draw: st.DrawFn, value: object) -> str:
    """A value as JSON with comments, blanks and trailing commas wherever they may stand."""
    gap = [draw(COMMENTS) for _ in range(3)]
    if isinstance(value, dict) and value:
        pairs = [f"{json.dumps(k)}{gap[0]}:{gap[1]}{draw(written(v))}" for k, v in value.items()]
        return "{" + gap[2] + f",{gap[0]}".join(pairs) + draw(st.sampled_from(["", ","])) + gap[1] + "}"
    return gap[0] + json.dumps(value) + gap[1]


@settings(deadline=None)
@given(TABLE, TABLE, st.sampled_from([None, 1, 2, "\t"]), st.booleans())
def test_any_json_comes_back_byte_for_byte(
    one: dict[str, object], other: dict[str, object], indent: str | int | None, windows: bool
) -> None:
    text = json.dumps({**one, "mcpServers": other}, indent=indent, ensure_ascii=False)
    text = text.replace("\n", "\r\n") if windows else text
    after, change = changed(text, "json", OURS)
    assert json.loads(after)["mcpServers"] == {**other, "lmbridge": OURS[0].value}
    assert taken_back(after, "json", change) == (text, [])
    assert changed(after, "json", OURS)[0] == after
    once_more, differ = taken_back(f" {after}", "json", change)
    assert (json.loads(once_more), differ) == (json.loads(text), [])


@settings(deadline=None)
@given(st.data())
def test_comments_survive_wherever_they_are(data: st.DataObject) -> None:
    value = {"a": 1, "mcpServers": {"b": {"c": 2}}, "d": {}}
    text = data.draw(written(value))
    after, change = changed(text, "jsonc", OURS)
    assert after.count("c */") == text.count("c */")
    assert after.count("// c") == text.count("// c")
    assert taken_back(after, "jsonc", change) == (text, [])
    once_more, differ = taken_back(f"{after} ", "jsonc", change)
    assert not differ
    assert changed(once_more, "jsonc", ())[0] == once_more
    assert once_more.count("// c") == text.count("// c")


def test_what_stood_in_our_place_comes_back_also_after_others_wrote() -> None:
    text = '{"env": {"ANTHROPIC_BASE_URL": "http://old" /* mine */}}'
    after, change = changed(text, "jsonc", OURS[1:])
    assert '"http://127.0.0.1:1235" /* mine */' in after
    assert taken_back(f"// later\n{after}", "jsonc", change) == (f"// later\n{text}", [])


def test_what_was_changed_since_stays_and_is_told_unless_it_is_forced() -> None:
    after, change = changed("{}", "json", OURS)
    theirs = after.replace("http://127.0.0.1:1235", "http://other")
    kept, differ = taken_back(theirs, "json", change)
    assert differ == [("env", "ANTHROPIC_BASE_URL")]
    assert json.loads(kept) == {"env": {"ANTHROPIC_BASE_URL": "http://other"}}
    forced, differ = taken_back(theirs, "json", change, force=True)
    assert (json.loads(forced), differ) == ({}, [("env", "ANTHROPIC_BASE_URL")])


def test_what_others_wrote_into_a_table_of_ours_is_told_and_goes_with_it_by_force() -> None:
    server = ("mcp_servers", "lmbridge")
    ours = (Setting((*server, "command"), "/x", within=server), Setting((*server, "args"), ["mcp"], within=server))
    after, change = changed("a = 1\n", "toml", ours)
    theirs = f'{after}\n[mcp_servers.lmbridge.tools.chat]\napproval_mode = "approve"\n'
    assert taken_back(theirs, "toml", change)[1] == [server]
    assert taken_back(theirs, "toml", change, force=True) == ("a = 1\n", [server])
    assert taken_back(f"{after}\n[mcp_servers.other]\n", "toml", change) == ("a = 1\n\n[mcp_servers.other]\n", [])


def test_what_stood_in_our_place_is_not_put_back_where_it_would_do_damage() -> None:
    for before in ("[", "2\nb = 3"):
        change = Change("", written=(Written(("a",), digest(1), before),))
        with pytest.raises(Broken, match="what stood at a before cannot be put back"):
            taken_back("a = 1\n", "toml", change)


def test_what_is_gone_already_is_no_trouble() -> None:
    _, change = changed('{"a": 1}', "json", OURS)
    assert taken_back('{"a": 2}', "json", change) == ('{"a": 2}', [])


def test_a_table_that_others_use_by_now_stays() -> None:
    after, change = changed("{}", "json", OURS[:1])
    theirs = after.replace('"lmbridge": {', '"other": {},\n    "lmbridge": {')
    assert json.loads(taken_back(theirs, "json", change)[0]) == {"mcpServers": {"other": {}}}


def test_what_is_there_already_is_not_written_again() -> None:
    text = '{"env":{"ANTHROPIC_BASE_URL":"http://127.0.0.1:1235"}}'
    after, change = changed(text, "json", OURS[1:])
    assert (after, change.hunks, change.written) == (text, (), ())


def test_a_setting_for_those_who_have_none_leaves_others_and_stays_behind() -> None:
    required = Setting(("name",), "Local", only_if_missing=True)
    assert changed("name: Mine\n", "yaml", (required,))[0] == "name: Mine\n"
    after, change = changed(None, "yaml", (required,))
    assert (after, change.new) == ("name: Local\n", True)
    assert taken_back(f"{after}x: 1\n", "yaml", change) == (f"{after}x: 1\n", [])
    assert taken_back(after, "yaml", change) == ("", [])


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ('model_providers = { x = { name = "x" } }\n', "toml"),
        ("mcp_servers = 1\n", "toml"),
        ("models: {a: 1}\n", "yaml"),
    ],
)
def test_what_cannot_be_added_to_is_told_and_not_damaged(text: str, language: LanguageName) -> None:
    path = ("models", "lmbridge") if language == "yaml" else (text.partition(" ")[0], "lmbridge", "name")
    with pytest.raises(Broken):
        changed(text, language, (Setting(path, {"a": "b"} if language == "yaml" else "b"),))


def test_no_value_is_kept_in_what_is_remembered() -> None:
    _, change = changed("{}", "json", (Setting(("key",), "lmb-secret"),))
    assert "lmb-secret" not in repr(change)


def test_a_file_made_for_us_is_empty_once_nothing_is_left_in_it() -> None:
    assert empty("{}\n", "json")
    assert empty("\n", "toml")
    assert not empty("{}", "toml")
    assert not empty('{"a": 1}', "json")
    assert text_digest("a") != text_digest("b")
