"""Where files lie, and whose turn it is."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from lmbridge.core.errors import DownloadFailed, NoSpace
from lmbridge.machine.downloads.choice import Choice, RemoteFile
from lmbridge.machine.downloads.shelf import Shelf
from lmbridge.machine.model_folders import find_models

FILE = RemoteFile("deep/in/m-Q4_K_M.gguf", 10, "ab" * 32)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path, "o/m", "o/m")


def test_folders_of_the_repository_are_left_out(shelf: Shelf, tmp_path: Path) -> None:
    assert shelf.place(FILE) == tmp_path / "o/m/m-Q4_K_M.gguf"


@pytest.mark.parametrize("repository", ["../m", "o/..", "o", "o/m/x", "/etc/x", "o/.m"])
def test_a_repository_whose_name_leads_elsewhere_is_refused(repository: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="cannot be"):
        Shelf(tmp_path, repository, "o/m")


@pytest.mark.parametrize(
    "name",
    [".gguf", ".hidden.gguf", "a\\..\\b.gguf", "a\n.gguf", "c:x.gguf", "a*.gguf", "x" * 300 + ".gguf", "a.exe"],
)
def test_a_file_whose_name_is_dangerous_is_refused(name: str, shelf: Shelf) -> None:
    with pytest.raises(DownloadFailed, match="no name for a file"):
        shelf.place(RemoteFile(name, 1))


def test_unfinished_files_are_no_models(shelf: Shelf, tmp_path: Path) -> None:
    shelf.make_room([FILE])
    shelf.part(FILE).write_bytes(b"GGUF")
    shelf.whole(FILE).write_bytes(b"GGUF")
    assert find_models([tmp_path], tmp_path / "none") == []


def test_what_is_here_is_counted_finished_or_not(shelf: Shelf) -> None:
    assert shelf.already(FILE) == 0
    shelf.make_room([FILE])
    shelf.part(FILE).write_bytes(b"123")
    assert shelf.already(FILE) == 3
    shelf.part(FILE).replace(shelf.whole(FILE))
    assert (shelf.already(FILE), shelf.is_here(FILE)) == (10, False)
    shelf.place(FILE).write_bytes(b"1234567890")
    assert (shelf.already(FILE), shelf.is_here(FILE)) == (10, True)


def test_a_disk_that_is_too_small_is_told_with_both_numbers(shelf: Shelf, tmp_path: Path) -> None:
    shelf.make_room([FILE])
    shelf.part(FILE).write_bytes(b"123")
    with pytest.raises(NoSpace) as caught:
        shelf.make_room([FILE, RemoteFile("huge.gguf", 10**18, "cd" * 32)])
    assert caught.value.needed == 10**18 + 7
    assert 0 < (caught.value.available or 0) < 10**18
    assert caught.value.path == str(tmp_path / "o/m")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadFailed, match="cannot be used"):
        Shelf(tmp_path / "file", "o/m", "o/m").make_room([FILE])
    with (
        pytest.raises(DownloadFailed, match="cannot be used"),
        Shelf(tmp_path / "file", "o/m", "o/m").turn(lambda: None),
    ):
        pass


def test_putting_files_in_place_clears_their_older_leftovers_away(shelf: Shelf, tmp_path: Path) -> None:
    with shelf.turn(lambda: None):
        shelf.make_room([FILE])
        older, other = (RemoteFile(name, 10, "ef" * 32) for name in ("m-Q4_K_M.gguf", "other.gguf"))
        shelf.part(older).write_bytes(b"12")
        shelf.part(other).write_bytes(b"34")
        shelf.whole(FILE).write_bytes(b"1234567890")
        assert shelf.put(Choice((FILE,))) == tmp_path / "o/m/m-Q4_K_M.gguf"
    assert not shelf.part(older).exists()
    assert shelf.part(other).read_bytes() == b"34"


def test_nothing_is_left_of_a_turn_that_brought_nothing(shelf: Shelf, tmp_path: Path) -> None:
    with shelf.turn(lambda: None):
        shelf.make_room([FILE])
    assert os.listdir(tmp_path) == []


def test_one_at_a_time_downloads_from_a_repository(shelf: Shelf) -> None:
    order: list[str] = []
    asked = threading.Event()

    def second() -> None:
        with shelf.turn(asked.set):
            order.append("second")

    waiter = threading.Thread(target=second)
    with shelf.turn(lambda: None):
        waiter.start()
        assert asked.wait(10)
        order.append("first")
    waiter.join(10)
    assert order == ["first", "second"]


def test_different_repositories_do_not_wait_for_each_other(shelf: Shelf, tmp_path: Path) -> None:
    def never() -> None:
        raise AssertionError

    with shelf.turn(never), Shelf(tmp_path, "o/other", "o/other").turn(never):
        pass
