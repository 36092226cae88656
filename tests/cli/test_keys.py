import json
from pathlib import Path

from tests.cli.conftest import Run


def test_a_key_is_shown_once_and_never_again(alone: Run, home: Path) -> None:
    made = alone("keys", "create", "laptop")
    assert (made.returncode, made.stderr) == (0, "")
    key = made.stdout.strip()
    assert len(key) > 30
    listed = alone("keys", "list")
    assert "laptop" in listed.stdout
    assert "never" in listed.stdout
    assert key not in listed.stdout
    assert key not in (home / "keys.json").read_text()


def test_a_revoked_key_is_gone(alone: Run) -> None:
    key = json.loads(alone("keys", "create", "ci", "--json").stdout)
    assert key["name"] == "ci"
    told = json.loads(alone("keys", "list", "--json").stdout)["keys"]
    assert [entry["name"] for entry in told] == ["ci"]
    revoked = alone("keys", "revoke", told[0]["id"], "--json")
    assert json.loads(revoked.stdout) == {"revoked": {"id": told[0]["id"], "name": "ci"}}
    assert "There are no keys." in alone("keys", "list").stdout


def test_a_name_that_is_taken_or_cannot_be_is_refused(alone: Run) -> None:
    assert alone("keys", "create", "laptop").returncode == 0
    again = alone("keys", "create", "laptop")
    assert (again.returncode, again.stdout) == (2, "")
    assert "already" in again.stderr
    assert alone("keys", "create", "no/slash").returncode == 2
    assert alone("keys", "revoke", "nobody").returncode == 2
