"""Other programs' files."""

import os
import stat
from pathlib import Path

import pytest

from lmbridge.core.errors import ConfigInvalid
from lmbridge.machine.programs import settings_file

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX rights and links")


def test_a_text_is_read_with_its_line_ends_and_nothing_where_there_is_none(tmp_path: Path) -> None:
    assert settings_file.read(tmp_path / "none" / "x") is None
    (tmp_path / "x").write_bytes(b"\xef\xbb\xbfa\r\nb\n")
    assert settings_file.read(tmp_path / "x") == "\ufeffa\r\nb\n"


def test_what_is_no_text_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"a\nb\xff")
    for path, said in ((tmp_path, "plain file"), (tmp_path / "x" / "y", "no folder"), (tmp_path / "x", "line 2")):
        with pytest.raises(ConfigInvalid, match=said):
            settings_file.read(path)
    with (tmp_path / "x").open("ab") as file:
        file.truncate(settings_file.MOST_BYTES + 1)
    with pytest.raises(ConfigInvalid, match="larger"):
        settings_file.read(tmp_path / "x")


@posix
def test_a_link_stays_a_link_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles" / "x", tmp_path / "x"
    real.parent.mkdir()
    real.write_text("old")
    link.symlink_to(real)
    copy = settings_file.backed_up(link)
    settings_file.write(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert copy is not None
    assert (copy.parent, copy.read_text()) == (real.parent, "old")
    settings_file.remove(link)
    assert not real.exists()
    with pytest.raises(ConfigInvalid, match="leads nowhere"):
        settings_file.read(link)


@posix
def test_the_mode_stays_and_new_files_are_their_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    path.chmod(0o640)
    copy = settings_file.backed_up(path)
    settings_file.write(path, "new")
    settings_file.write(tmp_path / "folder" / "y", "new")
    assert copy is not None
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (path, copy, tmp_path / "folder" / "y")]
    assert modes == [0o640, 0o640, 0o600]


@posix
def test_what_may_not_be_written_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("a")
    settings_file.refuse_unless_writable(path)
    settings_file.refuse_unless_writable(tmp_path / "new" / "folder" / "y")
    path.chmod(0o444)
    with pytest.raises(ConfigInvalid, match="read-only"):
        settings_file.refuse_unless_writable(path)
    with pytest.raises(ConfigInvalid, match="cannot be written"):
        settings_file.refuse_unless_writable(path / "y")


def test_folders_that_were_made_for_a_file_go_with_it_unless_something_is_in_them(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "x"
    assert settings_file.missing_folder(tmp_path / "x") == ""
    made = settings_file.missing_folder(path)
    assert made == str(tmp_path / "a")
    settings_file.write(path, "new")
    settings_file.remove_folders(path, made)
    assert path.exists()
    settings_file.remove(path)
    (tmp_path / "a" / "theirs").touch()
    settings_file.remove_folders(path, made)
    assert os.listdir(tmp_path / "a") == ["theirs"]
    (tmp_path / "a" / "theirs").unlink()
    (tmp_path / "a" / "b").mkdir()
    settings_file.remove_folders(path, made)
    assert list(tmp_path.iterdir()) == []


def test_copies_do_not_replace_each_other(tmp_path: Path) -> None:
    assert settings_file.backed_up(tmp_path / "x") is None
    (tmp_path / "x").write_text("a")
    copies = {settings_file.backed_up(tmp_path / "x") for _ in range(3)}
    assert len(copies) == 3
    assert {copy.read_text() for copy in copies if copy is not None} == {"a"}


def test_where_it_cannot_be_written_nothing_is_left_beside_it(tmp_path: Path) -> None:
    (tmp_path / "x" / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match="x"):
        settings_file.write(tmp_path / "x", "new")
    assert os.listdir(tmp_path) == ["x"]
