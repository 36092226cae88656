from __future__ import annotations

from pathlib import Path

import pytest

from lmbridge.config import Config, load_config


class Home:
    """A home folder whose settings a test writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def config(self, toml: str | None = None, **variables: str) -> Config:
        if toml is not None:
            (self.folder / "lmbridge.toml").write_text(toml)
        return load_config(environ={"LMBRIDGE_HOME": str(self.folder), **variables})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)
