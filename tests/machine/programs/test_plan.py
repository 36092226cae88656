"""What would become of files, and making it so."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from lmbridge.core.errors import ConfigInvalid
from lmbridge.machine.programs import plan as planning
from lmbridge.machine.programs.change import Setting
from lmbridge.machine.programs.program import Part
from lmbridge.machine.programs.records import FileRecord
from lmbridge.machine.programs.values import MISSING


def part(file: Path, name: str = "a", value: str = "1") -> Part:
    return Part(file, "json", (Setting(("t", name), value),), "models", url_at=("t", name))


def test_parts_of_one_file_are_one_plan_and_looking_writes_nothing(tmp_path: Path) -> None:
    (plan,) = planning.connecting([part(tmp_path / "x"), part(tmp_path / "x", "b")])
    assert list(tmp_path.iterdir()) == []
    assert plan.diff()[0] == "--- (new)"
    assert [line for line in plan.diff() if line.startswith("+ ")] == [
        '+  "t": {',
        '+    "a": "1",',
        '+    "b": "1"',
        "+  }",
    ]
    assert planning.value_in([plan], part(tmp_path / "x"), ("t", "a")) == "1"
    assert planning.value_in([plan], part(tmp_path / "x"), ("t", "a"), before=True) is MISSING
    assert planning.value_in([plan], part(tmp_path / "y"), ("t", "a")) is MISSING


def test_a_part_that_is_not_wanted_any_more_goes(tmp_path: Path) -> None:
    (plan,) = planning.connecting([part(tmp_path / "x"), part(tmp_path / "x", "b")])
    planning.carry_out([plan])
    assert plan.change is not None
    record = FileRecord(str(plan.path), plan.language, plan.change)
    (now,) = planning.connecting([part(tmp_path / "x", "b")], [record])
    planning.carry_out([now])
    assert (tmp_path / "x").read_text() == '{\n  "t": {\n    "b": "1"\n  }\n}\n'


def test_a_broken_file_is_named_with_its_line_and_stays(tmp_path: Path) -> None:
    (tmp_path / "x").write_text('{\n  "a": 1\n  "b": 2\n}')
    with pytest.raises(ConfigInvalid, match="line 3") as caught:
        planning.connecting([part(tmp_path / "x")])
    assert caught.value.where == str(tmp_path / "x")
    assert (tmp_path / "x").read_text() == '{\n  "a": 1\n  "b": 2\n}'


def test_a_file_that_is_gone_is_no_trouble_when_everything_is_taken_back(tmp_path: Path) -> None:
    (plan,) = planning.connecting([part(tmp_path / "x")])
    assert plan.change is not None
    (back,) = planning.disconnecting([FileRecord(str(plan.path), plan.language, plan.change)])
    assert (back.before, back.after, back.changes) == (None, None, False)


def test_what_a_file_was_at_first_is_remembered(tmp_path: Path) -> None:
    (plan,) = planning.connecting([part(tmp_path / "a" / "x")])
    first = planning.remembered(plan, None, None)
    assert first is not None
    assert (first.backup, first.folder) == ("", str(tmp_path / "a"))
    planning.carry_out([plan])
    again = planning.remembered(plan, tmp_path / "copy", first)
    assert again == first
    (back,) = planning.disconnecting([first])
    assert planning.remembered(back, None, first) is None
    planning.carry_out([back])
    planning.remove_folders([first, replace(first, folder="")])
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_file_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("{}")
    (tmp_path / "x").chmod(0o444)
    with pytest.raises(ConfigInvalid, match="read-only"):
        planning.connecting([part(tmp_path / "x")])


def test_where_one_file_cannot_be_written_all_are_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("{}")
    plans = planning.connecting([part(tmp_path / "x"), part(tmp_path / "new"), part(tmp_path / "y")])
    (tmp_path / "y" / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match="y"):
        planning.carry_out(plans)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x", "y"]
    assert (tmp_path / "x").read_text() == "{}"


def test_what_is_nested_too_deep_is_told(tmp_path: Path) -> None:
    deep = tmp_path / "x.toml"
    deep.write_text("a = " + "[" * 100_000)
    mine = Part(deep, "toml", (Setting(("b",), "1"),), "models")
    with pytest.raises(ConfigInvalid, match="nested too deep"):
        planning.connecting([mine])


def test_keys_are_found_where_the_program_keeps_them(tmp_path: Path) -> None:
    (tmp_path / "x").write_text('{"t": {"k": "theirs"}, "u": "other"}')
    mine = replace(part(tmp_path / "x", "k", "ours"), key_at=("t", "k"))
    assert planning.keys_in(planning.connecting([mine]), [mine]) == ("theirs", "ours")
    assert planning.keys_in(planning.connecting([mine]), [replace(mine, key_at=("t", "n")), part(tmp_path)]) == ()


def test_a_plan_does_not_show_what_is_in_its_files(tmp_path: Path) -> None:
    (plan,) = planning.connecting([part(tmp_path / "x", value="secret")])
    assert "secret" not in repr(plan)
