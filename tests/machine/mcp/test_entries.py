"""Entries of MCP servers: which are understood, what is wrong with the others, and what is never shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.machine.mcp.entries import (
    Entry,
    entries_of,
    of_command,
    of_url,
    read_ours,
    read_theirs,
    shown_url,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
FIELDS = st.sampled_from(["command", "args", "env", "cwd", "url", "headers", "auth", "type", "disabled", "x"])


def test_a_command_and_an_address_are_understood_in_both_notations() -> None:
    local = {"command": "npx", "args": ["-y", "server"], "env": {"A": "1"}, "cwd": "/srv"}
    for read in (read_ours, read_theirs):
        entry = read("files", local, "f")
        assert (entry.command, entry.args, entry.env, entry.cwd) == ("npx", ("-y", "server"), {"A": "1"}, "/srv")
        assert not entry.problem
        remote = read("web", {"url": "https://mcp.example/mcp", "headers": {"Authorization": "x"}}, "f")
        assert (remote.url, remote.headers, remote.problem) == (
            "https://mcp.example/mcp",
            {"Authorization": "x"},
            "",
        )


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "neither a command nor a URL"),
        ({"command": "a", "url": "https://b.example"}, "both a command and a URL"),
        ({"command": 7}, "command: expected `str`, got `int`"),
        ({"command": "a", "args": [1]}, "args[0]: expected `str`"),
        ({"command": "a\0b"}, "cannot be passed on"),
        ({"command": "a", "env": {"B=C": "1"}}, "cannot be passed on"),
        ({"url": "ftp://a.example"}, "must begin with http:// or https://"),
        ({"url": "http://[::1"}, "must begin with http:// or https://"),
        ({"url": "http://a.example:99999/"}, "must begin with http:// or https://"),
        ({"url": "https://me:pw@a.example"}, "user name or a password"),
        ({"url": "https://a.example", "headers": {"a b": "c"}}, "no proper name"),
        ({"url": "https://a.example", "headers": {"a": "c\r\nd: e"}}, "not allowed"),
        ("npx", "no "),
    ],
)
def test_what_is_wrong_with_an_entry_is_said(table: object, said: str) -> None:
    for read in (read_ours, read_theirs):
        assert said in read("x", table, "f").problem


def test_our_own_tables_have_no_unknown_settings_and_name_the_nearest() -> None:
    assert "did you mean 'command'?" in read_ours("x", {"comand": "a"}, "f").problem
    assert "there are command, args" in read_ours("x", {"zzz": "a"}, "f").problem
    assert "policy" in read_ours("x", {"command": "a", "policy": "perhaps"}, "f").problem


def test_fields_of_other_programs_are_named_and_what_would_change_the_start_is_refused() -> None:
    entry = read_theirs("x", {"command": "a", "autoApprove": [], "zzz": 1}, "f")
    assert (entry.ignored, entry.problem) == (("autoApprove", "zzz"), "")
    assert "switched off" in read_theirs("x", {"command": "a", "disabled": True}, "f").problem
    assert "(`enabled`)" in read_theirs("x", {"command": "a", "enabled": False}, "f").problem
    assert "OAuth" in read_theirs("x", {"url": "https://a.example", "auth": {}}, "f").problem
    assert "SSE" in read_theirs("x", {"url": "https://a.example", "type": "sse"}, "f").problem


@pytest.mark.parametrize("name", ["", "-x", "a/b", "a\nb", "x" * 65, "ä"])
def test_a_name_that_could_not_stand_in_a_plugin_id_is_refused(name: str) -> None:
    assert "its name" in read_theirs(name, {"command": "a"}, "f").problem


def test_policies_are_for_all_tools_or_by_tool() -> None:
    one = read_ours("x", {"command": "a", "policy": "always"}, "f")
    assert one.policy_of("anything") == "always"
    some = read_ours("x", {"command": "a", "policy": {"read": "always", "*": "never"}}, "f")
    assert (some.policy_of("read"), some.policy_of("write")) == ("always", "never")
    assert read_ours("x", {"command": "a", "policy": {"read": "always"}}, "f").policy_of("write") == "ask"


def test_the_digest_changes_with_everything_that_was_agreed_to_and_not_with_values_of_variables() -> None:
    entry = Entry(name="a", command="npx", args=("x",), env={"KEY": "1"})
    assert Entry(name="b", command="npx", args=("x",), env={"KEY": "2"}).digest == entry.digest
    for other in (
        Entry(name="a", command="npx", args=("y",), env={"KEY": "1"}),
        Entry(name="a", command="uvx", args=("x",), env={"KEY": "1"}),
        Entry(name="a", command="npx", args=("x",), env={"OTHER": "1"}),
        Entry(name="a", command="npx", args=("x",), env={"KEY": "1"}, cwd="/tmp"),
        Entry(name="a", url="https://a.example"),
    ):
        assert other.digest != entry.digest


def test_another_value_of_a_variable_that_decides_what_is_run_is_to_be_agreed_to_anew() -> None:
    def digest(name: str, value: str) -> str:
        return Entry(name="a", command="npx", env={name: value}).digest

    for name in ("PATH", "Path", "LD_PRELOAD", "NODE_OPTIONS", "PYTHONPATH"):
        assert digest(name, "/mine") != digest(name, "/another")
    for name in ("GITHUB_TOKEN", "NODE_AUTH_TOKEN", "API_KEY"):
        assert digest(name, "one") == digest(name, "two")


def test_the_command_line_is_shown_exactly_and_values_never() -> None:
    entry = Entry(name="a", command="npx", args=("-y", "two words"), env={"KEY": "s3cret"})
    assert entry.shown == "npx -y 'two words'"
    assert entry.variables == ("KEY",)
    remote = Entry(name="a", url="https://u:p@a.example/mcp?token=s3cret", headers={"Authorization": "s3cret"})
    assert remote.shown == "https://a.example/mcp?…"
    assert "s3cret" not in f"{entry!r}{remote!r}{remote.shown}{remote.variables}"
    assert shown_url("http://[") == "an address that cannot be read"


def test_a_server_can_be_typed_as_a_command_line_or_an_address() -> None:
    assert of_command("npx -y @scope/server-files .").name == "server-files"
    assert of_command("python /opt/my_server.py --verbose").name == "my_server"
    assert of_command("python -m my.own.server --fast").name == "server"
    assert of_command("uvx mcp-server-time@1.2").name == "mcp-server-time@1.2"
    assert of_command("---").name == "command"
    assert "quotes" in of_command("npx 'a").problem
    assert "empty" in of_command(" ").problem
    assert (of_url("https://mcp.example/x").name, of_url("https://mcp.example/x").problem) == ("mcp.example", "")
    assert of_url("nothing").problem


@given(st.dictionaries(FIELDS, JSON, max_size=5))
def test_no_table_whatever_breaks_the_reading(table: dict[str, object]) -> None:
    for read in (read_ours, read_theirs):
        assert read("x", table, "f").name == "x"
    assert list(entries_of({"x": table}, "f")) == ["x"]
