"""Where LM Studio keeps its things: its home folder and its models. Only reads.

LM Studio's own command writes the pointer file when it is missing, even when it is merely asked for help;
who only looks must not.

`os.path` is asked rather than `pathlib`, which raises where we may not look: what is locked away is not there.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

POINTER: Final = ".lmstudio-home-pointer"
MOST_BYTES: Final = 4 * 2**20
"""Of a settings file. LM Studio's have a few KB."""

_WINDOWS_PATH: Final = re.compile(r"^([A-Za-z]):[\\/]")
_NOBODY: Final = frozenset(("public", "default", "default user", "all users", "defaultapppool"))


class Places(Struct, frozen=True):
    """What finding LM Studio depends on. Tests pretend another system with it.

    Attributes:
        environ: the environment variables.
        user_home: the user's folder, `~`.
        system: as in `sys.platform`: `linux`, `darwin`, `win32`.
        root: what `/` means.
        drives: folder in which Windows' drives appear as `c`, `d`, …, when a Windows is looked at from
            outside it, as from WSL; paths of Windows are translated then. None inside one system.
    """

    environ: Mapping[str, str]
    user_home: Path
    system: str = sys.platform
    root: Path = Path("/")
    drives: Path | None = None

    def __repr__(self) -> str:
        return f"Places({str(self.user_home)!r}, {self.system!r})"  # the variables may hold secrets

    @classmethod
    def here(cls, environ: Mapping[str, str] | None = None) -> Places:
        """This machine and this user.

        Args:
            environ: variables to go by, which may name another home folder; default this process's.
        """
        mine = os.environ if environ is None else environ
        named = mine.get("USERPROFILE" if sys.platform == "win32" else "HOME", "")
        try:
            home = Path(named) if named and Path(named).is_absolute() else Path.home()
        except RuntimeError:  # a user whom the system does not know, as in a container
            home = Path(os.path.abspath(os.sep), "nonexistent")
        return cls(mine, home, sys.platform, Path(home.anchor or "/"))

    @property
    def wsl(self) -> bool:
        """Whether this is a Linux inside Windows (the Windows Subsystem for Linux)."""
        if self.system != "linux":
            return False
        if "WSL_DISTRO_NAME" in self.environ or "WSL_INTEROP" in self.environ:
            return True
        return "microsoft" in text_of(self.root / "proc/sys/kernel/osrelease").lower()

    def local(self, path: str) -> Path | None:
        """A path that LM Studio wrote down, as it is called from here; None when it is none."""
        found = _WINDOWS_PATH.match(path)
        if found and self.drives is not None:
            return self.drives / found[1].lower() / path[3:].replace("\\", "/")
        # What is written down may be anything; what is no name of a file could not even be shown.
        if not path or not path.isprintable() or (found and sys.platform != "win32"):
            return None
        return Path(path)

    def windows_sides(self) -> Iterator[Places]:
        """The users of the Windows around this WSL, the one whose programs are on PATH first."""
        mounts = self.root / "mnt"
        try:
            folders = sorted(p for p in (mounts / "c/Users").iterdir() if p.name.lower() not in _NOBODY)
        except OSError:
            return
        search = self.environ.get("PATH", "").split(":")
        for folder in sorted(folders, key=lambda p: not any(entry.startswith(f"{p}/") for entry in search)):
            variables = {
                "USERPROFILE": str(folder),
                "LOCALAPPDATA": str(folder / "AppData/Local"),
                "APPDATA": str(folder / "AppData/Roaming"),
                "PROGRAMFILES": str(mounts / "c/Program Files"),
            }
            yield Places(variables, folder, "win32", mounts / "c", mounts)


def home_folder(places: Places | None = None) -> Path:
    """LM Studio's folder, whether it is there or not: the one its pointer file names, else the old place
    `~/.cache/lm-studio` where that exists, else `~/.lmstudio`.
    """
    places = places or Places.here()
    user_home = _resolved(places.user_home)
    pointed = places.local(text_of(user_home / POINTER).strip())
    if pointed is not None and pointed.is_absolute():
        return pointed
    old = user_home / ".cache" / "lm-studio"
    return old if os.path.isdir(old) else user_home / ".lmstudio"


def models_folder(places: Places | None = None) -> Path | None:
    """Where LM Studio keeps its models: `downloadsFolder` of its settings, else `models` in its folder; None
    when that is not there.
    """
    places = places or Places.here()
    home = home_folder(places)
    moved = table_of(home / "settings.json").get("downloadsFolder")
    folder = places.local(moved) if isinstance(moved, str) else None
    if folder is None:
        folder = home / "models"
    elif folder.parts[:1] == ("~",):
        folder = places.user_home.joinpath(*folder.parts[1:])
    return folder if os.path.isdir(folder) else None


def text_of(path: Path) -> str:
    """The text of a small file; "" when there is none that can be read."""
    try:
        if not os.path.isfile(path):  # a pipe would be waited for
            return ""
        with path.open("rb") as file:
            return file.read(MOST_BYTES).decode("utf-8-sig")
    except (OSError, ValueError):
        return ""


def table_of(path: Path) -> dict[str, object]:
    """The JSON object in a file; {} when there is none that can be read."""
    try:
        found: object = json.loads(text_of(path))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # links in a circle
        return path
