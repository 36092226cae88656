import errno
import os
import stat
from pathlib import Path

import pytest

from lmbridge.machine.files import naming, write_whole


def test_a_file_is_its_owners_alone_and_so_are_folders_made_for_it(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "file"
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(path.parent) == ["file"]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_where_it_cannot_be_written_nothing_is_left_beside_it(tmp_path: Path) -> None:
    (tmp_path / "file" / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match="file"):
        write_whole(tmp_path / "file", b"data")
    assert os.listdir(tmp_path) == ["file"]


def test_an_error_of_writing_names_the_file_unless_it_names_one_itself(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="a file") as caught, naming(tmp_path / "a file"):
        raise full
    assert caught.value.filename == str(tmp_path / "a file")
    with pytest.raises(FileNotFoundError) as missing, naming(tmp_path / "a file"):
        os.remove(tmp_path / "another")
    assert str(missing.value.filename) == str(tmp_path / "another")
