"""Which parts of LM Studio are on this computer: the app, its headless daemon, its command, its settings.

The app and the command `lms` are different facts: the app puts the command into place when it is started for
the first time. Nothing here starts anything, and what a file says is taken as a hint that may be stale.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from lmbridge.machine import processes
from lmbridge.machine.lmstudio.home import POINTER, Places, home_folder, table_of

HTTP_SETTINGS: Final = ".internal/http-server-config.json"
"""Port and address of the REST server, below the home folder."""
SDK_SERVER: Final = ".internal/http-server.json"
"""Process and port of the running program."""
APP_NOTE: Final = ".internal/app-install-location.json"
LLMSTER_NOTE: Final = ".internal/llmster-install-location.json"

# An AppImage carries its program under a name in a folder that exists only while it runs.
_MOUNTS: Final = (".mount_LM-Stu*", ".mount_lm-stu*")
_IN_A_MOUNT: Final = ("lm-studio", "AppRun")
_APPIMAGES: Final = ("LM-Studio*.AppImage", "LM_Studio*.AppImage", "LM Studio*.AppImage", "lm-studio*.AppImage")
_APPIMAGE_FOLDERS: Final = ("Applications", "Downloads", "Desktop", ".local/bin", "bin", "LM Studio", "")


class SDKServer(Struct, frozen=True):
    """The running program's own server on this computer, to which `lms` talks.

    Attributes:
        pid: of LM Studio or its daemon; 0 when the file does not say.
        alive: whether that process lives; None where it cannot be told, as from WSL.
    """

    pid: int
    port: int
    alive: bool | None


class Installation(Struct, frozen=True):
    """What there is of LM Studio.

    Attributes:
        home: its folder, whether there or not.
        lms: its command. lms_on_path: whether it is found by its name alone.
        app: the desktop app. llmster: the daemon without a window.
        port: the REST server's, as set; None when it was never set.
        host: the address it listens on, as set. cors: whether web pages may ask it, as set.
        sdk: what the running program wrote about itself; None when it never ran.
        windows: it is the Windows side, seen from WSL.
        pointed: the file is there that names its folder. Its command writes that file when it is missing,
            whatever it is asked, so who only looks does not ask.
        problems: what is odd about it, one sentence each.
    """

    home: Path
    lms: Path | None = None
    lms_on_path: bool = False
    app: Path | None = None
    llmster: Path | None = None
    port: int | None = None
    host: str = ""
    cors: bool = False
    sdk: SDKServer | None = None
    windows: bool = False
    pointed: bool = False
    problems: tuple[str, ...] = ()

    @property
    def installed(self) -> bool:
        """Whether there is anything that could serve models."""
        return bool(self.app or self.llmster or self.lms)

    @property
    def bootstrapped(self) -> bool:
        """Whether its command can be called."""
        return self.lms is not None

    @property
    def program(self) -> Path | None:
        """What can be started: the daemon rather than the app, as LM Studio's own command prefers it."""
        return self.llmster or self.app


def find_installation(places: Places | None = None) -> Installation:
    """Look for LM Studio: on PATH, then where each system keeps it; from WSL on the Windows side too.

    Reads a few small files and starts nothing. It blocks, so call it in a thread.
    """
    places = places or Places.here()
    here = _look(places)
    if here.installed or not places.wsl:
        return here
    search = set(_search_path(places))
    for side in places.windows_sides():
        found = _look(side)
        if found.installed:
            on_path = found.lms is not None and found.lms.parent in search
            return replace(found, windows=True, lms_on_path=on_path)
    return here


def _look(places: Places) -> Installation:
    home = home_folder(places)
    problems: list[str] = []
    lms, on_path = _find_lms(home, places, problems)
    settings = table_of(home / HTTP_SETTINGS)
    host = settings.get("networkInterface")
    return Installation(
        home,
        lms,
        on_path,
        _find_app(home, places, problems),
        _noted(home / LLMSTER_NOTE, "its daemon", places, problems),
        _port(settings.get("port")),
        host if isinstance(host, str) else "",
        settings.get("cors") is True,
        _sdk(home, places),
        pointed=os.path.exists(places.user_home / POINTER),
        problems=tuple(problems),
    )


def _find_lms(home: Path, places: Places, problems: list[str]) -> tuple[Path | None, bool]:
    name = "lms.exe" if places.system == "win32" else "lms"
    for folder in _search_path(places):
        if _runs(folder / name, places):
            return folder / name, True
    at_home = home / "bin" / name
    if _runs(at_home, places):
        return at_home, False
    if os.path.lexists(at_home):
        problems.append(f"{at_home} is not a program that may be run.")
    elif os.path.isdir(home) and not os.access(home, os.R_OK | os.X_OK):
        problems.append(f"{home} may not be looked into.")
    return None, False


def _search_path(places: Places) -> Iterator[Path]:
    """The folders of PATH. Relative ones are passed over: what lies in the current folder is not to be run."""
    for entry in places.environ.get("PATH", "").split(";" if places.system == "win32" else ":"):
        if entry and Path(entry).is_absolute():
            yield Path(entry)


def _runs(path: Path, places: Places) -> bool:
    return os.path.isfile(path) and (places.system == "win32" or os.access(path, os.X_OK))


def _find_app(home: Path, places: Places, problems: list[str]) -> Path | None:
    stale: list[str] = []
    noted = _noted(home / APP_NOTE, "the app", places, stale)
    if noted is not None:
        return noted
    for path in _usual_apps(places):
        if _runs(path, places):
            return path
    # An AppImage that was moved or replaced; where the app was found nevertheless, nobody needs to know.
    problems.extend(stale)
    return None


def _noted(note: Path, what: str, places: Places, problems: list[str]) -> Path | None:
    """The program that one of LM Studio's own notes names, if it is still there."""
    written = table_of(note).get("path")
    path = places.local(written) if isinstance(written, str) else None
    if path is None or _runs(path, places):
        return path
    problems.append(f"LM Studio noted that {what} lies at {path}, and there is no program any more.")
    return None


def _usual_apps(places: Places) -> Iterator[Path]:
    match places.system:
        case "darwin":
            for folder in (places.root / "Applications", places.user_home / "Applications"):
                yield folder / "LM Studio.app/Contents/MacOS/LM Studio"
        case "win32":
            named = {"LOCALAPPDATA": "Programs", "PROGRAMFILES": "", "PROGRAMFILES(X86)": ""}
            variables = {name.upper(): value for name, value in places.environ.items()}
            for name, below in named.items():
                if variables.get(name):
                    yield Path(variables[name], below, "LM Studio", "LM Studio.exe")
        case _:
            yield from _on_linux(places)


def _on_linux(places: Places) -> Iterator[Path]:
    for mount in _globbed(places.root / "tmp", _MOUNTS):
        if _is_ours(mount):
            yield from (mount / name for name in _IN_A_MOUNT)
    for path in (
        "opt/LM Studio/lm-studio",
        "opt/LM-Studio/lm-studio",
        "opt/lm-studio/lm-studio",
        "usr/bin/lm-studio",
    ):
        yield places.root / path
    yield places.user_home / ".local/share/LM Studio/lm-studio"
    for below in _APPIMAGE_FOLDERS:
        yield from _globbed(places.user_home / below, _APPIMAGES)
    yield from _globbed(places.root / "opt", _APPIMAGES)


def _globbed(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """What fits in a folder, the highest version first."""
    try:
        return sorted((path for pattern in patterns for path in folder.glob(pattern)), reverse=True)
    except OSError:
        return []


def _is_ours(path: Path) -> bool:
    """Whether it belongs to this user: everybody may make folders in /tmp, under any name."""
    try:
        return path.stat().st_uid == os.getuid() if hasattr(os, "getuid") else False
    except OSError:
        return False


def _sdk(home: Path, places: Places) -> SDKServer | None:
    written = table_of(home / SDK_SERVER)
    port, pid = _port(written.get("port")), written.get("pid")
    if port is None:
        return None
    pid = pid if isinstance(pid, int) and pid > 0 else 0
    here = places.drives is None
    return SDKServer(pid, port, processes.exists(pid) if here and pid else (False if here else None))


def _port(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536 else None
