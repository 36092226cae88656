"""The files of one folder as tools."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmbridge.core.errors import InvalidRequest
from lmbridge.core.tools import Toolbox
from lmbridge.tools import files
from lmbridge.tools.files import FileTools


@pytest.fixture
def box(tmp_path: Path) -> FileTools:
    return FileTools(tmp_path, most_bytes=20, most_created=2)


async def said(box: FileTools, name: str, **arguments: str) -> str:
    result = await box.call(name, arguments)
    return f"✗ {result.text}" if result.is_error else result.text


async def test_a_folder_offers_four_tools_or_two(box: FileTools, tmp_path: Path) -> None:
    assert isinstance(box, Toolbox)
    assert [t.name for t in await box.tools()] == ["read_file", "list_directory", "create_file", "edit_file"]
    assert all(t.description and t.parameters["properties"] for t in await box.tools())
    reading = FileTools(str(tmp_path), read_only=True)
    assert [t.name for t in await reading.tools()] == ["read_file", "list_directory"]
    assert "no tool" in await said(reading, "create_file", path="x", content="y")
    assert box.folder.samefile(tmp_path)
    await box.aclose()


async def test_a_model_makes_reads_lists_and_edits_files(box: FileTools) -> None:
    assert await said(box, "list_directory") == "It is empty."
    assert await said(box, "create_file", path="a/notes.txt", content="one two") == (
        "a/notes.txt was created, 7 bytes."
    )
    assert await said(box, "read_file", path="a/notes.txt") == "one two"
    assert await said(box, "edit_file", path="a/notes.txt", old_text="two", new_text="zwölf") == (
        "a/notes.txt was changed."
    )
    assert await said(box, "list_directory") == "a/"
    assert await said(box, "list_directory", path="a") == "notes.txt (10 bytes)"


async def test_a_file_that_exists_is_not_overwritten(box: FileTools) -> None:
    await said(box, "create_file", path="x", content="mine")
    assert "it exists, and is not overwritten" in await said(box, "create_file", path="x", content="other")
    assert await said(box, "read_file", path="x") == "mine"


@pytest.mark.parametrize(
    ("name", "arguments", "why"),
    [
        ("read_file", {"path": "../x"}, "leads out of the folder"),
        ("read_file", {"path": "/etc/passwd"}, "no path within the folder"),
        ("read_file", {"path": "gone"}, "it is not there"),
        ("read_file", {"path": "bytes"}, "no text in UTF-8"),
        ("read_file", {"path": "zero"}, "it holds no text"),
        ("read_file", {"path": "long"}, "more than 20 bytes"),
        ("read_file", {"path": "link"}, "link"),
        ("read_file", {"path": "."}, "no file"),
        ("list_directory", {"path": "text"}, "no folder"),
        ("create_file", {"path": "new", "content": "x" * 21}, "21 bytes are too many: at most 20"),
        ("create_file", {"path": "new", "content": "\ud800"}, "UTF-8 does not have"),
        ("edit_file", {"path": "text", "old_text": "x", "new_text": "y"}, "no such text"),
        ("edit_file", {"path": "text", "old_text": "", "new_text": "y"}, "no such text"),
        ("edit_file", {"path": "text", "old_text": "a", "new_text": "y"}, "in it 2 times"),
        ("edit_file", {"path": "text", "old_text": "aa", "new_text": "y" * 21}, "too many"),
    ],
)
async def test_what_cannot_be_done_is_told_to_the_model(
    box: FileTools, name: str, arguments: dict[str, str], why: str
) -> None:
    (box.folder / "bytes").write_bytes(b"\xff\xfe")
    (box.folder / "zero").write_bytes(b"a\0b")
    (box.folder / "long").write_bytes(b"x" * 21)
    (box.folder / "text").write_text("aa")
    (box.folder / "link").symlink_to("/etc/passwd")
    before = sorted(box.folder.iterdir())
    told = await said(box, name, **arguments)
    assert told.startswith("✗")
    assert why in told
    assert str(box.folder) not in told
    assert sorted(box.folder.iterdir()) == before


async def test_there_is_an_end_to_making_files_and_to_lists(
    box: FileTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST_ENTRIES", 1)
    for name in ("a", "b"):
        await said(box, "create_file", path=name, content="")
    assert "2 files have been made" in await said(box, "create_file", path="c", content="")
    assert await said(box, "list_directory") == "a (0 bytes)\nand 1 more"


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be used"):
        FileTools(tmp_path / "gone")
