import os
import stat
from pathlib import Path

import pytest

from lmbridge.core.errors import ConfigInvalid
from lmbridge.machine.locks import claim, release
from lmbridge.machine.programs import records
from lmbridge.machine.programs.change import Setting, changed
from lmbridge.machine.programs.records import Connection, Connections, FileRecord

CHANGE = changed('{"a": 1}', "json", (Setting(("a",), 2), Setting(("b", "c"), "x")))[1]
ONE = Connection("zed", "http://x", "m", 1.0, (FileRecord("/a", "json", CHANGE, "/b"),), "key", ("models",))


def test_what_is_remembered_is_read_back_by_another_process(tmp_path: Path) -> None:
    Connections(tmp_path).put(ONE)
    other = Connections(tmp_path)
    assert other.all() == (ONE,)
    assert other.of("zed") == (ONE,)
    assert other.of("codex") == ()
    if os.name == "posix":
        assert stat.S_IMODE(other.path.stat().st_mode) == 0o600


def test_one_takes_the_place_of_another_and_goes(tmp_path: Path) -> None:
    connections = Connections(tmp_path)
    two = Connection("zed", "http://y", "m", 2.0, ())
    connections.put(ONE)
    connections.put(two, ONE)
    assert connections.all() == (two,)
    connections.remove(two)
    assert connections.all() == ()


def test_a_garbled_file_is_told_and_left_alone(tmp_path: Path) -> None:
    connections = Connections(tmp_path)
    connections.path.write_text("{")
    with pytest.raises(ConfigInvalid, match=r"connections\.json"):
        connections.put(ONE)
    assert connections.path.read_text() == "{"


def test_only_one_process_at_a_time_changes_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connections = Connections(tmp_path / "new")
    with connections.turn():
        assert claim(tmp_path / "new" / "connections.lock") is None
    handle = claim(tmp_path / "new" / "connections.lock")
    assert handle is not None
    monkeypatch.setattr(records, "PATIENCE_S", 0.1)
    with pytest.raises(ConfigInvalid, match="another lmbridge"), connections.turn():
        pass
    release(handle, tmp_path / "new" / "connections.lock")
