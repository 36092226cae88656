"""LM Studio's mcp.json: read, and mended where it has the form that LM Studio does not read."""

import json
from pathlib import Path

import pytest

from lmbridge.core.errors import ConfigInvalid
from lmbridge.machine.lmstudio.home import MOST_BYTES, Places
from lmbridge.machine.mcp.files import MOST_SERVERS, mcp_json, mended, read_servers, write_mended

SCROLL = {"servers": [{"name": "openai", "command": "python", "args": ["-m", "openai_mcp_server"]}, {"x": 1}, 7]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mcp.json"


def test_it_lies_in_lm_studios_folder(tmp_path: Path) -> None:
    assert mcp_json(Places({}, tmp_path)) == tmp_path / ".lmstudio" / "mcp.json"


def test_its_servers_are_read_and_a_bad_one_does_not_stop_the_others(file: Path) -> None:
    file.write_text('\ufeff{"mcpServers": {"a": {"command": "npx"}, "b": {}, "c": {"url": "https://c.example"}}}')
    found = read_servers(file)
    assert list(found.entries) == ["a", "b", "c"]
    assert [bool(entry.problem) for entry in found.entries.values()] == [False, True, False]
    assert not found.needs_mending


def test_no_file_and_an_empty_one_hold_no_servers(file: Path) -> None:
    assert read_servers(file).entries == {}
    file.write_text(" \n")
    assert read_servers(file).entries == {}
    assert read_servers(file).problem == ""


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "no object"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"mcpServers": []}', "no object of servers"),
        (b'{"servers": 3}', "neither a list nor an object"),
        (b'{"mcpservers": {}}', "no `mcpServers`, but `mcpservers`"),
        (b" " * (MOST_BYTES + 1), "MiB"),
        (json.dumps({"mcpServers": {f"s{n}": {} for n in range(MOST_SERVERS + 1)}}).encode(), "more than"),
    ],
)
def test_a_broken_file_says_what_is_wrong_with_it(file: Path, data: bytes, said: str) -> None:
    file.write_bytes(data)
    assert said in read_servers(file).problem


def test_a_file_that_is_something_else_cannot_be_mended(file: Path) -> None:
    file.write_text('{"mcp": {"servers": {}}}')
    with pytest.raises(ConfigInvalid, match="no `mcpServers`, but `mcp`"):
        mended(file)


def test_the_list_of_servers_is_understood_and_mended_when_asked(file: Path) -> None:
    file.write_text(json.dumps(SCROLL))
    found = read_servers(file)
    assert found.needs_mending
    assert found.entries["openai"].args == ("-m", "openai_mcp_server")
    assert found.entries["server-2"].problem
    assert found.entries["server-3"].problem
    change = mended(file)
    assert change is not None
    assert '+  "mcpServers": {' in change.diff
    file.chmod(0o640)
    aside = write_mended(change)
    assert json.loads(aside.read_text()) == SCROLL
    assert (file.stat().st_mode & 0o777, aside.stat().st_mode & 0o777) == (0o640, 0o600)
    assert json.loads(file.read_text())["mcpServers"]["openai"] == {
        "command": "python",
        "args": ["-m", "openai_mcp_server"],
    }
    assert not read_servers(file).needs_mending
    assert mended(file) is None


def test_mending_keeps_what_is_there_already_and_what_nobody_knows(file: Path) -> None:
    old = {"mcpServers": {"a": {"command": "new"}}, "servers": {"a": {"command": "old"}, "b": {"command": "c"}}}
    file.write_text(json.dumps({**old, "inputs": [1]}))
    change = mended(file)
    assert change is not None
    assert json.loads(change.after) == {
        "mcpServers": {"a": {"command": "new"}, "b": {"command": "c"}},
        "inputs": [1],
    }


def test_mending_loses_none_of_two_with_one_name_and_writes_nothing_that_is_no_entry(file: Path) -> None:
    file.write_text(json.dumps({"servers": [{"name": "a", "command": "b"}, {"name": "a", "command": "c"}, 7]}))
    assert list(read_servers(file).entries) == ["a", "a-2", "server-3"]
    change = mended(file)
    assert change is not None
    assert json.loads(change.after) == {"mcpServers": {"a": {"command": "b"}, "a-2": {"command": "c"}}}


def test_a_file_that_was_changed_meanwhile_is_left_alone(file: Path) -> None:
    file.write_text(json.dumps(SCROLL))
    change = mended(file)
    assert change is not None
    file.write_text("{}")
    with pytest.raises(ConfigInvalid, match="changed meanwhile"):
        write_mended(change)
    assert file.read_text() == "{}"
    file.unlink()
    with pytest.raises(ConfigInvalid, match="cannot be written"):
        write_mended(change)
