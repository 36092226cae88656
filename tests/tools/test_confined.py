"""No path leads out of a folder."""

from __future__ import annotations

import itertools
import os
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmbridge.core.errors import InvalidRequest
from lmbridge.tools import confined
from lmbridge.tools.confined import Entry, Folder, Refused, parts_of

OUT = [
    "..",
    "../x",
    "a/../../x",
    "/etc/passwd",
    "\\\\server\\share",
    "~/x",
    "~root/x",
    "C:/x",
    "c:x",
    "a\\..\\x",
    "a/CON",
    "nul.txt",
    "com1",
    "x:stream",
    "x.",
    "x ",
    "x\0y",
    "x\ny",
    "n" * 256,
    "/".join("d" * 17),
]


@pytest.mark.parametrize("path", OUT)
def test_a_path_that_is_none_within_the_folder_is_refused(path: str) -> None:
    with pytest.raises(Refused):
        parts_of(path)


@given(st.text(st.sampled_from("a./\\~:C *?\0x")))
def test_what_passes_is_names_alone(path: str) -> None:
    try:
        parts = parts_of(path)
    except Refused:
        return
    assert not {"", ".", ".."} & set(parts)
    assert not any(c in part for part in parts for c in "/\\:\0")


def test_dots_and_slashes_that_change_nothing_are_left_out() -> None:
    assert parts_of("./a//b/") == ("a", "b")
    assert parts_of(".") == parts_of("") == ()


@pytest.fixture(params=[True, False], ids=["by descriptor", "by path"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    if not request.param:
        monkeypatch.setattr(confined, "BY_DESCRIPTOR", False)
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    return Folder(tmp_path / "in")


def test_files_are_made_read_changed_and_listed(folder: Folder) -> None:
    folder.create(("a", "b", "new.txt"), b"one")
    (folder.path / "a" / "b" / "new.txt").chmod(0o640)
    assert folder.read(("a", "b", "new.txt"), 3) == b"one"
    folder.replace(("a", "b", "new.txt"), b"one", b"two!")
    assert folder.entries(("a", "b")) == [Entry("new.txt", 4)]
    assert folder.entries(()) == [Entry("a")]
    if confined.BY_DESCRIPTOR:
        assert (folder.path / "a" / "b" / "new.txt").stat().st_mode & 0o777 == 0o640


def test_nothing_is_overwritten_and_what_changed_meanwhile_is_not_replaced(folder: Folder) -> None:
    folder.create(("x",), b"mine")
    with pytest.raises(FileExistsError):
        folder.create(("x",), b"other")
    with pytest.raises(Refused, match="changed meanwhile"):
        folder.replace(("x",), b"else", b"new!")
    with pytest.raises(Refused, match="more than 3 bytes"):
        folder.read(("x",), 3)
    assert folder.read(("x",), 4) == b"mine"
    assert len(folder.entries(())) == 1


def test_no_link_is_followed(folder: Folder) -> None:
    outside = folder.path.parent
    (folder.path / "out").symlink_to(outside)
    (folder.path / "file").symlink_to(outside / "secret.txt")
    for attempt in (
        lambda: folder.read(("file",), 99),
        lambda: folder.read(("out", "secret.txt"), 99),
        lambda: folder.create(("out", "new.txt"), b"x"),
        lambda: folder.create(("file",), b"x"),
        lambda: folder.replace(("file",), b"secret", b"x"),
        lambda: folder.entries(("out",)),
    ):
        with pytest.raises((Refused, OSError)):
            attempt()
    assert (outside / "secret.txt").read_text() == "secret"
    assert sorted(entry.name for entry in outside.iterdir()) == ["in", "secret.txt"]
    assert folder.entries(()) == []


def test_what_is_no_file_is_refused(folder: Folder) -> None:
    (folder.path / "sub").mkdir()
    os.mkfifo(folder.path / "pipe")
    for parts in (("sub",), ("pipe",), ("gone",), ()):
        with pytest.raises((Refused, OSError)):
            folder.read(parts, 99)
    assert folder.entries(()) == [Entry("sub")]


def test_what_cannot_be_written_leaves_nothing_behind(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.create(("x",), b"mine")
    with pytest.raises(TypeError):
        folder.create(("y",), "no bytes")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        folder.replace(("x",), b"mine", "no bytes")  # type: ignore[arg-type]
    assert folder.entries(()) == [Entry("x", 4)]


def test_a_folder_that_is_swapped_for_a_link_while_files_are_made_leads_nowhere(tmp_path: Path) -> None:
    if not confined.BY_DESCRIPTOR:
        return
    (tmp_path / "in").mkdir()
    (tmp_path / "outside").mkdir()
    folder, over = Folder(tmp_path / "in"), threading.Event()
    swapped = tmp_path / "in" / "sub"

    def swap() -> None:
        for number in itertools.count():
            if over.is_set():
                return
            with suppress(OSError):
                swapped.mkdir(exist_ok=True)
                swapped.rename(tmp_path / f"aside{number}")
                swapped.symlink_to(tmp_path / "outside")
                swapped.unlink()

    thread = threading.Thread(target=swap)
    thread.start()
    for number in range(300):
        with suppress(OSError):
            folder.create(("sub", f"f{number}"), b"x")
    over.set()
    thread.join()
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_folder_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be used"):
        Folder(tmp_path / "gone")
    (tmp_path / "file").touch()
    with pytest.raises(InvalidRequest, match="is no folder"):
        Folder(tmp_path / "file")
