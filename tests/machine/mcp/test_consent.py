"""What the user agreed to is remembered, for exactly what he was shown."""

from pathlib import Path

import pytest

from lmbridge.core.errors import ConfigInvalid, ToolServerNotAllowed
from lmbridge.machine.mcp.consent import FILE, Consents
from lmbridge.machine.mcp.entries import Entry

ENTRY = Entry(name="files", command="npx", args=("server",), env={"KEY": "s3cret"}, cwd="/srv")


def test_nothing_may_be_started_before_somebody_agreed_and_the_error_shows_what_it_would_be(
    tmp_path: Path,
) -> None:
    with pytest.raises(ToolServerNotAllowed) as caught:
        Consents(tmp_path).check(ENTRY)
    assert "`npx server` with KEY in its environment in /srv" in caught.value.message
    assert "lmbridge mcp servers allow files" in caught.value.hint
    assert "s3cret" not in str(caught.value)


def test_an_agreement_is_kept_and_ends_where_anything_is_changed(tmp_path: Path) -> None:
    Consents(tmp_path).allow(ENTRY)
    Consents(tmp_path).check(ENTRY)
    file = tmp_path / FILE
    assert file.stat().st_mode & 0o777 == 0o600
    assert "s3cret" not in file.read_text()
    with pytest.raises(ToolServerNotAllowed):
        Consents(tmp_path).check(Entry(name="files", command="npx", args=("server", "--more"), env={"KEY": "1"}))


def test_what_is_forbidden_stays_so_until_it_is_allowed(tmp_path: Path) -> None:
    consents = Consents(tmp_path)
    consents.allow(ENTRY, start=False)
    with pytest.raises(ToolServerNotAllowed, match="forbidden"):
        consents.check(ENTRY)
    consents.allow(ENTRY)
    consents.check(ENTRY)


def test_a_server_over_http_starts_nothing_and_needs_no_agreement(tmp_path: Path) -> None:
    Consents(tmp_path).check(Entry(name="web", url="https://a.example"))


def test_answers_about_tools_win_over_settings(tmp_path: Path) -> None:
    consents = Consents(tmp_path)
    entry = Entry(name="files", command="npx", policy={"read": "always"})
    assert (consents.policy_of(entry, "read"), consents.policy_of(entry, "write")) == ("always", "ask")
    consents.set_tools(entry, ["write"], "always")
    consents.set_tools(entry, ["read"], "never")
    assert (consents.policy_of(entry, "read"), consents.policy_of(entry, "write")) == ("never", "always")
    consents.set_tools(entry, ["*"], "never")
    assert consents.policy_of(entry, "other") == "never"
    assert consents.policy_of(entry, "write") == "always"
    assert consents.may_start(entry) is None


def test_who_allows_all_tools_is_asked_about_none_and_what_he_forbade_stays_forbidden(tmp_path: Path) -> None:
    consents = Consents(tmp_path)
    consents.set_tools(ENTRY, ["read"], "ask")
    consents.set_tools(ENTRY, ["delete"], "never")
    consents.set_tools(ENTRY, iter(["*"]), "always")
    assert [consents.policy_of(ENTRY, tool) for tool in ("read", "write", "delete")] == [
        "always",
        "always",
        "never",
    ]


def test_the_first_name_that_anything_is_said_of_counts_and_answers_before_settings(tmp_path: Path) -> None:
    consents = Consents(tmp_path)
    entry = Entry(name="files", command="npx", policy={"memo://today": "never", "read_resource": "always"})
    read = ("read_resource",)
    assert consents.policy_of(entry, "memo://today", *read) == "never"
    assert consents.policy_of(entry, "memo://other", *read) == "always"
    consents.set_tools(entry, ["memo://other"], "ask")
    assert consents.policy_of(entry, "memo://other", *read) == "ask"
    consents.set_tools(entry, ["*"], "never")
    assert consents.policy_of(entry, "memo://third", *read) == "never"


def test_a_file_that_cannot_be_read_allows_nothing(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{")
    with pytest.raises(ConfigInvalid, match="cannot be understood"):
        Consents(tmp_path).check(ENTRY)
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).mkdir()
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        Consents(tmp_path).check(ENTRY)
