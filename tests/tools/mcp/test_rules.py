"""Which tools exist and which may be called is decided in one place."""

from pathlib import Path

from lmbridge.machine.mcp.consent import Consents
from lmbridge.machine.mcp.entries import Entry
from lmbridge.tools.mcp.rules import Rules

ENTRY = Entry(name="x", command="a", allowed_tools=("read", "write"), policy={"read": "always"})


def test_only_allowed_tools_exist_and_a_request_narrows_them_further() -> None:
    rules = Rules.of(ENTRY, only=["read", "delete"])
    assert rules.why_not("read") == ""
    assert rules.why_not("write") == "not among the allowed tools"  # the request does not name it
    assert rules.why_not("delete") == "not among the allowed tools"  # the user does not
    assert rules.policy_of("delete") == "never"


def test_a_resource_has_a_rule_of_its_own_or_that_of_reading_any() -> None:
    entry = Entry(name="x", command="a", policy={"memo://today": "always", "memo://tax": "never"})
    rules, alone = Rules.of(entry), Rules.of(entry, attended=False)
    uris = ("memo://today", "memo://tax", "memo://other")
    assert [rules.policy_of_resource(uri) for uri in uris] == ["always", "never", "ask"]
    assert [alone.policy_of_resource(uri) for uri in uris] == ["always", "never", "never"]
    assert Rules.of(ENTRY).policy_of_resource("memo://today") == "never"  # its list has no `read_resource`
    assert Rules.of(ENTRY, only=["read_resource"]).policy_of_resource("memo://today") == "never"
    named = Entry(name="x", command="a", allowed_tools=("memo://today",))
    assert [Rules.of(named).policy_of_resource(uri) for uri in uris] == ["ask", "never", "never"]


def test_where_nobody_can_be_asked_what_is_to_be_asked_for_is_never_called() -> None:
    assert Rules.of(ENTRY).policy_of("write") == "ask"
    alone = Rules.of(ENTRY, attended=False)
    assert (alone.policy_of("read"), alone.policy_of("write")) == ("always", "never")
    assert alone.why_not("write") == "nobody can be asked here"


def test_what_the_user_answered_wins_and_reaches_rules_that_are_in_use(tmp_path: Path) -> None:
    consents = Consents(tmp_path)
    rules = Rules.of(ENTRY, consents)
    consents.set_tools(ENTRY, ["read"], "never")
    assert (rules.policy_of("read"), rules.why_not("read")) == ("never", "forbidden")
