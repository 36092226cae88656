from pathlib import Path

import pytest
from msgspec.structs import replace

from lmbridge.machine.lmstudio.home import Places
from lmbridge.machine.programs.program import Link
from lmbridge.machine.programs.shell import PROGRAM, dialect, profile, variables

LINK = Link("http://127.0.0.1:1235", "", "m")


@pytest.mark.parametrize(
    ("shell", "system", "file", "language"),
    [
        ("/bin/bash", "linux", ".bashrc", "sh"),
        ("/bin/bash", "darwin", ".bash_profile", "sh"),
        ("/bin/zsh", "darwin", ".zshrc", "sh"),
        ("/usr/bin/fish", "linux", ".config/fish/config.fish", "fish"),
        ("/bin/dash", "linux", ".profile", "sh"),
        ("", "linux", ".profile", "sh"),
        ("/bin/bash", "win32", "Documents/PowerShell/Microsoft.PowerShell_profile.ps1", "powershell"),
    ],
)
def test_the_profile_is_that_of_the_users_shell(
    tmp_path: Path, shell: str, system: str, file: str, language: str
) -> None:
    places = Places({"SHELL": shell}, tmp_path, system, tmp_path)
    assert (profile(places), dialect(places)) == (tmp_path / file, language)
    (part,) = PROGRAM.parts(places, LINK)
    assert (part.file, part.language) == (tmp_path / file, language)


def test_zsh_may_keep_its_profile_elsewhere(tmp_path: Path) -> None:
    places = Places({"SHELL": "/bin/zsh", "ZDOTDIR": str(tmp_path / "z")}, tmp_path, "linux", tmp_path)
    assert profile(places) == tmp_path / "z" / ".zshrc"


def test_every_package_is_told_where_and_with_which_key() -> None:
    assert variables(LINK) == {
        "OPENAI_BASE_URL": "http://127.0.0.1:1235/v1",
        "OPENAI_API_BASE": "http://127.0.0.1:1235/v1",
        "OPENAI_API_KEY": "not-needed",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:1235",
        "ANTHROPIC_AUTH_TOKEN": "not-needed",
        "ANTHROPIC_API_KEY": "",
        "OLLAMA_HOST": "http://127.0.0.1:1235",
    }
    with_key = variables(replace(LINK, key="k"))
    assert {with_key[name] for name in ("OPENAI_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OLLAMA_API_KEY")} == {"k"}
