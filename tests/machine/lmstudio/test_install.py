"""Which parts of LM Studio are on a computer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.machine.lmstudio.conftest import program, with_variables, written

from lmbridge.machine.lmstudio.home import Places
from lmbridge.machine.lmstudio.install import SDKServer, find_installation

NO_PROCESS = 2**22 + 1
"""An id that no process can have (pid_max)."""


def home(places: Places) -> Path:
    return places.user_home / ".lmstudio"


def test_where_there_is_nothing_nothing_is_found(places: Places) -> None:
    found = find_installation(places)
    assert not found.installed
    assert not found.bootstrapped
    assert (found.lms, found.app, found.llmster, found.port, found.sdk) == (None, None, None, None, None)
    assert list(places.user_home.iterdir()) == []


def test_the_command_on_path_comes_before_the_one_at_home(places: Places) -> None:
    at_home = program(home(places) / "bin/lms")
    found = find_installation(places)
    assert (found.lms, found.lms_on_path, found.installed, found.bootstrapped) == (at_home, False, True, True)
    on_path = program(places.root / "usr/bin/lms")
    found = find_installation(places)
    assert (found.lms, found.lms_on_path) == (on_path, True)


def test_a_command_in_a_relative_folder_of_path_is_not_taken(
    places: Places, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program(tmp_path / "lms")
    monkeypatch.chdir(tmp_path)
    assert find_installation(with_variables(places, PATH=".::bin")).lms is None


def test_a_command_that_may_not_be_run_is_told(places: Places) -> None:
    program(home(places) / "bin/lms", 0o644)
    found = find_installation(places)
    assert not found.bootstrapped
    assert "not a program that may be run" in found.problems[0]


def test_a_command_that_leads_nowhere_is_told(places: Places) -> None:
    (home(places) / "bin").mkdir(parents=True)
    (home(places) / "bin/lms").symlink_to("/nowhere/lms")
    found = find_installation(places)
    assert found.lms is None
    assert "not a program that may be run" in found.problems[0]


@pytest.mark.parametrize("pointed", ["/" + "long" * 2000, "/locked away"])
def test_a_folder_that_may_not_be_looked_into_is_no_fault(places: Places, pointed: str) -> None:
    written(places.user_home / ".lmstudio-home-pointer", pointed)
    locked = home(places)
    (locked / "bin").mkdir(parents=True)
    locked.chmod(0)
    try:
        assert not find_installation(places).installed
        (places.user_home / ".lmstudio-home-pointer").unlink()
        found = find_installation(places)
    finally:
        locked.chmod(0o700)
    # Root may look everywhere.
    assert found.problems == (() if os.getuid() == 0 else (f"{locked} may not be looked into.",))


def test_the_app_without_its_command_is_installed_and_not_bootstrapped(places: Places) -> None:
    image = program(places.user_home / "Downloads/LM-Studio-0.4.25-1-x64.AppImage")
    found = find_installation(places)
    assert (found.app, found.installed, found.bootstrapped) == (image, True, False)


def test_the_newest_of_several_images_is_taken(places: Places) -> None:
    program(places.user_home / "Applications/LM-Studio-0.3.9-x64.AppImage")
    newest = program(places.user_home / "Applications/LM-Studio-0.4.2-x64.AppImage")
    assert find_installation(places).app == newest


def test_what_lm_studio_noted_of_its_place_comes_first(places: Places) -> None:
    program(places.user_home / "Downloads/LM-Studio-0.3.9-x64.AppImage")
    noted = program(places.root / "elsewhere/My LM Studio.AppImage")
    written(home(places) / ".internal/app-install-location.json", {"path": str(noted), "argv": [], "cwd": "/"})
    found = find_installation(places)
    assert (found.app, found.problems) == (noted, ())


def test_a_stale_note_is_told_unless_the_app_is_found_elsewhere(places: Places) -> None:
    written(home(places) / ".internal/app-install-location.json", {"path": "/gone/LM-Studio.AppImage"})
    found = find_installation(places)
    assert found.app is None
    assert "/gone/LM-Studio.AppImage" in found.problems[0]
    program(places.root / "opt/LM Studio/lm-studio")
    found = find_installation(places)
    assert (found.app, found.problems) == (places.root / "opt/LM Studio/lm-studio", ())


def test_a_running_image_is_found_by_its_mount(places: Places) -> None:
    inside = program(places.root / "tmp/.mount_LM-StuXyZ123/lm-studio")
    assert find_installation(places).app == inside


def test_the_daemon_is_found_by_its_note(places: Places) -> None:
    daemon = program(home(places) / "llmster/0.0.20-1/llmster")
    app = program(places.root / "opt/LM Studio/lm-studio")
    written(home(places) / ".internal/llmster-install-location.json", {"path": str(daemon), "argv": []})
    found = find_installation(places)
    assert (found.llmster, found.app, found.program) == (daemon, app, daemon)


def test_port_and_address_are_those_of_its_settings(places: Places) -> None:
    settings = home(places) / ".internal/http-server-config.json"
    written(settings, {"port": 4321, "networkInterface": "0.0.0.0", "cors": True})  # noqa: S104
    found = find_installation(places)
    assert (found.port, found.host, found.cors) == (4321, "0.0.0.0", True)  # noqa: S104
    for port in ("1234", 0, 70000, True, None, 12.5):
        written(settings, {"port": port, "networkInterface": 7})
        found = find_installation(places)
        assert (found.port, found.host) == (None, "")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"host": "127.0.0.1", "pid": os.getpid(), "port": 41343}, SDKServer(os.getpid(), 41343, True)),
        ({"host": "127.0.0.1", "pid": NO_PROCESS, "port": 41343}, SDKServer(NO_PROCESS, 41343, False)),
        ({"port": 41343}, SDKServer(0, 41343, False)),
        ({"pid": 7}, None),
        ("{half a fi", None),
        ("", None),
    ],
)
def test_the_running_program_is_known_by_its_file(
    places: Places, content: object, expected: SDKServer | None
) -> None:
    written(home(places) / ".internal/http-server.json", content)
    assert find_installation(places).sdk == expected


def test_on_a_mac_the_app_lies_in_applications(places: Places) -> None:
    mac = replace(places, system="darwin")
    own = program(places.user_home / "Applications/LM Studio.app/Contents/MacOS/LM Studio")
    assert find_installation(mac).app == own
    shared = program(places.root / "Applications/LM Studio.app/Contents/MacOS/LM Studio")
    assert find_installation(mac).app == shared


def test_on_windows_command_and_app_are_programs_with_the_ending_exe(places: Places) -> None:
    local = places.root / "AppData/Local"
    windows = Places(
        {"LocalAppData": str(local), "ProgramFiles": str(places.root / "PF"), "Path": ""},
        places.user_home,
        "win32",
        places.root,
    )
    program(home(places) / "bin/lms")
    assert find_installation(windows).lms is None
    lms = program(home(places) / "bin/lms.exe", 0o644)
    for_all = program(places.root / "PF/LM Studio/LM Studio.exe", 0o644)
    found = find_installation(windows)
    assert (found.lms, found.app) == (lms, for_all)
    own = program(local / "Programs/LM Studio/LM Studio.exe", 0o644)
    assert find_installation(windows).app == own


def test_from_wsl_the_windows_side_is_seen(places: Places) -> None:
    wsl = with_variables(places, WSL_DISTRO_NAME="Ubuntu")
    assert not find_installation(wsl).installed
    (places.root / "mnt/c/Users/Public").mkdir(parents=True)
    user = places.root / "mnt/c/Users/Ada Ünal"
    lms = program(user / ".lmstudio/bin/lms.exe", 0o644)
    app = program(user / "AppData/Local/Programs/LM Studio/LM Studio.exe", 0o644)
    written(user / ".lmstudio/.internal/http-server.json", {"pid": 4711, "port": 41343})
    written(
        user / ".lmstudio/.internal/app-install-location.json",
        {"path": "C:\\Users\\Ada Ünal\\AppData\\Local\\Programs\\LM Studio\\LM Studio.exe"},
    )
    found = find_installation(wsl)
    assert (found.windows, found.lms, found.app, found.lms_on_path) == (True, lms, app, False)
    assert found.home == user / ".lmstudio"
    assert found.sdk == SDKServer(4711, 41343, None)
    on_path = with_variables(wsl, PATH=f"/usr/bin:{lms.parent}")
    assert find_installation(on_path).lms_on_path


def test_from_wsl_its_own_installation_comes_first(places: Places) -> None:
    program(places.root / "mnt/c/Users/Ada/.lmstudio/bin/lms.exe", 0o644)
    lms = program(home(places) / "bin/lms")
    found = find_installation(with_variables(places, WSL_DISTRO_NAME="Ubuntu"))
    assert (found.windows, found.lms) == (False, lms)
