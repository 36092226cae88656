"""The presets of a user as prompts."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmbridge.cli.mcp.prompting import PresetPrompts
from lmbridge.core.errors import ConfigInvalid, InvalidRequest
from lmbridge.doors.mcp.prompts import Prompt
from lmbridge.machine.home import presets_folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LMBRIDGE_HOME", str(tmp_path))
    found = presets_folder(tmp_path)
    found.mkdir()
    return found


def test_presets_with_instructions_are_prompts(folder: Path) -> None:
    (folder / "reviewer.toml").write_text('description = "Strict"\nsystem = """\nSay what is wrong.\n"""\n')
    (folder / "poet.toml").write_text('model = "x"\nsystem = "Write\\nverse. %s"\n' % ("Long. " * 40))
    (folder / "warm.toml").write_text("[sampling]\ntemperature = 0.9\n")
    (folder / "broken.toml").write_text("system = \n")
    poet, reviewer = PresetPrompts().all()
    assert reviewer == Prompt("reviewer", "Strict", "Say what is wrong.")
    assert poet.description.startswith("Write verse. Long.")
    assert len(poet.description) == 120
    assert PresetPrompts().get("reviewer") == reviewer


def test_what_is_no_prompt_says_why(folder: Path) -> None:
    (folder / "warm.toml").write_text("[sampling]\ntemperature = 0.9\n")
    (folder / "broken.toml").write_text("system = \n")
    with pytest.raises(InvalidRequest, match=r"holds no instructions.*presets/warm\.toml"):
        PresetPrompts().get("warm")
    with pytest.raises(ConfigInvalid, match="is not TOML"):
        PresetPrompts().get("broken")
    for name in ("gone", "../warm"):
        with pytest.raises(InvalidRequest):
            PresetPrompts().get(name)


def test_a_user_without_presets_has_no_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMBRIDGE_HOME", str(tmp_path / "none"))
    assert PresetPrompts().all() == []
