"""A computer of the tests' own: a home folder, a root, and programs that are small scripts."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from lmbridge.machine.lmstudio.home import Places


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A Linux with nothing on it. Its folders have spaces and letters beyond ASCII in their names."""
    root = tmp_path / "the röot"
    user = root / "home/Ada Ünal"
    user.mkdir(parents=True)
    return Places({"PATH": str(root / "usr/bin")}, user, "linux", root)


def with_variables(places: Places, **variables: str) -> Places:
    return replace(places, environ={**places.environ, **variables})


def program(path: Path, mode: int = 0o755) -> Path:
    """A file that may be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


def written(path: Path, value: object) -> Path:
    """A JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value), "utf-8")
    return path


@pytest.fixture
def make_lms(tmp_path: Path) -> Callable[..., Path]:
    """Makes a program `lms` of a text in Python, or for `/bin/sh`, in a folder with a name that needs care."""

    def make(text: str, interpreter: str = f"{sys.executable} -IS") -> Path:
        head = "" if interpreter == "/bin/sh" else "import os, sys, time, json\n"
        path = tmp_path / "bin of Ünal" / "lms"
        path.parent.mkdir(exist_ok=True)
        # Written under another name and renamed, so that no other child holds it open for writing.
        draft = path.with_suffix(".draft")
        draft.write_text(f"#!{interpreter}\n{head}{text}", "utf-8")
        draft.chmod(0o755)
        os.replace(draft, path)
        return path

    return make
