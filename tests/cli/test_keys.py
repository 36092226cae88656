import json
import re
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


def test_a_key_is_made_for_some_things_and_for_some_time(alone: Run) -> None:
    made = json.loads(
        alone(
            "keys", "create", "web", "--scope", "models", "--scope", "infer", "--expires", "30d", "--json"
        ).stdout
    )
    assert made["scopes"] == ["infer", "models"]
    (told,) = json.loads(alone("keys", "list", "--json").stdout)["keys"]
    assert (told["scopes"], told["expires"], told["expired"]) == (["infer", "models"], made["expires"], False)
    assert "infer, models" in alone("keys", "list").stdout


def test_an_expired_key_is_marked(alone: Run, home: Path) -> None:
    alone("keys", "create", "old", "--expires", "2099-01-01")
    assert "2099-01-01" in alone("keys", "list").stdout
    stored = json.loads((home / "keys.json").read_text())
    stored["keys"][0]["expires"] = 1_600_000_000
    (home / "keys.json").write_text(json.dumps(stored))
    listed = alone("keys", "list")
    assert "expired 2020-09-1" in listed.stdout
    assert "keys revoke" in listed.stderr
    assert json.loads(alone("keys", "list", "--json").stdout)["keys"][0]["expired"] is True


def test_a_key_in_lm_studios_form_is_made_on_request(alone: Run) -> None:
    made = alone("keys", "create", "app", "--lmstudio-form")
    assert re.fullmatch(r"sk-lm-[A-Za-z0-9]{8}:[A-Za-z0-9]{20}\n", made.stdout)


def test_a_scope_or_an_end_that_cannot_be_is_refused(alone: Run) -> None:
    for wrong in (("--scope", "root"), ("--expires", "soon"), ("--expires", "2020-01-01")):
        done = alone("keys", "create", "ci", *wrong)
        assert (done.returncode, done.stdout) == (2, "")
    assert "There are no keys." in alone("keys", "list").stdout
