from pathlib import Path

from msgspec.structs import replace

from lmbridge.machine.lmstudio.home import Places
from lmbridge.machine.programs.places import config_folder, named_folder, on_path, shown, xdg_folder


def test_settings_lie_where_the_system_keeps_them(places: Places) -> None:
    home = places.user_home
    folders = {"linux": ".config", "darwin": "Library/Application Support", "win32": "AppData/Roaming"}
    assert config_folder(places) == home / folders[places.system]
    assert config_folder(replace(places, environ={})) == home / folders[places.system]
    assert xdg_folder(places) == home / ".config"


def test_a_variable_may_name_another_folder_but_none_that_depends_on_where_one_is(places: Places) -> None:
    other = places.root / "else"
    there = replace(places, environ={"XDG_CONFIG_HOME": str(other), "X": str(other), "Y": "else"})
    assert xdg_folder(there) == other
    assert (config_folder(there) == other) == (places.system == "linux")
    assert named_folder(there, "X", Path("a")) == other
    assert named_folder(there, "Y", Path("a")) == Path("a")


def test_a_command_is_looked_for_on_the_path_of_that_computer(places: Places) -> None:
    assert not on_path(places, "codex", "sh")
    (places.root / "bin").mkdir()
    (places.root / "bin" / "codex").write_text("")
    (places.root / "bin" / "codex").chmod(0o755)
    assert on_path(places, "other", "codex")


def test_a_path_below_the_home_folder_is_shown_short(places: Places) -> None:
    assert shown(places.user_home / "a" / "b", places) == str(Path("~/a/b"))
    assert shown(places.root / "c", places) == str(places.root / "c")
