"""Where programs keep their settings on each system."""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePath

from lmbridge.machine.lmstudio.home import Places


def config_folder(places: Places) -> Path:
    """The folder of settings that most desktop programs use: `$XDG_CONFIG_HOME` or `~/.config` (source: the XDG
    base directory specification), `~/Library/Application Support` on macOS, `%APPDATA%` on Windows.
    """
    if places.system == "darwin":
        return places.user_home / "Library" / "Application Support"
    if places.system == "win32":
        return _named(places, "APPDATA") or places.user_home / "AppData" / "Roaming"
    return xdg_folder(places)


def xdg_folder(places: Places) -> Path:
    """`$XDG_CONFIG_HOME` or `~/.config`, for programs that go by it on macOS, too."""
    return _named(places, "XDG_CONFIG_HOME") or places.user_home / ".config"


def named_folder(places: Places, variable: str, otherwise: Path) -> Path:
    """The folder that an environment variable of a program names, else another."""
    return _named(places, variable) or otherwise


def on_path(places: Places, *commands: str) -> bool:
    """Whether one of these commands can be run by its name."""
    search = places.environ.get("PATH", "")
    return any(shutil.which(command, path=search) for command in commands)


def shown(path: PurePath, places: Places) -> str:
    """A path for people: short where it is below the user's folder."""
    try:
        return str(PurePath("~") / path.relative_to(places.user_home))
    except ValueError:
        return str(path)


def _named(places: Places, variable: str) -> Path | None:
    named = places.environ.get(variable, "")
    return Path(named) if os.path.isabs(named) else None
