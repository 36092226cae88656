"""Computers of each system, with a home folder of the tests' own."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmbridge.machine.lmstudio.home import Places


@pytest.fixture(params=["linux", "darwin", "win32"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Places:
    """Nothing is on it. Its folders have spaces and letters beyond ASCII in their names."""
    user = tmp_path / "Ada Ünal"
    user.mkdir()
    variables = {"PATH": str(tmp_path / "bin"), "SHELL": "/bin/bash"}
    if request.param == "win32":
        variables |= {"APPDATA": str(user / "AppData/Roaming"), "USERPROFILE": str(user)}
    return Places(variables, user, request.param, tmp_path)
