from collections.abc import Sequence
from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from lmbridge.cli.chat.keyboard import SlashCompleter


def arguments(command: str) -> Sequence[str] | None:
    return {"model": ("embedded:tiny", "lan:qwen3-8b"), "load": None}.get(command, ())


def completions(text: str) -> list[str]:
    completer = SlashCompleter([("model", "…"), ("more", "…"), ("load", "…")], arguments)
    return [found.text for found in completer.get_completions(Document(text), CompleteEvent())]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("/", ["model", "more", "load"]),
        ("/mo", ["model", "more"]),
        ("/x", []),
        ("/model ", ["embedded:tiny", "lan:qwen3-8b"]),
        ("/model QWEN", ["lan:qwen3-8b"]),
        ("/more ", []),
        ("hello /mo", []),
        ("/mo\n", []),
        ("", []),
    ],
)
def test_commands_and_their_arguments_are_completed_and_nothing_else(typed: str, offered: list[str]) -> None:
    assert completions(typed) == offered


def test_files_are_completed_where_a_file_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "talk.json").touch()
    assert completions(f"/load {tmp_path}/ta") == ["lk.json"]
