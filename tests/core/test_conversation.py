import os
import stat
from pathlib import Path

import pytest

from lmbridge.core.conversation import Conversation, load, save
from lmbridge.core.errors import InvalidRequest, NoSpace
from lmbridge.core.messages import ImagePart, Message, TextPart, ToolCall

KEPT = Conversation(
    "embedded:tiny",
    (
        Message("system", "Be kind."),
        Message("user", (TextPart("Look"), ImagePart("data:image/png;base64,AA=="))),
        Message("assistant", "Yes 👍", reasoning="hm", tool_calls=(ToolCall("1", "look", "{}"),)),
    ),
)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "new" / "talk.json"
    save(path, KEPT, overwrite=False)
    assert load(path) == KEPT
    assert [entry.name for entry in path.parent.iterdir()] == ["talk.json"]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_is_replaced_only_when_that_was_said(tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    path.write_text("precious")
    with pytest.raises(FileExistsError):
        save(path, KEPT, overwrite=False)
    assert path.read_text() == "precious"
    save(path, KEPT, overwrite=True)
    assert load(path) == KEPT
    assert [entry.name for entry in tmp_path.iterdir()] == ["talk.json"]


def test_where_there_are_no_links_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "link")
    save(tmp_path / "talk.json", KEPT, overwrite=False)
    assert load(tmp_path / "talk.json") == KEPT


def test_a_full_disk_costs_nothing_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "talk.json"
    path.write_text("precious")
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(NoSpace):
        save(path, KEPT, overwrite=True)
    assert [entry.read_text() for entry in tmp_path.iterdir()] == ["precious"]


def test_a_folder_in_the_way_is_an_error_and_nothing_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "talk.json").mkdir()
    with pytest.raises(OSError, match=r"talk\.json"):
        save(tmp_path / "talk.json", KEPT, overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["talk.json"]


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"format": "lmbridge conversation 2", "model": "", "messages": []}']
)
def test_a_file_that_is_no_conversation_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(InvalidRequest, match=r"other\.json is not a saved conversation"):
        load(path)


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"gone\.json cannot be read"):
        load(tmp_path / "gone.json")
