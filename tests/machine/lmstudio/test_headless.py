"""LM Studio for a computer without a screen: a plan first, a backup before each change."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.machine.lmstudio.conftest import program, written

from lmbridge.core.errors import ConfigInvalid, NoSpace
from lmbridge.machine.lmstudio import headless
from lmbridge.machine.lmstudio.headless import Change, apply, plan, switched_on
from lmbridge.machine.lmstudio.home import Places
from lmbridge.machine.lmstudio.install import Installation, find_installation

SETTINGS = '{\n  "downloadsFolder": "/models/Größe",\n  "enableLocalService": false,\n  "ratio": 1e-7\n}\n'
SERVER = '{\n  "port": 1234,\n  "networkInterface": "127.0.0.1"\n}'


@pytest.fixture
def home(places: Places) -> Path:
    home = places.user_home / ".lmstudio"
    written(home / "settings.json", SETTINGS)
    written(home / ".internal/http-server-config.json", SERVER)
    return home


@pytest.fixture
def with_app(places: Places, home: Path) -> Installation:
    program(places.user_home / "Downloads/LM-Studio-0.4.25.AppImage")
    return find_installation(places)


def test_a_plan_shows_the_lines_that_change_and_writes_nothing(with_app: Installation, home: Path) -> None:
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    service, server = plan(with_app)
    assert service.path == home / "settings.json"
    assert service.diff == '-  "enableLocalService": false,\n+  "enableLocalService": true,'
    assert server.diff == '+  "autoStartOnLaunch": true,'
    assert str(server) == (
        f"Start the REST server whenever LM Studio starts:\n{home}/.internal/http-server-config.json\n"
        '+  "autoStartOnLaunch": true,'
    )
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before


def test_an_applied_plan_changes_the_switches_alone_and_leaves_backups(with_app: Installation, home: Path) -> None:
    (home / "settings.json").chmod(0o640)
    backups = apply(plan(with_app))
    assert (home / "settings.json").read_text("utf-8") == SETTINGS.replace("false", "true")
    assert (home / "settings.json").stat().st_mode & 0o777 == 0o640
    assert json.loads((home / ".internal/http-server-config.json").read_text()) == json.loads(SERVER) | {
        "autoStartOnLaunch": True
    }
    assert [backup.read_text("utf-8") for backup in backups] == [SETTINGS, SERVER]
    assert all(backup.parent == path.parent for backup, path in zip(backups, paths(home), strict=True))
    assert plan(with_app) == []


def paths(home: Path) -> list[Path]:
    return [home / "settings.json", home / ".internal/http-server-config.json"]


def test_the_daemon_is_a_command_and_no_service(places: Places, home: Path) -> None:
    daemon = program(home / "llmster/llmster")
    written(home / ".internal/llmster-install-location.json", {"path": str(daemon)})
    server, up = plan(find_installation(places))
    assert (server.key, up.command) == ("autoStartOnLaunch", ("lms", "daemon", "up"))
    assert str(up) == "Start LM Studio without a window:\nlms daemon up"
    assert apply([up]) == []
    assert [step.key for step in plan(find_installation(places), daemon=False)] == [
        "enableLocalService",
        "autoStartOnLaunch",
    ]


def test_where_a_file_is_missing_the_app_is_to_be_started_first(places: Places) -> None:
    steps = plan(find_installation(places), daemon=False)
    assert [step.path for step in steps] == [None, None]
    assert all("start it once" in step.note for step in steps)
    assert apply(steps) == []
    assert list(places.user_home.iterdir()) == []


def test_a_running_lm_studio_is_to_be_ended_first(places: Places, home: Path) -> None:
    written(home / ".internal/http-server.json", {"pid": os.getpid(), "port": 41343})
    steps = plan(find_installation(places), daemon=False)
    assert all("quit it first" in step.note for step in steps)


def test_the_preferences_file_of_some_guides_is_explained_and_not_written(places: Places, home: Path) -> None:
    assert not any("preferences.json" in step.what for step in plan(find_installation(places)))
    preferences = written(home / "preferences.json", '{"developer": {}}')
    note = plan(find_installation(places))[-1]
    assert "No known version" in str(note)
    assert apply([note]) == []
    assert preferences.read_text() == '{"developer": {}}'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{broken",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"port": 1, "port": 2}',
        b'{"autoStartOnLaunch": "yes"}',
        b"[" * 99_999,
        b" " * (headless.MOST_BYTES + 1),
    ],
)
def test_a_file_that_is_not_understood_is_left_alone(places: Places, home: Path, content: bytes) -> None:
    path = home / ".internal/http-server-config.json"
    path.write_bytes(content)
    with pytest.raises(ConfigInvalid, match="not understood"):
        plan(find_installation(places))
    assert path.read_bytes() == content


def test_a_file_that_cannot_be_read_is_told(places: Places, home: Path) -> None:
    (home / ".internal/http-server-config.json").unlink()
    (home / ".internal/http-server-config.json").mkdir()
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        plan(find_installation(places))


def test_a_file_that_was_changed_meanwhile_is_left_alone(with_app: Installation, home: Path) -> None:
    steps = plan(with_app)
    (home / "settings.json").write_text("{}")
    with pytest.raises(ConfigInvalid, match="changed meanwhile"):
        apply(steps)
    assert (home / "settings.json").read_text() == "{}"
    assert sorted(path.name for path in home.iterdir()) == [".internal", "settings.json"]


def test_a_link_stays_a_link(with_app: Installation, home: Path) -> None:
    elsewhere = (home / "settings.json").rename(home / "kept elsewhere.json")
    (home / "settings.json").symlink_to(elsewhere)
    apply(plan(with_app)[:1])
    assert (home / "settings.json").is_symlink()
    assert '"enableLocalService": true' in elsewhere.read_text("utf-8")


def test_backups_of_one_second_do_not_replace_each_other(
    with_app: Installation, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headless.time, "strftime", lambda form: "20300101-000000")
    first = apply(plan(with_app)[:1])
    (home / "settings.json").write_text(SETTINGS, "utf-8")
    second = apply(plan(with_app)[:1])
    assert first != second
    assert first[0].read_text("utf-8") == second[0].read_text("utf-8") == SETTINGS


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, NoSpace), (errno.EROFS, ConfigInvalid)])
def test_a_file_that_cannot_be_written_stays_whole(
    with_app: Installation, home: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    steps = plan(with_app)
    monkeypatch.setattr(headless.os, "fsync", refuse)
    with pytest.raises(kind):
        apply(steps)
    assert (home / "settings.json").read_text("utf-8") == SETTINGS
    assert not [path for path in home.iterdir() if path.name.startswith(".settings.json-")]


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("{}", '{"k": true}'),
        ("{ }", '{"k": true }'),
        ('{"a":1}', '{"k": true,"a":1}'),
        ('{\r\n\t"a": 1\r\n}', '{\r\n\t"k": true,\r\n\t"a": 1\r\n}'),
        ('{"k":null}', '{"k":true}'),
        ('\ufeff{"k" : false}', '\ufeff{"k" : true}'),
        # The same words elsewhere do not lead astray.
        ('{"a": {"k": false}, "k": false}', '{"a": {"k": false}, "k": true}'),
        ('{"a": {"k": false}}', '{"k": true,"a": {"k": false}}'),
        ('{"k": "false"}', None),
        ('{"k": 0}', None),
    ],
)
def test_one_switch_is_set_in_the_text(text: str, after: str | None) -> None:
    assert switched_on(text, "k") == after


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.dictionaries(st.text() | st.just("k"), json_values), st.sampled_from([None, 2, "\t"]))
def test_nothing_else_changes_whatever_the_file_holds(table: dict[str, object], indent: int | str | None) -> None:
    text = json.dumps(table, indent=indent, ensure_ascii=False)
    after = switched_on(text, "k")
    if after is not None:
        assert json.loads(after) == {**table, "k": True}
    else:
        assert "k" in table


def test_a_change_without_a_file_has_no_diff() -> None:
    assert Change("Do it", command=("lms", "ps")).diff == ""
