"""Where LM Studio keeps its things."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.machine.lmstudio.conftest import with_variables, written

from lmbridge.machine.lmstudio.home import Places, home_folder, models_folder, table_of


def test_the_home_folder_is_the_hidden_one_unless_an_old_one_exists(places: Places) -> None:
    assert home_folder(places) == places.user_home / ".lmstudio"
    (places.user_home / ".cache/lm-studio").mkdir(parents=True)
    assert home_folder(places) == places.user_home / ".cache/lm-studio"


def test_the_pointer_file_wins(places: Places) -> None:
    (places.user_home / ".cache/lm-studio").mkdir(parents=True)
    (places.user_home / ".lmstudio-home-pointer").write_text("/big disk/Größe\n", "utf-8")
    assert home_folder(places) == Path("/big disk/Größe")


@pytest.mark.parametrize("content", [b"", b"  \n", b"not/absolute", b"\xff\xfe\x00", b"/with\x00zero"])
def test_a_pointer_file_that_names_no_folder_is_passed_over(places: Places, content: bytes) -> None:
    (places.user_home / ".lmstudio-home-pointer").write_bytes(content)
    assert home_folder(places) == places.user_home / ".lmstudio"


def test_a_home_that_is_a_link_is_followed(places: Places) -> None:
    link = places.root / "link"
    link.symlink_to(places.user_home)
    assert home_folder(replace(places, user_home=link)) == places.user_home / ".lmstudio"


def test_links_in_a_circle_do_no_harm(places: Places) -> None:
    link = places.root / "link"
    link.symlink_to(link)
    assert home_folder(replace(places, user_home=link)) == link / ".lmstudio"


def test_looking_writes_nothing(places: Places) -> None:
    home_folder(places)
    models_folder(places)
    assert list(places.user_home.iterdir()) == []


def test_the_models_are_below_the_home_folder(places: Places) -> None:
    assert models_folder(places) is None
    (places.user_home / ".lmstudio/models").mkdir(parents=True)
    assert models_folder(places) == places.user_home / ".lmstudio/models"


def test_a_moved_models_folder_wins(places: Places) -> None:
    (places.root / "big disk").mkdir()
    settings = written(
        places.user_home / ".lmstudio/settings.json", {"downloadsFolder": str(places.root / "big disk")}
    )
    assert models_folder(places) == places.root / "big disk"
    for broken in ("{broken", "[]", '{"downloadsFolder": 3}', '{"downloadsFolder": ""}', "[" * 100_000):
        settings.write_text(broken)
        assert models_folder(places) is None


def test_settings_with_a_mark_at_their_beginning_are_read(places: Places) -> None:
    path = places.root / "x.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert table_of(path) == {"a": 1}


def test_the_places_of_this_machine_follow_its_environment(tmp_path: Path) -> None:
    here = Places.here({"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)})
    assert here.user_home == tmp_path
    assert home_folder(here) == tmp_path.resolve() / ".lmstudio"
    assert Places.here().user_home == Path.home()


def test_wsl_is_known_by_its_variables_or_its_kernel(places: Places) -> None:
    assert not places.wsl
    assert with_variables(places, WSL_DISTRO_NAME="Ubuntu").wsl
    written(places.root / "proc/sys/kernel/osrelease", "5.15.167.4-microsoft-standard-WSL2\n")
    assert places.wsl
    assert not replace(places, system="darwin").wsl


def test_the_windows_user_whose_programs_are_on_path_comes_first(places: Places) -> None:
    users = places.root / "mnt/c/Users"
    for name in ("Ada", "Zoë", "Public", "Default"):
        (users / name).mkdir(parents=True)
    (users / "desktop.ini").write_text("")
    sides = [side.user_home.name for side in places.windows_sides() if side.user_home.is_dir()]
    assert sides == ["Ada", "Zoë"]
    seen = with_variables(places, PATH=f"/usr/bin:{users}/Zoë/AppData/Local/Microsoft/WindowsApps")
    assert next(seen.windows_sides()).user_home.name == "Zoë"


def test_a_computer_without_a_windows_side_has_none(places: Places) -> None:
    assert list(places.windows_sides()) == []


def test_paths_of_windows_are_translated_where_its_drives_are_mounted(places: Places) -> None:
    (places.root / "mnt/c/Users/Ada").mkdir(parents=True)
    side = next(places.windows_sides())
    written(side.user_home / ".lmstudio-home-pointer", "D:\\LM Studio\\home\r\n")
    assert home_folder(side) == places.root / "mnt/d/LM Studio/home"
    assert places.local("C:\\Users\\Ada") is None


@pytest.mark.parametrize("moved", ["/" + "long" * 2000, "~nobody-of-that-name/x", "/a\nb", "/x\ud800", "/a\0b"])
def test_a_models_folder_that_cannot_be_is_not_there(places: Places, moved: str) -> None:
    written(places.user_home / ".lmstudio/settings.json", {"downloadsFolder": moved})
    assert models_folder(places) is None


def test_a_models_folder_below_the_users_own_is_found(places: Places) -> None:
    (places.user_home / "big/models").mkdir(parents=True)
    written(places.user_home / ".lmstudio/settings.json", {"downloadsFolder": "~/big/models"})
    assert models_folder(places) == places.user_home / "big/models"


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(places: Places) -> None:
    os.mkfifo(places.user_home / ".lmstudio-home-pointer")
    assert home_folder(places) == places.user_home / ".lmstudio"


def test_a_user_whom_the_system_does_not_know_has_no_lm_studio(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    here = Places.here({})
    assert not home_folder(here).exists()
    assert models_folder(here) is None


def test_what_is_shown_of_the_places_holds_no_secret(places: Places) -> None:
    assert "hush" not in repr(with_variables(places, LM_API_TOKEN="hush"))
